package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// Sessions finds who calls, and who is kept out of rooms.
type Sessions interface {
	// Caller returns the live session that has a token. found is false if there is none any more; err is why the token is none.
	Caller(token string) (c Caller, found bool, err error)
	// KeptOut reports whether a room's host has kicked a user from it.
	KeptOut(user, room string) bool
}

// Caller is the session of a user who asks something over HTTP.
type Caller struct {
	Ticket  auth.Ticket
	Rooms   []string // that it is in
	Hosts   []string // those of them that it hosts
	SeesAll bool     // it sees everybody online
}

// OwnInvites keeps the invites that users make. auth.Ledger has them.
type OwnInvites interface {
	RecordOwn(inv auth.Invite, by auth.Ticket, atOnce int) error
	ListOwn(user string) []auth.LedgerEntry
	RevokeOwn(id, user string) error
	Find(id string) (auth.LedgerEntry, bool)
	// Refresh reads what other processes have recorded since.
	Refresh() error
}

// inviteRequest is what a user asks an invite for.
type inviteRequest struct {
	Room      string    `json:"room"`
	Role      auth.Role `json:"role"`      // empty: guest
	Uses      int       `json:"uses"`      // 0: any number
	ExpiresIn *float64  `json:"expiresIn"` // seconds; absent: a day, or less if it may not be a day
}

// ownInvite is an invite that the user has made.
type ownInvite struct {
	inviteAnswer
	Used int `json:"used"`
}

// yourInvite is the invite by which the user has come. Its link is the user's own.
type yourInvite struct {
	Room    string    `json:"room"`
	Role    auth.Role `json:"role"`
	Uses    int       `json:"uses"` // 0: any number
	Used    int       `json:"used"`
	Expires time.Time `json:"expires"`
}

// invitesAnswer is what a user learns of invites.
type invitesAnswer struct {
	Invites []ownInvite `json:"invites"`
	Yours   *yourInvite `json:"yours,omitempty"`
	Roles   []auth.Role `json:"roles"` // that the user may give; none: it may make no invite
}

// minInviteTTL is the least that an invite may be valid: shorter ones would fill the list of invites, and help nobody.
const minInviteTTL = time.Minute

// caller returns the session that a request comes from.
func (a *API) caller(r *http.Request) (Caller, *apiError) {
	token := bearer(r)
	if token == "" {
		return Caller{}, unauthorized("Send the session's resume token: Authorization: Bearer TOKEN.")
	}
	if apiErr := a.mayTry(r); apiErr != nil {
		return Caller{}, apiErr
	}
	c, found, err := a.cfg.Sessions.Caller(token)
	switch {
	case errors.Is(err, auth.ErrExpired), err == nil && !found:
		return Caller{}, &apiError{
			Status: http.StatusUnauthorized, Code: string(wire.CodeNoSuchSession), Message: "This is not the present resume token of a session; send the newest one.",
		}
	case err != nil:
		a.logRefused(r, "resume token", token, err)
		return Caller{}, a.failed(r, "This resume token is not valid.")
	}
	user := bucketShare[string]{c.Ticket.User.String(), 1}
	if wait := a.inviters.take(user); wait > 0 {
		a.logWait(r, "too many requests about invites", "limits.invite_requests_per_minute_per_user")
		return Caller{}, tooMany("You ask too often about invites; try again later.", wait)
	}
	return c, nil
}

