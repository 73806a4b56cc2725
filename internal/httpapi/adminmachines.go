package httpapi

import (
	"errors"
	"net/http"
	"time"

	"example.org/turnpike/auth"
)

// ListedMachine is a machine that has joined, as backends and "turnpike machines" see it.
type ListedMachine struct {
	Name     string    `json:"name"`
	Role     auth.Role `json:"role"`
	Room     string    `json:"room"`
	Key      string    `json:"key"` // the public one, in base64url
	Invite   string    `json:"invite"`
	Joined   time.Time `json:"joined"`
	Sessions int       `json:"sessions"` // that are there now
}

// ListMachine describes a machine that has so many sessions.
func ListMachine(m auth.Machine, sessions int) ListedMachine {
	return ListedMachine{m.Name, m.Role, m.Room, auth.EncodeMachineKey(m.Key), m.Invite, m.Made.Truncate(time.Second), sessions}
}

type machinesAnswer struct {
	Machines []ListedMachine `json:"machines"`
	Next     string          `json:"next,omitempty"` // the value of "after" that asks for more
}

// getMachines lists the machines that have joined, online or not.
func (a *API) getMachines(r *http.Request) (any, *apiError) {
	if err := a.cfg.Machines.Refresh(); err != nil {
		return nil, a.internalError("read the machines", err)
	}
	sessions := map[string]int{}
	for _, u := range a.cfg.People.Users() {
		sessions[u.User] = len(u.Sessions)
	}
	listed := []ListedMachine{}
	for _, m := range a.cfg.Machines.List() {
		listed = append(listed, ListMachine(m, sessions[m.User().String()]))
	}
	part, next := page(listed, func(m ListedMachine) string { return m.Name }, r.URL.Query().Get("after"))
	return machinesAnswer{part, next}, nil
}

// deleteMachine revokes a machine: its sessions and relays end at once, and its name is free.
func (a *API) deleteMachine(r *http.Request) (any, *apiError) {
	sessions, err := a.cfg.RevokeMachine(r.PathValue("name"))
	switch {
	case errors.Is(err, auth.ErrNoMachine):
		return nil, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "No machine of this name has joined."}
	case err != nil:
		return nil, a.internalError("revoke a machine", err)
	}
	return kickAnswer{sessions}, nil
}
