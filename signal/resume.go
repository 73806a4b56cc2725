package signal

import (
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

const (
	// tokenRenewal is how long a client keeps a resume token before it gets the next. A token is good for longer
	// (auth.ResumeTTL), so that a client which slept through the renewal can still come back.
	tokenRenewal = auth.ResumeTTL / 2
	// tokenDelay gathers changes of a session's rooms for one new token.
	tokenDelay = time.Second
)

// resumes reports whether sessions outlive their connections here.
func (srv *Server) resumes() bool { return srv.cfg.ResumeWindow > 0 }

// resume has the connection carry a session that is in this process already, or was in another. It reports false if
// there is no such session: then the ticket counts, if there is one.
func (c *conn) resume(m *wire.Hello) (resumed bool, e *wire.Error) {
	srv := c.srv
	if !srv.resumes() {
		return false, nil
	}
	token, err := srv.cfg.ResumeTokens.Verify(m.Resume.Token)
	switch {
	case err != nil:
		srv.cfg.Log.Debug("resume token refused", "addr", c.use.prefix, "err", err)
		if err == auth.ErrExpired {
			return srv.noResume(resumeExpired), nil
		}
		srv.countFailedHello(c)
		return srv.noResume(resumeForged), nil
	case token.Session != m.Resume.Session:
		srv.countFailedHello(c)
		return srv.noResume(resumeForged), nil
	}
	if e := srv.takeHello(c, resumes); e != nil {
		return false, e
	}
	switch {
	case srv.cfg.Revoked(token.Ticket):
		return srv.noResume(resumeRevoked), nil
	case m.Ticket != "" && srv.admitsAnother(m.Ticket, token.Ticket.User):
		return srv.noResume(resumeOtherUser), nil
	}
	srv.mu.Lock()
	s := srv.sessions[token.Session]
	srv.mu.Unlock()
	switch {
	case s != nil:
		return c.replay(s, &token, m)
	case token.Epoch == srv.epoch, token.Generation < srv.past.SessionFrom(token.Session): // it ended here, or before
		return srv.noResume(resumeEnded), nil
	}
	resumed, e = c.restore(&token, m)
	if resumed || e != nil {
		return resumed, e
	}
	srv.mu.Lock()
	s = srv.sessions[token.Session]
	srv.mu.Unlock()
	if s == nil {
		return srv.noResume(resumeEnded), nil
	}
	return c.replay(s, &token, m) // another connection of the same client was faster
}

// noResume counts why a session was not resumed.
func (srv *Server) noResume(reason string) (resumed bool) {
	srv.counters.unresumed.count(reason)
	return false
}

// admitsAnother reports whether a ticket is good and is another user's: the user of a page must not get the session of
// the user before.
func (srv *Server) admitsAnother(ticket string, user auth.User) bool {
	admitted, err := srv.cfg.VerifyTicket(ticket)
	return err == nil && admitted.User != user
}

// replay has the connection carry a session of this process, from where the client has lost it.
func (c *conn) replay(s *session, token *auth.Resume, m *wire.Hello) (resumed bool, e *wire.Error) {
	srv := c.srv
	ticket, until := s.terms()
	welcome := c.newWelcome(m.ID, s.id, ticket, until)
	s.turn.Lock()
	defer s.turn.Unlock()
	if token.Generation < s.oldest {
		srv.cfg.Log.Debug("resume token is of the past", "session", s.id, "addr", c.use.prefix)
		return srv.noResume(resumeReplaced), nil
	}
	if resumed, e = c.carryOn(s, token, m, welcome); resumed {
		c.sendWelcome(welcome)
	}
	return resumed, e
}

// carryOn does the part of replay that needs mu. The caller holds s.turn.
func (c *conn) carryOn(s *session, token *auth.Resume, m *wire.Hello, welcome *greeting) (resumed bool, e *wire.Error) {
	srv := c.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	received, replayed := s.resumePoint(token, m.Resume)
	switch {
	case srv.draining:
		return false, goingAway() // the token stays good for the next process
	case s.ended:
		return srv.noResume(resumeEnded), nil
	case !s.stream.canResume(received):
		return srv.noResume(resumeGap), nil
	}
	if e := srv.maySignIn(c, true); e != nil {
		return false, e
	}
	former := s.conn
	if former != nil {
		s.stream.detach(&former.Conn)
		former.Shut(wire.CloseReplaced, wire.ReasonGone)
	}
	wasTold := s.away != nil && s.away.told
	srv.endAbsence(s)
	s.generation = max(s.generation, token.Generation) + 1 // another process may have given more tokens
	welcome.Resumed, welcome.After = wire.ResumedRestored, received
	if replayed {
		welcome.Resumed, welcome.Handled = wire.ResumedReplayed, s.requests.last
	}
	if m.Resume.Fresh || !replayed {
		srv.listOnline(s, &welcome.Welcome)
	}
	srv.carry(c, s, welcome)
	welcome.outdated = s.stream.last()
	s.stream.attach(&c.Conn, received)
	if wasTold || m.Resume.Fresh {
		srv.tellMates(s, func(r *room) wire.Message { return &wire.PeerBack{Room: r.id, Session: s.id, Fresh: m.Resume.Fresh} })
	}
	srv.takeOverRooms(s)
	if m.Resume.Fresh {
		srv.ringAgain(s)
	}
	srv.counters.begun.count(welcome.Resumed)
	return true, nil
}

// resumePoint returns the number of the message after which a session of this process goes on. replayed says that the
// client knows the numbering, so that it gets all it has missed. The caller holds s.turn.
func (s *session) resumePoint(token *auth.Resume, m *wire.Resume) (received uint64, replayed bool) {
	replayed = token.Epoch == s.srv.epoch
	switch {
	case m.Fresh: // the welcome says how things are; earlier messages are of no use
		return s.stream.last(), replayed
	case replayed:
		return m.Received, true
	case s.stream.acknowledged() == 0: // the welcome of this process was lost: the client has had nothing of it yet
		return 0, false
	}
	return s.stream.last(), false // the session was in another process in the meantime
}

// tokenClaims returns the present state of s for a resume token, and sets the time of the next one. The caller holds mu.
func (srv *Server) tokenClaims(s *session, now time.Time) auth.Resume {
	in := make([]auth.ResumeRoom, 0, len(s.rooms))
	for _, r := range s.rooms {
		in = append(in, srv.resumeRoom(s, r, now))
	}
	base := s.user.asked
	if base == s.user.name {
		base = ""
	}
	s.number++
	s.tokenDue = now.Add(tokenRenewal)
	ticket := s.ticket
	ticket.Chosen = mayChooseName(&ticket) // the token has another name than the ticket
	return auth.Resume{
		Session: s.id, Epoch: srv.epoch, Generation: s.generation, Number: s.number, Ticket: ticket, Until: s.until,
		Name: s.user.name, Base: base, Named: s.user.named, Chosen: s.user.chose, In: in,
	}
}

// sign signs a resume token. It returns an empty one if it cannot. It takes long, so the caller must not hold mu.
func (srv *Server) sign(claims auth.Resume) string {
	token, err := srv.cfg.ResumeTokens.Issue(claims)
	for all := len(claims.In); err != nil && len(claims.In) > 0; { // too long, by its rooms
		reason := err
		claims.In = claims.In[:len(claims.In)/2]
		if token, err = srv.cfg.ResumeTokens.Issue(claims); err == nil {
			srv.cfg.Log.Warn("another process can take up a session with some of its rooms only; a lower limits.rooms_per_session prevents that",
				"session", claims.Session, "rooms", all, "kept", len(claims.In), "err", reason)
		}
	}
	if err != nil {
		srv.cfg.Log.Warn("a session cannot be resumed", "session", claims.Session, "err", err)
	}
	return token
}

// roomsChanged has a new token sent to the session, which knows its rooms. The caller holds mu.
func (srv *Server) roomsChanged(s *session) {
	if srv.resumes() && !s.ended {
		s.tokenDue = time.Now().Add(tokenDelay)
	}
}

// loseConn takes a connection from the session that it carried. The session is away from now on, if it may be;
// otherwise it ends. code is the client's close code.
func (srv *Server) loseConn(c *conn, reason string, code int) {
	if c.session == nil {
		return
	}
	s := c.session
	s.stream.detach(&c.Conn)
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s.conn != c {
		return // another connection carries it
	}
	s.conn = nil
	if s.ended {
		return
	}
	window := srv.cfg.ResumeWindow
	if code == wire.CloseGoingAway { // the page was closed, or is being loaded again
		window = min(window, wire.ClosedWindow)
	}
	limits := &srv.cfg.Limits
	switch {
	case window == 0, reason != wire.ReasonGone && reason != wire.ReasonShutdown && (reason != wire.ReasonSlow || s.stream.hasEnded()),
		srv.away.len() >= limits.Sessions, !c.use.mayBeAway(limits):
		srv.endLocked(s, reason)
		return
	}
	now := time.Now()
	s.away = &absence{since: now, until: now.Add(window), use: c.use}
	s.renewAt, s.tokenDue = time.Time{}, time.Time{}
	srv.addrs.pinUse(c.use)
	for u := range c.use.ranges() {
		u.away++
	}
	srv.away.add(s)
}

// endAbsence forgets that s was away. The caller holds mu.
func (srv *Server) endAbsence(s *session) {
	if s.away == nil {
		return
	}
	srv.away.remove(s)
	for u := range s.away.use.ranges() {
		u.away--
	}
	srv.addrs.unpin(s.away.use)
	s.away = nil
}

// sweepAbsent ends a session whose window is over, and tells room mates of an absence that lasts for more than a moment.
// The caller holds mu.
func (srv *Server) sweepAbsent(s *session, now time.Time) {
	defer srv.endOnPanic(s)
	switch {
	case s.stream.hasEnded():
		srv.endLocked(s, wire.ReasonSlow)
	case !now.Before(s.away.until):
		srv.endLocked(s, wire.ReasonGone)
	case !s.away.told && now.Sub(s.away.since) >= wire.AwayNotice:
		s.away.told = true
		srv.tellMates(s, func(r *room) wire.Message { return &wire.PeerAway{Room: r.id, Session: s.id} })
	}
}

// tellMates tells everybody else in each room of s. The caller holds mu.
func (srv *Server) tellMates(s *session, message func(*room) wire.Message) {
	for _, r := range s.rooms {
		srv.tellRoomBut(s, r, message(r))
	}
}