// postInvite makes an invite for a user, to a room that the user may let others into.
func (a *API) postInvite(r *http.Request) (any, *apiError) {
	c, apiErr := a.caller(r)
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr := a.mayHave(r); apiErr != nil {
		return nil, apiErr
	}
	var req inviteRequest
	if apiErr := readJSON(r, &req); apiErr != nil {
		return nil, apiErr
	}
	wanted := adminInvite{Room: req.Room, Role: req.Role, Uses: req.Uses}
	inv, apiErr := wanted.invite()
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr := a.mayInvite(&c, inv); apiErr != nil {
		return nil, apiErr
	}
	ttl, apiErr := a.inviteTTL(&c, req.ExpiresIn)
	if apiErr != nil {
		return nil, apiErr
	}
	token, inv, err := a.cfg.Invites.Issue(inv, ttl)
	if err != nil {
		return nil, a.internalError("issue an invite", err)
	}
	if err := a.cfg.OwnInvites.RecordOwn(inv, c.Ticket, a.cfg.InvitesEach); err != nil {
		return nil, a.notRecorded(err)
	}
	a.log.Info("invite made", "invite", inv.ID, "user", c.Ticket.User, "room", inv.Room, "role", inv.Role, "uses", inv.Uses, "expires", inv.Expires)
	return ownInvite{answerInvite(inv, token, a.pagesFor(r)), 0}, nil
}

func answerInvite(inv auth.Invite, token, base string) inviteAnswer {
	return inviteAnswer{auth.InviteLink(base, inv.Room, token), token, inv.ID, inv.Room, inv.Role, inv.Uses, inv.Expires}
}

