package signal

import (
	"slices"

	"turnpike/signal/wire"
)

// user is somebody who is online. Guarded by Server.mu.
type user struct {
	id        string // auth.User's wire form
	issuer    string // in id
	asked     string // the name that the user came with
	name      string // the same, or with a number that tells it apart from others
	text      []byte // wire.EncodeUser's
	canonical string // the form of the name that is unique
	space     string // where it is unique
	chose     bool   // the user chose the name: nobody else may have it
	sessions  []*session
	call      *call // ringing, rung or answered; at most one
	use       *userUse
}

func (u *user) wire() wire.User { return wire.User{User: u.id, Name: u.name} }

func (s *session) peer() wire.Peer {
	return wire.Peer{Session: s.id, User: s.user.id, Name: s.user.name, Away: s.away != nil && s.away.told}
}

// goOnline finds or makes the user of a new session, and notes the change for members. If the user came with another name
// before, the newer one holds. The caller holds mu.
func (srv *Server) goOnline(id string, asked askedName) (*user, *wire.Error) {
	u := srv.users[id]
	if u != nil && u.asked == asked.shown {
		return u, nil // with the number that the name may have got
	}
	name, canonical, ok := srv.freeName(u, asked)
	if !ok {
		return nil, newError(wire.CodeNameTaken, "Somebody who is online has that name; choose another.")
	}
	isNew := u == nil
	if isNew {
		u = &user{id: id, issuer: issuerOf(id), use: srv.useOf(id)}
		srv.users[id] = u
	} else {
		srv.notePresence(u, true)
		srv.dropName(u)
	}
	u.asked, u.name, u.canonical, u.space, u.chose = asked.shown, name, canonical, asked.space, asked.chosen
	u.text = wire.EncodeUser(u.wire())
	srv.names[canonical] = append(srv.names[canonical], u)
	for _, list := range srv.lists(u) {
		list.insert(u)
	}
	if isNew {
		srv.notePresence(u, false)
	}
	return u, nil
}

// goOffline takes a session's user offline if it was the last session, and ends what rang there.
func (srv *Server) goOffline(s *session, reason string) {
	u := s.user
	u.sessions = slices.DeleteFunc(u.sessions, func(other *session) bool { return other == s })
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

// dropName takes a user out of what is sorted or found by name. The caller holds mu.
func (srv *Server) dropName(u *user) {
	for _, list := range srv.lists(u) {
		list.remove(u)
	}
	holders := slices.DeleteFunc(srv.names[u.canonical], func(other *user) bool { return other == u })
	if srv.names[u.canonical] = holders; len(holders) == 0 {
		delete(srv.names, u.canonical)
	}
}

// NameTaken reports whether a user who is online has the name, in the canonical form of [auth.CleanName].
func (srv *Server) NameTaken(canonical string) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return len(srv.names[canonical]) > 0
}
