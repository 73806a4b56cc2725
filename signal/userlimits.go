package signal

import (
	"sync"
	"time"

	"turnpike/signal/wire"
)

// What limits held back, for the counter.
const (
	limitedMessages     = "messages" // of one session
	limitedUserMessages = "user_messages"
	limitedJoins        = "joins" // of one session
	limitedUserJoins    = "user_joins"
	limitedAddrJoins    = "address_joins"
	limitedAddrHellos   = "address_hellos"
	limitedFailedHellos = "address_failed_tickets"
	limitedUserSessions = "user_sessions"
)

// maxSpentUsers bounds the users who are remembered after they went offline,
// because they had used up some of what they may; more are not remembered.
const maxSpentUsers = 1 << 16

// userUse is what one user has used of what all the user's sessions may send
// together.
type userUse struct {
	mu sync.Mutex // after Server.mu
	// Guarded by mu.
	messages, joins bucket
}

func (u *userUse) takeMessage(now time.Time, rate Rate) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.messages.take(now, rate)
}

func (u *userUse) takeJoin(now time.Time, rate Rate) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.joins.take(now, rate)
}

// isIdle reports whether nothing of it is used up any more.
func (u *userUse) isIdle(now time.Time, l *Limits) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.messages.refill(now, l.UserMessages)
	u.joins.refill(now, l.UserJoins)
	return u.messages.spent+u.joins.spent == 0
}

// rememberUse keeps what a user who goes offline has used up, so that coming
// back gives nothing back.
func (srv *Server) rememberUse(u *user) {
	if len(srv.spent) < maxSpentUsers && !u.use.isIdle(time.Now(), &srv.cfg.Limits) {
		srv.spent[u.id] = u.use
	}
}

// useOf is what a user who comes online has used up.
func (srv *Server) useOf(id string) *userUse {
	use := srv.spent[id]
	if use == nil {
		return new(userUse)
	}
	delete(srv.spent, id)
	return use
}

func (srv *Server) forgetSpent(now time.Time) {
	for id, use := range srv.spent {
		if use.isIdle(now, &srv.cfg.Limits) {
			delete(srv.spent, id)
		}
	}
}

// takeMessage counts a message against its socket and its user.
func (c *socket) takeMessage(now time.Time) time.Duration {
	limits := &c.srv.cfg.Limits
	if wait := c.messages.take(now, limits.Messages); wait > 0 {
		c.srv.counters.limited.add(limitedMessages)
		return wait
	}
	if c.session == nil {
		return 0
	}
	wait := c.session.user.use.takeMessage(now, limits.UserMessages)
	if wait > 0 {
		c.srv.counters.limited.add(limitedUserMessages)
	}
	return wait
}

// takeJoin counts a join or call against its session, user and address.
func (s *session) takeJoin() *wire.Error {
	now, limits := time.Now(), &s.srv.cfg.Limits
	wait, why := s.joins.take(now, limits.Joins), limitedJoins
	if wait == 0 {
		wait, why = s.user.use.takeJoin(now, limits.UserJoins), limitedUserJoins
	}
	if wait == 0 {
		wait, why = s.srv.takeAddrJoin(s, now), limitedAddrJoins
	}
	if wait == 0 {
		return nil
	}
	s.srv.counters.limited.add(why)
	return rateLimited(wait, "Too many joins and calls.")
}

func (srv *Server) takeAddrJoin(s *session, now time.Time) time.Duration {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.addrs[s.reader.addr].joins.take(now, srv.cfg.Limits.AddrJoins)
}

// takeHello counts a hello against its address.
func (srv *Server) takeHello(c *socket) *wire.Error {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	wait := srv.addrs[c.addr].hellos.take(time.Now(), srv.cfg.Limits.AddrHellos)
	if wait == 0 {
		return nil
	}
	srv.counters.limited.add(limitedAddrHellos)
	return rateLimited(wait, "Too many come from your address at once.")
}

// mayHaveAnother says why a user may not have one more session.
func (srv *Server) mayHaveAnother(id string) *wire.Error {
	u := srv.users[id]
	if u == nil || len(u.sessions) < srv.cfg.Limits.SessionsPerUser {
		return nil
	}
	srv.counters.limited.add(limitedUserSessions)
	return failed(wire.CodeForbidden, "You have as many sessions as you may; end one first.")
}