// pagesFor is the URL of the pages as a client reaches them: without public_host, at the host that its request names.
func (a *API) pagesFor(r *http.Request) string {
	public := a.cfg.PublicURL()
	if a.cfg.PublicOrigin != "" || r.Host == "" {
		return public
	}
	scheme, _, _ := strings.Cut(public, "://")
	if a.cfg.TrustedProxies.contain(remoteAddr(r)) && r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// keptOut reports whether somebody was thrown out of a room: by its host, or for good.
func (a *API) keptOut(who auth.Ticket, room string) bool {
	return a.cfg.Sessions.KeptOut(who.User.String(), room) || a.cfg.RefusesRoom != nil && a.cfg.RefusesRoom(who, room)
}

// mayInvite says why a user may not make this invite.
func (a *API) mayInvite(c *Caller, inv auth.Invite) *apiError {
	roles := a.rolesToGive(c)
	switch {
	case a.cfg.InviteMaxTTL == 0:
		return forbidden("", "Users of this server make no invites.")
	case len(roles) == 0 && a.cfg.Guests == GuestsAlways:
		return forbidden("", "Nobody needs an invite here; the room's own link lets everybody in.")
	case len(roles) == 0:
		return forbidden("", "Guests may invite people to rooms that they host, and to no others.")
	case !c.Ticket.AllowsRoom(inv.Room), a.keptOut(c.Ticket, inv.Room):
		return forbidden("room", "You may not enter this room yourself.")
	case c.Ticket.Role == auth.RoleGuest && !a.cfg.GuestInvites && !slices.Contains(c.Hosts, inv.Room):
		return forbidden("room", "Guests may invite people to rooms that they host, and to no others.")
	case c.Ticket.Role == auth.RoleGuest && !slices.Contains(c.Rooms, inv.Room):
		return forbidden("room", "Guests may invite people to rooms that they are in, and to no others.")
	case !slices.Contains(roles, inv.Role):
		return forbidden("role", "You may give these roles: "+roleNames(roles)+".")
	}
	return nil
}

// rolesToGive returns the roles that a user may give by an invite: none above the user's own. An invite makes a user of ours.
// So users whose issuer does not let them see everybody invite guests alone, who see nobody.
func (a *API) rolesToGive(c *Caller) []auth.Role {
	if a.cfg.InviteMaxTTL == 0 {
		return []auth.Role{}
	}
	if c.Ticket.Role == auth.RoleGuest {
		hosts := len(c.Hosts) > 0 && a.cfg.Guests != GuestsAlways
		if hosts || a.cfg.GuestInvites && len(c.Rooms) > 0 {
			return []auth.Role{auth.RoleGuest}
		}
		return []auth.Role{}
	}
	all := []auth.Role{auth.RoleGuest, auth.RoleMember, auth.RoleModerator, auth.RoleAdmin}
	if !c.SeesAll {
		return all[:1]
	}
	return all[:slices.Index(all, c.Ticket.Role)+1]
}

// inviteTTL is how long an invite of a user is valid: no longer than the one by which the user has come.
func (a *API) inviteTTL(c *Caller, asked *float64) (time.Duration, *apiError) {
	most := a.cfg.InviteMaxTTL
	ttl := min(defaultInviteTTL, most)
	if asked != nil {
		if !(*asked >= minInviteTTL.Seconds() && *asked <= most.Seconds()) {
			return 0, badRequest("expiresIn", "This must be a number of seconds, from 60 to "+strconv.Itoa(int(most.Seconds()))+".")
		}
		ttl = time.Duration(*asked) * time.Second
	}
	if c.Ticket.Invite != "" {
		parent, known := a.cfg.OwnInvites.Find(c.Ticket.Invite)
		if known {
			ttl = min(ttl, parent.Expires.Sub(a.cfg.Now()).Truncate(time.Second))
		}
		if !known || ttl < minInviteTTL {
			return 0, forbidden("", "The invite by which you came has expired, and so you can invite nobody.")
		}
	}
	return ttl, nil
}

func (a *API) notRecorded(err error) *apiError {
	switch {
	case errors.Is(err, auth.ErrTooManyInvites):
		return &apiError{Status: http.StatusForbidden, Code: "too-many-invites", Message: "You have made as many invites as you may; revoke one, or wait until some have expired."}
	case errors.Is(err, auth.ErrInvitesFull):
		a.log.Warn("users have made as many invites as the server keeps; no user can make one until some expire")
		return &apiError{Status: http.StatusServiceUnavailable, Code: "too-many-invites", Message: "This server keeps as many invites as it can; try again later.", retryAfter: time.Minute}
	case errors.Is(err, auth.ErrInviteRevoked), errors.Is(err, auth.ErrKicked):
		return forbidden("", "You were thrown out, and so you can invite nobody.")
	}
	return a.internalError("record an invite", err)
}

// getInvites lists the invites that a user has made and are good, and the one by which the user has come.
func (a *API) getInvites(r *http.Request) (any, *apiError) {
	c, apiErr := a.caller(r)
	if apiErr != nil {
		return nil, apiErr
	}
	base := a.pagesFor(r)
	answer := invitesAnswer{Invites: []ownInvite{}, Roles: a.rolesToGive(&c)}
	for _, entry := range a.cfg.OwnInvites.ListOwn(c.Ticket.User.String()) {
		token, err := a.cfg.Invites.Sign(entry.Invite)
		if err != nil {
			return nil, a.internalError("sign an invite", err)
		}
		answer.Invites = append(answer.Invites, ownInvite{answerInvite(entry.Invite, token, base), entry.Used})
	}
	if came, found := a.cfg.OwnInvites.Find(c.Ticket.Invite); found && came.Room != "" && !came.Revoked && came.Expires.After(a.cfg.Now()) {
		answer.Yours = &yourInvite{came.Room, came.Role, came.Uses, came.Used, came.Expires}
	}
	return answer, nil
}

// deleteInvite revokes an invite that the user has made. Sessions of people who came by it end within two seconds.
func (a *API) deleteInvite(r *http.Request) (any, *apiError) {
	c, apiErr := a.caller(r)
	if apiErr != nil {
		return nil, apiErr
	}
	id, user := r.PathValue("id"), c.Ticket.User.String()
	switch err := a.cfg.OwnInvites.RevokeOwn(id, user); {
	case errors.Is(err, auth.ErrNoSuchInvite):
		return nil, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "You have made no such invite."}
	case err != nil:
		return nil, a.internalError("revoke an invite", err)
	}
	a.log.Info("invite revoked by its maker", "invite", id, "user", user)
	return struct{}{}, nil
}

func forbidden(field, message string) *apiError {
	return &apiError{Status: http.StatusForbidden, Code: string(wire.CodeForbidden), Message: message, Field: field}
}

func roleNames(roles []auth.Role) string {
	words := make([]string, len(roles))
	for i, role := range roles {
		words[i] = string(role)
	}
	return strings.Join(words, ", ")
}
