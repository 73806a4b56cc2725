package httpapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"example.org/turnpike/auth"
)

type ticketRequest struct {
	Name   string `json:"name"`
	Invite string `json:"invite"`
}

type ticketAnswer struct {
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires"`
	Name    string    `json:"name"`
	Role    auth.Role `json:"role"`
	Rooms   []string  `json:"rooms"`
}

// postTicket gives a ticket for an invite, or without one to a guest that auth.guests admits.
func (a *API) postTicket(r *http.Request) (any, *apiError) {
	var req ticketRequest
	if apiErr := readJSON(r, &req); apiErr != nil {
		return nil, apiErr
	}
	ticket, invite, apiErr := a.admit(r, req.Invite)
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr := a.mayHave(r); apiErr != nil { // counts for refused names, too, or an address could ask for all who are online
		return nil, apiErr
	}
	shown, canonical, err := auth.CleanName(req.Name)
	if err != nil {
		return nil, badRequest("name", sentence(err))
	}
	if a.cfg.NameTaken(canonical) {
		return nil, nameTaken()
	}
	if apiErr := a.useInvite(invite); apiErr != nil { // last of all, so that a bad name costs no use
		return nil, apiErr
	}
	ticket.Name, ticket.Chosen = shown, true
	token, issued, err := a.cfg.Tickets.Issue(ticket, a.cfg.TicketTTL)
	if err != nil {
		a.log.Error("issue a ticket", "err", err)
		return nil, &apiError{Status: http.StatusInternalServerError, Code: "internal", Message: "The server could not make a ticket."}
	}
	return ticketAnswer{token, issued.Expires, issued.Name, issued.Role, issued.Rooms}, nil
}

// admit decides what the visitor may do: by the invite, which it returns, else by the request's source.
func (a *API) admit(r *http.Request, invite string) (auth.Ticket, auth.Invite, *apiError) {
	if invite != "" {
		if apiErr := a.mayTry(r); apiErr != nil {
			return auth.Ticket{}, auth.Invite{}, apiErr
		}
		inv, err := a.cfg.Invites.Verify(invite)
		switch {
		case errors.Is(err, auth.ErrExpired):
			return auth.Ticket{}, auth.Invite{}, &apiError{Status: http.StatusUnauthorized, Code: "expired", Message: "This invite has expired; ask for a new link."}
		case err != nil:
			a.logRefused(r, "invite", invite, err)
			return auth.Ticket{}, auth.Invite{}, a.failed(r, "This invite is not valid.")
		}
		return auth.Ticket{Rooms: []string{inv.Room}, Role: inv.Role, Invite: inv.ID}, inv, nil
	}
	switch {
	case a.cfg.Guests == GuestsAlways:
		return auth.Ticket{Rooms: []string{"*"}, Role: auth.RoleGuest, WalkIn: true}, auth.Invite{}, nil
	case a.cfg.Guests == GuestsLoopback && a.local(r):
		return auth.Ticket{Rooms: []string{"*"}, Role: auth.RoleMember, WalkIn: true}, auth.Invite{}, nil
	}
	return auth.Ticket{}, auth.Invite{}, &apiError{Status: http.StatusUnauthorized, Code: "invite-required", Message: "You need an invite link to get in here."}
}

// useInvite counts a use of the invite, if there is one.
func (a *API) useInvite(inv auth.Invite) *apiError {
	if inv.ID == "" {
		return nil
	}
	err := error(auth.ErrInviteRevoked)
	if kept, _ := a.cfg.OwnInvites.Find(inv.ID); kept.By == "" || !a.cfg.Sessions.KeptOut(kept.By, inv.Room) { // or who was kicked could send others, or come as another
		err = a.cfg.UseInvite(inv)
	}
	switch {
	case errors.Is(err, auth.ErrInviteUsed):
		return &apiError{Status: http.StatusForbidden, Code: "invite-used", Message: "This invite has been used; ask for a new link."}
	case errors.Is(err, auth.ErrInviteRevoked):
		return &apiError{Status: http.StatusForbidden, Code: "invite-revoked", Message: "This invite was taken back; ask for a new link."}
	case err != nil:
		a.log.Error("use an invite", "invite", inv.ID, "err", err)
		return &apiError{Status: http.StatusInternalServerError, Code: "internal", Message: "The server could not make a ticket."}
	}
	return nil
}

func nameTaken() *apiError {
	return &apiError{Status: http.StatusConflict, Code: "name-taken", Message: "Somebody who is online, or a machine, has this name; choose another.", Field: "name"}
}

// sentence makes one of an error that is fit to be shown.
func sentence(err error) string {
	s := err.Error()
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
