package httpapi

import (
	"crypto/ed25519"
	"errors"
	"net/http"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// Machines keeps the machines that have joined. auth.Machines does.
type Machines interface {
	// Add has a machine join, unless there are as many as there may be. use counts a use of its invite.
	Add(machine auth.Machine, atMost int, use func() error) (auth.Machine, error)
	Find(name string) (auth.Machine, bool)
	List() []auth.Machine
	// Refresh reads what other processes have changed since.
	Refresh() error
}

type machineRequest struct {
	Invite string `json:"invite"`
	Name   string `json:"name"`
	Key    string `json:"key"`   // Ed25519, in base64url
	Proof  string `json:"proof"` // a ticket that was signed with it
}

type machineAnswer struct {
	Name string    `json:"name"`
	Role auth.Role `json:"role"`
	Room string    `json:"room"`
}

// machineKey is what the server vouches for.
type machineKey struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// postMachine has a machine join by an invite, whose role and room become the machine's. From then on it signs its own tickets.
func (a *API) postMachine(r *http.Request) (any, *apiError) {
	var req machineRequest
	if apiErr := readJSON(r, &req); apiErr != nil {
		return nil, apiErr
	}
	if req.Invite == "" {
		return nil, badRequest("invite", "A machine needs an invite to join.")
	}
	_, invite, apiErr := a.admit(r, req.Invite)
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr := a.mayHave(r); apiErr != nil { // counts for refused names, too, or an address could ask for all that there are
		return nil, apiErr
	}
	if apiErr := a.mayAdmitMachine(invite); apiErr != nil {
		return nil, apiErr
	}
	key, apiErr := a.provenKey(&req)
	if apiErr != nil {
		return nil, apiErr
	}
	if err := a.cfg.Machines.Refresh(); err != nil {
		return nil, a.internalError("read the machines", err)
	}
	if apiErr := a.machineNameFree(req.Name, key); apiErr != nil {
		return nil, apiErr
	}
	var notUsed *apiError
	machine := auth.Machine{Name: req.Name, Key: key, Role: invite.Role, Room: invite.Room, Invite: invite.ID}
	joined, err := a.cfg.Machines.Add(machine, a.cfg.MachinesAtMost, func() error {
		if notUsed = a.useInvite(invite); notUsed != nil {
			return notUsed
		}
		return nil
	})
	switch {
	case notUsed != nil:
		return nil, notUsed
	case errors.Is(err, auth.ErrMachineName):
		return nil, machineNameTaken()
	case errors.Is(err, auth.ErrMachinesFull):
		a.log.Warn("a machine may not join: as many are there as may be, or as many of one invite", "machine", req.Name, "invite", invite.ID, "limit", "limits.machines")
		return nil, forbidden("", "As many machines have joined as this server, or this invite, lets in; its operator can revoke some (turnpike machines).")
	case err != nil:
		return nil, a.internalError("keep a machine", err)
	}
	a.log.Info("machine joined", "machine", joined.Name, "role", joined.Role, "room", joined.Room, "invite", joined.Invite, "client", a.client(r))
	return machineAnswer{joined.Name, joined.Role, joined.Room}, nil
}

// mayAdmitMachine refuses invites that let in people only. A machine stays when its invite has expired, so a user who could make an
// invite for one would stay longer than the user's own. Of an invite that nobody has recorded, nobody knows who made it.
func (a *API) mayAdmitMachine(invite auth.Invite) *apiError {
	if a.cfg.MachinesAtMost == 0 {
		return forbidden("", "This server takes no machines.")
	}
	if err := a.cfg.OwnInvites.Refresh(); err != nil { // the operator may have made it a moment ago
		return a.internalError("read the invites", err)
	}
	if kept, found := a.cfg.OwnInvites.Find(invite.ID); !found || kept.By != "" {
		return forbidden("invite", "This invite lets people in, and no machines; ask the server's operator for one (turnpike invite).")
	}
	return nil
}

// provenKey returns the key of a request whose sender has its private half.
func (a *API) provenKey(req *machineRequest) (ed25519.PublicKey, *apiError) {
	if !auth.IsMachineName(req.Name) {
		return nil, badRequest("name", `This must be 1 to 32 of a-z, 0-9 and "-", with no "-" at either end.`)
	}
	key, err := auth.ParseMachineKey(req.Key)
	if err != nil {
		return nil, badRequest("key", "This must be an Ed25519 key of 32 bytes, in base64url.")
	}
	_, _, _, err = auth.VerifyMachineTicket(req.Proof, req.Name, key, a.cfg.Now())
	switch {
	case errors.Is(err, auth.ErrExpired), errors.Is(err, auth.ErrMachineClock):
		return nil, &apiError{Status: http.StatusBadRequest, Code: "clock", Message: "The machine's clock differs from the server's by more than 30 seconds; set it.", Field: "proof"}
	case err != nil:
		return nil, badRequest("proof", "This must be a ticket of the machine, signed with its key.")
	}
	return key, nil
}

// machineNameFree refuses a name that somebody has. A machine that asks again, because the answer was lost, has its own.
func (a *API) machineNameFree(name string, key ed25519.PublicKey) *apiError {
	if there, found := a.cfg.Machines.Find(name); found {
		if !there.Key.Equal(key) {
			return machineNameTaken()
		}
		return nil
	}
	if a.cfg.NameTaken(name) {
		return &apiError{Status: http.StatusConflict, Code: string(wire.CodeNameTaken), Message: "Somebody who is online has this name; choose another.", Field: "name"}
	}
	return nil
}

func machineNameTaken() *apiError {
	return &apiError{Status: http.StatusConflict, Code: string(wire.CodeNameTaken), Message: "Another machine has this name; choose another.", Field: "name"}
}

// getMachine vouches for the key of a machine, to those who may enter its room.
func (a *API) getMachine(r *http.Request) (any, *apiError) {
	ticket, apiErr := a.bearerTicket(r)
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr := a.mayHave(r); apiErr != nil {
		return nil, apiErr
	}
	machine, found := a.cfg.Machines.Find(r.PathValue("name"))
	if !found || !ticket.AllowsRoom(machine.Room) || a.keptOut(ticket, machine.Room) {
		return nil, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "You can see no machine of this name."}
	}
	return machineKey{machine.Name, auth.EncodeMachineKey(machine.Key)}, nil
}
