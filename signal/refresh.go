package signal

import (
	"errors"
	"math"
	"slices"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// A session of an issuer that has a greatest age ends at session.until, with its relays. A fresh ticket of the same user
// moves that time, and replaces the rights of the former ticket: nothing that the user is in breaks off, but for rooms
// that the new ticket does not open.

// codeSession is how old a session becomes that has come by a code: strangers are here for a while, not for good.
const codeSession = 24 * time.Hour

// endOf returns when a session must end that begins, or is refreshed, now with a ticket; zero: never.
func (srv *Server) endOf(ticket *auth.Ticket, now time.Time) time.Time {
	most := srv.cfg.MaxSession[ticket.User.Issuer]
	if ticket.Seats > 0 && (most <= 0 || most > codeSession) {
		most = codeSession
	}
	if most > 0 {
		return now.Add(most)
	}
	return time.Time{}
}

// expiresIn returns the seconds until a time, at least one; zero if the time is zero.
func expiresIn(until, now time.Time) int {
	if until.IsZero() {
		return 0
	}
	return max(1, int(until.Sub(now).Seconds()))
}

// terms returns what a session has by its ticket.
func (s *session) terms() (ticket auth.Ticket, until time.Time) {
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	return s.ticket, s.until
}

// verified is a Refresh whose ticket was looked at before the session's turn.
type verified struct {
	*wire.Refresh
	ticket auth.Ticket
	failed *wire.Error
}

// verify looks at the ticket of a refresh.
func (c *conn) verify(m *wire.Refresh) *verified {
	srv := c.srv
	v := &verified{Refresh: m}
	if wait := srv.failedWait(c); wait > 0 {
		srv.counters.limited.count(limitedFailedHellos)
		v.failed = rateLimited(wait, "Too many bad tickets from your address.")
		return v
	}
	if v.failed = srv.takeHello(c, hellos); v.failed != nil {
		return v
	}
	var err error
	if v.ticket, err = srv.cfg.VerifyTicket(m.Ticket); err == nil {
		return v
	}
	if unavailable, ok := errors.AsType[*auth.KeysUnavailableError](err); ok {
		v.failed = cannotVerify(unavailable)
		return v
	}
	c.logRefused(m.Ticket, err)
	if !wasGood(err) {
		srv.countFailedHello(c)
	}
	v.failed = newError(wire.CodeUnauthorized, "The ticket does not admit you; get a new one.")
	return v
}

// refresh has the session go on by a new ticket.
func (s *session) refresh(m *verified) *wire.Error {
	if m.failed != nil {
		return m.failed
	}
	srv := s.srv
	closed := slices.DeleteFunc(s.roomNames(), func(room string) bool {
		return m.ticket.AllowsRoom(room) && !srv.cfg.KickedFrom(m.ticket, room)
	})
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if m.ticket.User != s.ticket.User {
		return newError(wire.CodeForbidden, "The ticket is another user's.")
	}
	now := time.Now()
	moderated := s.moderates()
	s.ticket, s.until = m.ticket, srv.endOf(&m.ticket, now)
	s.renewAt = now // for a credential that lasts as long
	s.takeTicketName(s, now)
	answer := &wire.Refreshed{Ref: m.ID, Role: string(s.ticket.Role), ExpiresIn: expiresIn(s.until, now)}
	srv.changeSight(s, answer)
	answer.Name = s.user.name
	s.reply(answer)
	for _, room := range closed {
		srv.closeTo(s, room)
	}
	if s.moderates() && !moderated {
		srv.tellKnocks(s)
	}
	srv.roomsChanged(s) // the resume token has the ticket
	return nil
}

// roomNames returns the rooms that the session has entered, or waits to enter, by its ticket.
func (s *session) roomNames() (names []string) {
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	for _, r := range slices.Concat(s.rooms, s.waits) {
		if !r.hostless || auth.IsCodeRoom(r.id) {
			names = append(names, r.id)
		}
	}
	return names
}

// ticketName returns the name in a new ticket, if somebody else than the user has chosen both this and the former. The
// caller holds mu.
func (s *session) ticketName(ticket *auth.Ticket) (asked askedName, changes bool) {
	if ticket.Name == "" || ticket.Chosen || s.user.chose {
		return asked, false
	}
	asked = s.srv.vouchedName(ticket.Name, ticket.User)
	return asked, asked.shown != s.user.asked
}

// takeTicketName gives the session's user the name in its ticket, if that is another. A user whose names have changed too often waits for it,
// and for nothing else. by is as in changeName. The caller holds mu.
func (s *session) takeTicketName(by *session, now time.Time) {
	srv, u := s.srv, s.user
	if u.nameOwed == s {
		u.nameOwed = nil
	}
	asked, changes := s.ticketName(&s.ticket)
	switch {
	case !changes:
	case u.use.lackJoins(now, srv.cfg.Limits.UserJoins) > 0:
		u.nameOwed = s // and none that came before: the latest holds
		srv.counters.limited.count(limitedUserJoins)
	default:
		_ = srv.changeName(u, asked, by) // a name that the issuer gives is never refused
	}
}

// giveOwedName gives a session's user the name that it had to wait for.
func (srv *Server) giveOwedName(s *session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.nameAwaited = false
	if s.user.nameOwed == s { // no newer one has come meanwhile
		s.takeTicketName(nil, time.Now())
	}
}

// changeSight has the session see those whom its new ticket shows, and lists them if they are others than before. The
// caller holds mu.
func (srv *Server) changeSight(s *session, m *wire.Refreshed) {
	sight := srv.sight(&s.ticket)
	if sight == s.sight {
		return
	}
	if list := srv.membersLike(s); list != nil {
		list.remove(s)
	}
	s.sight = sight
	s.known.Store(nil)
	if list := srv.membersLike(s); list != nil {
		list.add(s)
	}
	m.Online, m.OnlineMore = srv.firstOnline(s)
}

// closeTo takes the session out of a room that its ticket does not open any more. The caller holds mu.
func (srv *Server) closeTo(s *session, room string) {
	r := srv.rooms[room]
	switch {
	case r == nil:
		return
	case r.has(s):
		srv.leaveRoom(s, r, wire.ReasonRevoked)
	case slices.Contains(r.waiting, s):
		srv.stopWaiting(s, r)
	default:
		return
	}
	s.tell(&wire.Left{Room: room, Reason: wire.ReasonRevoked})
}

// tellKnocks tells a session that has become a moderator who waits for its rooms. The caller holds mu.
func (srv *Server) tellKnocks(s *session) {
	for _, r := range s.rooms {
		if r.hostless || r.host() == s {
			continue // it knows them
		}
		for _, other := range r.waiting {
			s.tell(&wire.Knock{Room: r.id, Peer: other.peerIn(r)})
		}
	}
}

// dueEnd appends the end of a session whose time is over. The caller holds mu.
func (s *session) dueEnd(renewals []renewal, now time.Time) []renewal {
	if !isDue(s.until, now) || s.endAwaited || s.ended {
		return renewals
	}
	s.endAwaited = true
	return append(renewals, renewal{s, (*Server).expire})
}

// expire ends a session whose time is over, unless it was refreshed at the last moment.
func (srv *Server) expire(s *session) {
	c, over := srv.endExpired(s)
	if !over {
		return
	}
	srv.cfg.EndRelays(s.id)
	if c != nil {
		c.Shut(wire.CloseExpired, wire.ReasonExpired)
	}
}

// endExpired does the part of expire that needs locks, and returns the connection that carried the session.
func (srv *Server) endExpired(s *session) (c *conn, over bool) {
	s.turn.Lock()
	defer s.turn.Unlock()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.endAwaited = false
	if s.ended || !isDue(s.until, time.Now()) {
		return nil, false
	}
	s.reader = nil
	srv.endLocked(s, wire.ReasonExpired)
	return s.conn, true
}

// isLast reports whether a credential lasts as long as its session may: then only a refresh makes the next. Credentials
// have whole seconds.
func isLast(expires, until time.Time) bool {
	return !until.IsZero() && math.Abs(until.Sub(expires).Seconds()) < 2
}
