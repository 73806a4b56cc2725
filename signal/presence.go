package signal

import (
	"cmp"
	"errors"
	"slices"

	"turnpike/auth"
	"turnpike/signal/wire"
)

const (
	sessionIDLength = 16
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
	use       *userUse
}

func (u *user) wire() wire.User { return wire.User{User: u.id, Name: u.name} }

func (s *session) peer() wire.Peer {
	return wire.Peer{Session: s.id, User: s.user.id, Name: s.user.name, Away: s.away != nil && s.away.told}
}

// seesAll reports whether the session sees who is online and may ring them.
func (s *session) seesAll() bool { return s.ticket.Role != auth.RoleGuest }

// hello admits a session, new or resumed, or says why not. The socket may try again.
func (c *socket) hello(m *wire.Hello) *wire.Error {
	srv := c.srv
	if wait := srv.helloWait(c.addr); wait > 0 {
		srv.counters.limited.add(limitedFailedHellos)
		c.refuse(m.ID, rateLimited(wait, "Too many bad tickets from your address."))
		c.shut(wire.CloseRateLimited, wire.ReasonGone)
		return nil
	}
	if e := srv.takeHello(c); e != nil {
		return e
	}
	if m.Resume != nil {
		if resumed, e := c.resume(m); resumed || e != nil {
			return e
		}
		if m.Ticket == "" {
			return failed(wire.CodeNoSuchSession, "There is no such session to resume; say hello with a ticket.")
		}
	}
	ticket, err := srv.cfg.VerifyTicket(m.Ticket)
	if err != nil {
		srv.cfg.Log.Debug("ticket refused", "addr", c.addr, "err", err)
		if !errors.Is(err, auth.ErrExpired) { // that one we signed: nobody is guessing
			srv.countFailedHello(c.addr)
		}
		c.refuse(m.ID, failed(wire.CodeUnauthorized, "The ticket does not admit you; get a new one."))
		if c.refusedTickets++; c.refusedTickets == ticketTries {
			c.shut(wire.CloseUnauthorized, wire.ReasonGone)
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
	s := newSession(srv, auth.NewID(srv.cfg.Rand, sessionIDLength), ticket)
	welcome := c.newWelcome(m.ID, s.id, ticket)
	s.turn.Lock()
	defer s.turn.Unlock()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if e := srv.begin(s, shown, canonical); e != nil {
		return e
	}
	welcome.Online = srv.onlineFor(s)
	srv.welcome(c, s, welcome)
	c.carry(&s.stream)
	srv.counters.begun.add(sessionNew)
	return nil
}

// newSession makes a session that is nowhere yet.
func newSession(srv *Server, id string, ticket auth.Ticket) *session {
	return &session{srv: srv, id: id, ticket: ticket, generation: 1, stream: stream{kept: &srv.kept}}
}

// begin lets a session be known under a name, if nobody else has it. The caller holds mu.
func (srv *Server) begin(s *session, shown, canonical string) *wire.Error {
	if e := srv.mayHaveAnother(s.ticket.User.String()); e != nil {
		return e
	}
	u, e := srv.enter(s.ticket.User.String(), shown, canonical)
	if e != nil {
		return e
	}
	s.user = u
	u.sessions = append(u.sessions, s)
	srv.sessions[s.id] = s
	if s.seesAll() {
		srv.members[s] = struct{}{}
	}
	s.presenceAt = srv.presence.clock
	srv.cfg.Log.Debug("session began", "session", s.id, "user", u.id, "role", s.ticket.Role, "restored", s.restored)
	return nil
}

// onlineFor lists whom s sees. The caller holds mu.
func (srv *Server) onlineFor(s *session) []wire.User {
	if s.seesAll() {
		return srv.usersExcept(s.user)
	}
	return []wire.User{}
}

// enter finds or makes the user of a new session and has the members told. Of
// two names of one user the newer holds.
func (srv *Server) enter(id, name, canonical string) (*user, *wire.Error) {
	u := srv.users[id]
	if holder := srv.names[canonical]; holder != nil && holder != u {
		return nil, failed(wire.CodeNameTaken, "Somebody who is online has that name; choose another.")
	}
	if u != nil && u.name == name {
		return u, nil
	}
	isNew := u == nil
	if isNew {
		u = &user{id: id, use: srv.useOf(id)}
		srv.users[id] = u
	} else {
		srv.presence.note(u, true)
		delete(srv.names, u.canonical)
	}
	u.name, u.canonical = name, canonical
	srv.names[canonical] = u
	if isNew {
		srv.presence.note(u, false)
	}
	return u, nil
}

// exit takes a session's user offline if it was the last session, and ends
// what rang there.
func (srv *Server) exit(s *session, reason string) {
	u := s.user
	u.sessions = slices.DeleteFunc(u.sessions, func(other *session) bool { return other == s })
	if u.call != nil {
		srv.dropFromCall(u.call, s)
	}
	if len(u.sessions) > 0 {
		return
	}
	if reason != wire.ReasonShutdown { // all are told to go
		srv.presence.note(u, true)
	}
	srv.rememberUse(u)
	delete(srv.users, u.id)
	delete(srv.names, u.canonical)
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
