package httpapi

import (
	"net/http"
	"path"
	"unicode/utf8"

	"example.org/turnpike/auth"
)

// adminTicket is what a backend asks a ticket for.
type adminTicket struct {
	User  string    `json:"user"` // the subject: the same for the same user each time; empty: a new one
	Name  string    `json:"name"` // empty: the client chooses
	Rooms []string  `json:"rooms"`
	Role  auth.Role `json:"role"` // empty: guest
	TTL   *float64  `json:"ttl"`  // seconds; absent: auth.ticket_ttl
}

// issuedTicket is the same object that "turnpike ticket --json" prints.
type issuedTicket struct {
	User string `json:"user"` // as others see it
	ticketAnswer
}

// Bounds of a ticket that a backend may ask for. A session's resume token repeats user and rooms, and has to fit too.
const (
	maxSubject       = 255
	maxTicketRooms   = 256
	maxTicketPattern = 128
	maxPatternBytes  = 2 << 10
)

// postAdminTicket mints a ticket for a user of a backend that has no tokens of its own.
func (a *API) postAdminTicket(r *http.Request) (any, *apiError) {
	var req adminTicket
	if apiErr := readJSON(r, &req); apiErr != nil {
		return nil, apiErr
	}
	if apiErr := req.check(); apiErr != nil {
		return nil, apiErr
	}
	ttl, apiErr := lifetime(req.TTL, a.cfg.TicketTTL)
	if apiErr != nil {
		return nil, apiErr
	}
	ticket := auth.Ticket{User: auth.User{Subject: req.User}, Rooms: req.Rooms, Role: req.Role}
	if req.Name != "" {
		if ticket.Name = auth.FitName(req.Name); ticket.Name == "" {
			return nil, badRequest("name", "A name needs at least one visible character.")
		}
	}
	token, issued, err := a.cfg.Tickets.Issue(ticket, ttl)
	if err != nil {
		return nil, a.internalError("issue a ticket", err)
	}
	return issuedTicket{issued.User.String(), ticketAnswer{token, issued.Expires, issued.Name, issued.Role, issued.Rooms}}, nil
}

// check refuses what Issue would, and what would be mistaken. It fills in the role.
func (t *adminTicket) check() *apiError {
	if t.Role == "" {
		t.Role = auth.RoleGuest
	}
	if apiErr := goodRole(t.Role); apiErr != nil {
		return apiErr
	}
	if len(t.User) > maxSubject || !utf8.ValidString(t.User) || auth.HasControl(t.User) {
		return badRequest("user", "This must have at most 255 bytes, and no control characters.")
	}
	if t.Rooms == nil {
		return badRequest("rooms", `Name the rooms that the ticket opens, like ["standup"] or ["team-*"]; ["*"] opens all.`)
	}
	total := 0
	for _, pattern := range t.Rooms {
		_, err := path.Match(pattern, "")
		if total += len(pattern); pattern == "" || len(pattern) > maxTicketPattern || total > maxPatternBytes || err != nil || len(t.Rooms) > maxTicketRooms {
			return badRequest("rooms", "These must be at most 256 names or patterns of 1 to 128 characters, with 2048 in all.")
		}
	}
	return nil
}
