package httpapi

import (
	"net/http"
	"strings"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// adminInvite is what a backend asks an invite for.
type adminInvite struct {
	Room string    `json:"room"`
	Role auth.Role `json:"role"` // empty: guest
	Uses int       `json:"uses"` // 0: any number
	TTL  *float64  `json:"ttl"`  // seconds; absent: a day
}

// inviteAnswer is the same object that "turnpike invite --json" prints.
type inviteAnswer struct {
	Link    string    `json:"link"`
	Invite  string    `json:"invite"`
	ID      string    `json:"id"`
	Room    string    `json:"room"`
	Role    auth.Role `json:"role"`
	Uses    int       `json:"uses"`
	Expires time.Time `json:"expires"`
}

const defaultInviteTTL = 24 * time.Hour

// postAdminInvite makes an invite, which is exchanged for tickets by POST /api/v1/tickets.
func (a *API) postAdminInvite(r *http.Request) (any, *apiError) {
	var req adminInvite
	if apiErr := readJSON(r, &req); apiErr != nil {
		return nil, apiErr
	}
	inv, apiErr := req.invite()
	if apiErr != nil {
		return nil, apiErr
	}
	ttl, apiErr := lifetime(req.TTL, defaultInviteTTL)
	if apiErr != nil {
		return nil, apiErr
	}
	token, inv, err := a.cfg.Invites.Issue(inv, ttl)
	if err != nil {
		return nil, a.internalError("issue an invite", err)
	}
	if err := a.cfg.RecordInvite(inv); err != nil {
		return nil, a.internalError("record an invite", err)
	}
	return answerInvite(inv, token, a.cfg.PublicURL()), nil
}

// invite returns what was asked for, without ID and expiry.
func (req *adminInvite) invite() (auth.Invite, *apiError) {
	inv := auth.Invite{Room: strings.ToLower(req.Room), Role: req.Role, Uses: req.Uses}
	if inv.Role == "" {
		inv.Role = auth.RoleGuest
	}
	switch apiErr := goodRole(inv.Role); {
	case apiErr != nil:
		return inv, apiErr
	case !wire.ValidRoom(inv.Room):
		return inv, badRequest("room", `This must be 1 to 64 of a-z, 0-9 and "-", with no "-" at either end.`)
	case auth.IsCodeRoom(inv.Room):
		return inv, badRequest("room", "This is the room of a code, which only the code opens.")
	case inv.Uses < 0:
		return inv, badRequest("uses", "This must be 1 or more, or 0 for any number.")
	}
	return inv, nil
}
