package signal

import (
	"slices"

	"example.org/turnpike/auth"
)

// Caller is a session that shows itself elsewhere than on its WebSocket.
type Caller struct {
	Session string
	Ticket  auth.Ticket
	Rooms   []string // that it is in
	Hosts   []string // those of them that it hosts
	SeesAll bool     // it sees everybody online
}

// Caller returns the session that has this resume token. The token proves who calls, and nothing else: what the session is
// comes from the session. found is false for a token that is not the present one of a session of this process. err is
// why the token is no token of ours, and wraps auth.ErrUnauthorized, or is auth.ErrExpired.
func (srv *Server) Caller(token string) (c Caller, found bool, err error) {
	claims, err := srv.cfg.ResumeTokens.Verify(token)
	if err != nil {
		return Caller{}, false, err
	}
	if c, found = srv.callerOf(&claims); !found || srv.cfg.Revoked(c.Ticket) {
		return Caller{}, false, nil
	}
	return c, true, nil
}

func (srv *Server) callerOf(claims *auth.Resume) (c Caller, found bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s := srv.sessions[claims.Session]
	if s == nil || s.ended || claims.Epoch != srv.epoch || claims.Generation != s.generation {
		return Caller{}, false
	}
	c = Caller{Session: s.id, Ticket: s.ticket, SeesAll: s.sight == PresenceAll}
	for _, r := range s.rooms {
		c.Rooms = append(c.Rooms, r.id)
		if r.host() == s {
			c.Hosts = append(c.Hosts, r.id)
		}
	}
	return c, true
}

// KeptOut reports whether a user was kicked from a room by the room's host, and cannot come back as long as it lives.
func (srv *Server) KeptOut(user, room string) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	r := srv.rooms[room]
	return r != nil && slices.Contains(r.kicked, user)
}
