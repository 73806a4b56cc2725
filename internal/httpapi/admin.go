package httpapi

import (
	"net/http"
	"time"

	"example.org/turnpike/auth"
)

// The paths below /api/v1/admin are for backends, which have one of auth.api_keys, and for the commands on the server's
// machine, which reach them by a socket that only the server's user may open.

// People is what the API learns and does by signaling and relaying together.
type People interface {
	// Users returns who is online, sorted by user.
	Users() []User
	// Rooms returns the rooms, sorted by name.
	Rooms() []Room
	// Room returns one of them.
	Room(name string) (Room, bool)
	// Kick throws a user out, of one room or of everything, until the user has a new ticket. It returns how many sessions
	// that concerned.
	Kick(who auth.Kick) (sessions int, err error)
}

// User is a user who is online.
type User struct {
	User     string    `json:"user"`
	Name     string    `json:"name"`
	Relays   int       `json:"relays"` // also those by credentials that belong to no session
	Sessions []Session `json:"sessions"`
}

// Session is a session of a user, or in a room: User, Name and Rooms stand only where they are not known from there.
type Session struct {
	Session string    `json:"session"`
	User    string    `json:"user,omitempty"`
	Name    string    `json:"name,omitempty"`
	Role    auth.Role `json:"role"`
	Since   time.Time `json:"since"`
	Address string    `json:"address"` // as limits count it: an IPv4 address, or an IPv6 /64
	Away    bool      `json:"away,omitempty"`
	Rooms   []string  `json:"rooms,omitzero"`
	Relays  int       `json:"relays"`
}

// Room is a room and who is in it.
type Room struct {
	Room     string    `json:"room"`
	Size     int       `json:"size"`
	Host     string    `json:"host,omitempty"` // a session
	Locked   bool      `json:"locked,omitempty"`
	Waiting  bool      `json:"waiting,omitempty"` // it has a waiting room
	Sessions []Session `json:"sessions"`
}

// handler answers a request with an object, or an error.
type handler func(*http.Request) (any, *apiError)

type adminPath struct {
	method, path string
	handle       handler
	lists        bool // it walks over all who are here, and so may come less often
}

func (a *API) adminPaths() []adminPath {
	return []adminPath{
		{http.MethodGet, "/api/v1/admin/users", a.getUsers, true},
		{http.MethodDelete, "/api/v1/admin/users/{user}", a.deleteUser, false},
		{http.MethodGet, "/api/v1/admin/rooms", a.getRooms, true},
		{http.MethodGet, "/api/v1/admin/rooms/{room}", a.getRoom, false},
		{http.MethodDelete, "/api/v1/admin/rooms/{room}/users/{user}", a.deleteRoomUser, false},
		{http.MethodGet, "/api/v1/admin/machines", a.getMachines, true},
		{http.MethodDelete, "/api/v1/admin/machines/{name}", a.deleteMachine, false},
		{http.MethodPost, "/api/v1/admin/tickets", a.postAdminTicket, false},
		{http.MethodPost, "/api/v1/admin/invites", a.postAdminInvite, false},
	}
}

// Local answers the paths of admins without a key. It is for a socket that only the server's user may open.
func (a *API) Local() http.Handler {
	mux := http.NewServeMux()
	for _, p := range a.adminPaths() {
		mux.Handle(p.method+" "+p.path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r, p.handle) }))
	}
	return mux
}

// withKey has only a request with an API key handled.
func (a *API) withKey(p adminPath) handler {
	return func(r *http.Request) (any, *apiError) {
		if len(a.cfg.APIKeys) == 0 {
			return nil, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "This server has no keys for backends; its operator can add auth.api_keys."}
		}
		if apiErr := a.checkKey(r); apiErr != nil {
			return nil, apiErr
		}
		allowed := a.admins
		if p.lists {
			allowed = a.lists
		}
		if wait := allowed.take(a.client(r)); wait > 0 {
			a.logWait(r, "too many requests with an API key", "limits.api_requests_per_second_per_address")
			return nil, tooMany("Too many requests from this address; try again later.", wait)
		}
		return p.handle(r)
	}
}

// pageSize is how many users or rooms one answer lists.
const pageSize = 500

// page returns the part of a sorted list after a key, and the key to go on with, empty if there are no more.
func page[T any](list []T, key func(T) string, after string) (part []T, next string) {
	part = make([]T, 0, min(len(list), pageSize))
	for _, item := range list {
		if key(item) <= after && after != "" {
			continue
		}
		if len(part) == pageSize {
			return part, key(part[pageSize-1])
		}
		part = append(part, item)
	}
	return part, ""
}

// lifetime reads the seconds that a ticket or an invite is to live; absent: the default.
func lifetime(seconds *float64, byDefault time.Duration) (time.Duration, *apiError) {
	if seconds == nil {
		return byDefault, nil
	}
	if !(*seconds >= 1 && *seconds <= maxLifetime.Seconds()) {
		return 0, badRequest("ttl", "This must be a number of seconds, from 1 to 31536000 (a year).")
	}
	return time.Duration(*seconds) * time.Second, nil
}

const maxLifetime = 365 * 24 * time.Hour

func goodRole(role auth.Role) *apiError {
	switch role {
	case auth.RoleGuest, auth.RoleMember, auth.RoleModerator, auth.RoleAdmin:
		return nil
	}
	return badRequest("role", "This must be guest, member, moderator or admin.")
}

// internalError logs what the client does not learn.
func (a *API) internalError(what string, err error) *apiError {
	a.log.Error(what, "err", err)
	return &apiError{Status: http.StatusInternalServerError, Code: "internal", Message: "The server failed."}
}
