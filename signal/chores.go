package signal

import (
	"time"

	"turnpike/signal/wire"
)

const (
	// choresAtOnce and choreInterval spread chores: messages wait for as long as it takes to sign so much, and no longer.
	choresAtOnce  = 16
	choreInterval = 10 * time.Millisecond
)

// chore is what the sweep has found to be due for a session, and takes more than a moment: something is to be signed. After a rush of
// log-ins there are thousands of them in one second.
type chore struct {
	session *session
	do      func(*Server, *session)
}

// doSome does the first chores, and returns the others.
func (srv *Server) doSome(chores []chore) []chore {
	n := min(len(chores), choresAtOnce)
	for _, c := range chores[:n] {
		c.do(srv, c.session)
	}
	if n == len(chores) {
		return nil
	}
	return chores[n:]
}

// dueChores appends what is due for a session that a socket carries. A chore that is not done yet is not due again. The caller holds mu.
func (s *session) dueChores(chores []chore, now time.Time) []chore {
	if isDue(s.renewAt, now) {
		s.renewAt = time.Time{}
		chores = append(chores, chore{s, (*Server).renewCredential})
	}
	if isDue(s.tokenDue, now) && !s.tokenAwaited {
		s.tokenAwaited = true
		chores = append(chores, chore{s, (*Server).renewToken})
	}
	return chores
}

// renewToken tells a session of a new resume token.
func (srv *Server) renewToken(s *session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.tokenAwaited = false
	if s.socket != nil && !s.ended { // else the welcome that it comes back to brings one
		s.send(&wire.NewToken{Token: srv.token(s, time.Now())})
	}
}

// renewCredential tells a session of a new TURN credential.
func (srv *Server) renewCredential(s *session) {
	srv.mu.Lock()
	c := s.socket
	srv.mu.Unlock()
	if c == nil {
		return // the welcome that it comes back to brings a new one
	}
	servers, expires := srv.cfg.ICEServers(s.id, s.ticket.User, c.host)
	s.send(&wire.NewICEServers{ICEServers: orEmpty(servers), ICEExpires: expires})
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s.socket == c {
		s.renewAt = renewalTime(time.Now(), expires)
	}
}

// renewalTime is three quarters into a credential's life, zero if it does not
// expire or already has.
func renewalTime(now, expires time.Time) time.Time {
	if !expires.After(now) {
		return time.Time{}
	}
	return now.Add(expires.Sub(now) / 4 * 3)
}
