package signal

import (
	"slices"
	"time"

	"example.org/turnpike/signal/wire"
)

// rename gives the session's user the name that it has chosen.
func (s *session) rename(m *wire.Rename) *wire.Error {
	srv := s.srv
	if e := s.takeJoin(); e != nil {
		return e
	}
	if !mayChooseName(&s.ticket) {
		return newError(wire.CodeForbidden, "Your name comes from the app that let you in; change it there.")
	}
	asked, err := srv.chosenName(m.Name, s.ticket.User)
	if err != nil {
		return badField("name", err.Error())
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if e := srv.changeName(s.user, asked, s); e != nil {
		return e
	}
	s.reply(&wire.Renamed{Ref: m.ID, Name: s.user.name})
	return nil
}

// changeName gives a user who is online another name, and tells all who see the user under it. by is the session in whose
// turn this happens, and whose answer says it; nil: none of the user's. The caller holds mu.
func (srv *Server) changeName(u *user, asked askedName, by *session) *wire.Error {
	name, canonical, ok := srv.freeName(u, asked)
	if !ok {
		return srv.nameTaken(u, asked)
	}
	srv.notePresence(u, true)
	srv.dropName(u)
	was := u.name
	srv.setName(u, asked, name, canonical)
	if name != was {
		srv.tellRenamed(u, by)
	}
	return nil
}

// tellRenamed tells a user's sessions of its name, and those who are in a room with one of them, or may let it in. Each room
// counts as a join of the user. The caller holds mu.
func (srv *Server) tellRenamed(u *user, by *session) {
	told := 0
	for _, s := range u.sessions {
		if s != by {
			s.tell(&wire.Renamed{Name: u.name})
		}
		for _, r := range s.rooms {
			srv.tellRoomBut(s, r, &wire.PeerRenamed{Room: r.id, Session: s.id, Name: u.name})
		}
		for _, r := range s.waits {
			srv.tellHosts(r, &wire.PeerRenamed{Room: r.id, Session: s.id, Name: u.name}, nil)
		}
		srv.roomsChanged(s) // the resume token has the name
		told += len(s.rooms) + len(s.waits)
	}
	u.use.spendJoins(time.Now(), srv.cfg.Limits.UserJoins, told)
}

// setName gives a user a name that is free. The caller holds mu.
func (srv *Server) setName(u *user, asked askedName, name, canonical string) {
	u.asked, u.name, u.canonical, u.space, u.chose = asked.shown, name, canonical, asked.space, asked.chosen
	u.nameOwed = nil
	if u.named = asked.since; u.named.IsZero() {
		u.named = time.Now()
	}
	u.text = wire.EncodeUser(u.wire())
	srv.names[canonical] = append(srv.names[canonical], u)
	for _, list := range srv.lists(u) {
		list.insert(u)
	}
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

// tooManyNames says that a user must wait to get another name. The caller holds mu.
func (srv *Server) tooManyNames(u *user) *wire.Error {
	srv.counters.limited.count(limitedUserJoins)
	return rateLimited(u.use.lackJoins(time.Now(), srv.cfg.Limits.UserJoins), "Your name has changed too often.")
}
