package signal

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"turnpike/auth"
	"turnpike/signal/wire"
)

const (
	sessionIDLength = 16
	resumeLength    = 32
	// ticketTries is how many refused tickets close a socket.
	ticketTries = 3
)

// user is somebody who is online. Guarded by Server.mu.
type user struct {
	id        string // auth.User's wire form
	name      string
	canonical string // what name is unique by
	sessions  []*session
	call      *call // ringing, rung or answered; at most one
}

func (u *user) wire() wire.User { return wire.User{User: u.id, Name: u.name} }

func (s *session) peer() wire.Peer {
	return wire.Peer{Session: s.id, User: s.user.id, Name: s.user.name}
}

// seesAll reports whether the session sees who is online and may ring them.
func (s *session) seesAll() bool { return s.ticket.Role != auth.RoleGuest }

// hello admits a session, or says why not. The socket may try again.
func (s *session) hello(m *wire.Hello) *wire.Error {
	srv := s.srv
	if wait := srv.helloWait(s.addr); wait > 0 {
		s.answer(m.ID, rateLimited(wait, "Too many bad tickets from your address."))
		s.shut(wire.CloseRateLimited, wire.ReasonGone)
		return nil
	}
	ticket, err := srv.cfg.VerifyTicket(m.Ticket)
	if err != nil {
		srv.cfg.Log.Debug("ticket refused", "addr", s.addr, "err", err)
		if !errors.Is(err, auth.ErrExpired) { // that one we signed: nobody is guessing
			srv.countFailedHello(s.addr)
		}
		s.answer(m.ID, failed(wire.CodeUnauthorized, "The ticket does not admit you; get a new one."))
		if s.refusedTickets++; s.refusedTickets == ticketTries {
			s.shut(wire.CloseUnauthorized, wire.ReasonGone)
		}
		return nil
	}
	name := ticket.Name
	if m.Name != "" && (name == "" || ticket.Role == auth.RoleGuest) {
		name = m.Name // the names of others are vouched for by whoever made the ticket
	}
	shown, canonical, err := auth.CleanName(name)
	if err != nil {
		return badField("name", err.Error())
	}
	id := auth.NewID(srv.cfg.Rand, sessionIDLength)
	servers, expires := srv.cfg.ICEServers(id, ticket.User, s.request())
	welcome := &wire.Welcome{
		Ref: m.ID, Session: id, User: ticket.User.String(), Role: string(ticket.Role),
		Resume:     auth.NewID(srv.cfg.Rand, resumeLength),
		ICEServers: orEmpty(servers), ICEExpires: expires,
	}

	srv.mu.Lock()
	defer srv.mu.Unlock()
	u, e := srv.enter(welcome.User, shown, canonical)
	if e != nil {
		return e
	}
	s.id, s.ticket, s.user = id, ticket, u
	u.sessions = append(u.sessions, s)
	srv.sessions[id] = s
	if s.seesAll() {
		srv.members[s] = struct{}{}
	}
	s.renewAt = renewalTime(time.Now(), expires)
	welcome.Name = u.name
	welcome.Online = []wire.User{}
	if s.seesAll() {
		welcome.Online = srv.usersExcept(u)
	}
	s.send(welcome)
	srv.counters.begun.add(sessionNew)
	srv.cfg.Log.Debug("session began", "session", id, "user", u.id, "role", ticket.Role)
	return nil
}

// enter finds or makes the user of a new session and tells the members. Of two
// names of one user the newer holds.
func (srv *Server) enter(id, name, canonical string) (*user, *wire.Error) {
	u := srv.users[id]
	if holder := srv.names[canonical]; holder != nil && holder != u {
		return nil, failed(wire.CodeNameTaken, "Somebody who is online has that name; choose another.")
	}
	if u != nil && u.name == name {
		return u, nil
	}
	if u == nil {
		u = &user{id: id}
		srv.users[id] = u
	} else {
		delete(srv.names, u.canonical)
	}
	u.name, u.canonical = name, canonical
	srv.names[canonical] = u
	srv.tellMembers(u, &wire.Online{Users: []wire.User{u.wire()}})
	return u, nil
}

// exit takes a session's user offline if it was the last session, and ends
// what rang there.
func (srv *Server) exit(s *session) {
	u := s.user
	u.sessions = slices.DeleteFunc(u.sessions, func(other *session) bool { return other == s })
	if u.call != nil {
		srv.dropFromCall(u.call, s)
	}
	if len(u.sessions) > 0 {
		return
	}
	delete(srv.users, u.id)
	delete(srv.names, u.canonical)
	srv.tellMembers(u, &wire.Offline{Users: []wire.User{u.wire()}})
}

// tellMembers sends m to every session that sees all, but not to u's own.
func (srv *Server) tellMembers(u *user, m wire.Message) {
	if srv.draining || len(srv.members) == 0 {
		return
	}
	data := srv.encode(m)
	for s := range srv.members {
		if s.user != u {
			s.pushText(data)
		}
	}
}

func (srv *Server) usersExcept(u *user) []wire.User {
	list := make([]wire.User, 0, len(srv.users))
	for _, other := range srv.users {
		if other != u {
			list = append(list, other.wire())
		}
	}
	slices.SortFunc(list, func(a, b wire.User) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.User, b.User)) })
	return list
}

// NameTaken reports whether somebody who is online has the name, in the
// canonical form of [auth.CleanName].
func (srv *Server) NameTaken(canonical string) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.names[canonical] != nil
}
