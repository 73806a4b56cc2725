package signal

import (
	"slices"
	"time"

	"example.org/turnpike/signal/wire"
)

// user is somebody who is online. Guarded by Server.mu.
type user struct {
	id        string    // auth.User's wire form
	issuer    string    // in id
	asked     string    // the name that the user came with
	name      string    // the same, or with a number that tells it apart from others
	text      []byte    // wire.EncodeUser's
	canonical string    // the form of the name that is unique
	space     string    // where it is unique
	chose     bool      // the user chose the name: nobody else may have it
	named     time.Time // when it got the name: that of a token, or now
	sessions  []*session
	nameOwed  *session // its ticket has the name that the user must wait for; nil: none has
	call      *call    // ringing, rung or answered; at most one
	use       *userUse
}

func (u *user) wire() wire.User { return wire.User{User: u.id, Name: u.name} }

// peerIn is what those in a room know of a session there, or that waits to be let in.
func (s *session) peerIn(r *room) wire.Peer {
	p := wire.Peer{Session: s.id, User: s.user.id, Name: s.user.name, Away: s.away != nil && s.away.told}
	in := s.partIn(r)
	if in.noMedia {
		p.Media = new(bool)
	}
	p.Transports = in.transports
	return p
}

// goOnline finds or makes the user of a new session, and notes the change for members. If the user came with another name
// before, the newer one holds. The caller holds mu.
func (srv *Server) goOnline(id string, asked askedName) (*user, *wire.Error) {
	u := srv.users[id]
	switch {
	case u == nil:
	case u.asked == asked.shown: // with the number that the name may have got
		return u, nil
	case asked.former != "" && !asked.since.After(u.named): // the user has had another name since
		return u, nil
	case asked.former == "" && u.use.lackJoins(time.Now(), srv.cfg.Limits.UserJoins) > 0:
		if asked.chosen || u.chose {
			return nil, srv.tooManyNames(u)
		}
		return u, nil // the session is owed the name of its ticket
	default:
		return u, srv.changeName(u, asked, nil)
	}
	name, canonical, ok := srv.freeName(nil, asked)
	if !ok {
		return nil, srv.nameTaken(nil, asked)
	}
	u = &user{id: id, issuer: issuerOf(id), use: srv.useOf(id)}
	srv.users[id] = u
	srv.setName(u, asked, name, canonical)
	srv.notePresence(u, false)
	return u, nil
}

// goOffline takes a session's user offline if it was the last session, and ends what rang there.
func (srv *Server) goOffline(s *session, reason string) {
	u := s.user
	u.sessions = slices.DeleteFunc(u.sessions, func(other *session) bool { return other == s })
	if u.nameOwed == s {
		u.nameOwed = nil
	}
	if u.call != nil {
		srv.dropFromCall(u.call, s)
	}
	if len(u.sessions) > 0 {
		return
	}
	if reason != wire.ReasonShutdown { // then everybody goes
		srv.notePresence(u, true)
	}
	srv.rememberUse(u)
	srv.dropName(u)
	delete(srv.users, u.id)
}

// NameTaken reports whether a user who is online has the name, in the canonical form of [auth.CleanName].
func (srv *Server) NameTaken(canonical string) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return len(srv.names[canonical]) > 0
}
