package signal

import (
	"time"

	"turnpike/signal/wire"
)

const (
	// renewalsAtOnce and renewalInterval spread renewals: messages wait for as long as it takes to sign so much, and no longer.
	renewalsAtOnce  = 16
	renewalInterval = 10 * time.Millisecond
)

// renewal is what the sweep has found to be due for a session, and takes more than a moment: something is to be signed. After a rush of
// log-ins there are thousands of them in one second.
type renewal struct {
	session *session
	do      func(*Server, *session)
}

// renewSome does the first renewals, and returns the others.
func (srv *Server) renewSome(renewals []renewal) []renewal {
	n := min(len(renewals), renewalsAtOnce)
	for _, c := range renewals[:n] {
		c.do(srv, c.session)
	}
	if n == len(renewals) {
		return nil
	}
	return renewals[n:]
}

// dueRenewals appends what is due for a session that a socket carries. A renewal that is not done yet is not due again. The caller holds mu.
func (s *session) dueRenewals(renewals []renewal, now time.Time) []renewal {
	if isDue(s.renewAt, now) {
		s.renewAt = time.Time{}
		renewals = append(renewals, renewal{s, (*Server).renewCredential})
	}
	if isDue(s.tokenDue, now) && !s.tokenAwaited {
		s.tokenAwaited = true
		renewals = append(renewals, renewal{s, (*Server).renewToken})
	}
	return renewals
}

// renewToken tells a session of a new resume token.
func (srv *Server) renewToken(s *session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.tokenAwaited = false
	if s.conn != nil && !s.ended { // else the welcome that it comes back to brings one
		s.tell(&wire.NewToken{Token: srv.token(s, time.Now())})
	}
}

// renewCredential tells a session of a new TURN credential.
func (srv *Server) renewCredential(s *session) {
	srv.mu.Lock()
	c := s.conn
	srv.mu.Unlock()
	if c == nil {
		return // the welcome that it comes back to brings a new one
	}
	servers, expires := srv.cfg.ICEServers(s.id, s.ticket.User, c.host)
	s.tell(&wire.NewICEServers{ICEServers: orEmpty(servers), ICEExpires: expires})
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s.conn == c {
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
