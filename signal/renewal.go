package signal

import (
	"slices"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

const (
	// renewalsAtOnce and renewalInterval spread renewals: messages wait no longer than it takes to sign so many.
	renewalsAtOnce  = 16
	renewalInterval = 10 * time.Millisecond
)

// renewal is due for a session, and takes more than a moment: the server signs a token or a credential. After a rush of
// log-ins, thousands are due in one second.
type renewal struct {
	session *session
	do      func(*Server, *session)
}

// renewSome does the first renewals, and returns the others.
func (srv *Server) renewSome(renewals []renewal) []renewal {
	n := min(len(renewals), renewalsAtOnce)
	for _, r := range renewals[:n] {
		srv.renew(r)
	}
	if n == len(renewals) {
		return nil
	}
	return renewals[n:]
}

func (srv *Server) renew(r renewal) {
	defer srv.endUnlockedOnPanic(r.session)
	r.do(srv, r.session)
}

// dueRenewals appends the renewals that are due for a session that has a connection. A renewal that is not done yet is
// not due again. The caller holds mu.
func (s *session) dueRenewals(renewals []renewal, now time.Time) []renewal {
	renewals = s.dueEnd(renewals, now)
	if isDue(s.renewAt, now) {
		s.renewAt = time.Time{}
		renewals = append(renewals, renewal{s, (*Server).renewCredential})
	}
	if s.user.nameOwed == s && !s.nameAwaited && s.user.use.lackJoins(now, s.srv.cfg.Limits.UserJoins) == 0 {
		s.nameAwaited = true
		renewals = append(renewals, renewal{s, (*Server).giveOwedName})
	}
	if isDue(s.tokenDue, now) && !s.tokenAwaited {
		s.tokenAwaited = true
		renewals = append(renewals, renewal{s, (*Server).renewToken})
	}
	return renewals
}

// RenewAll has all sessions sent new resume tokens and credentials soon, because another key signs them now.
func (srv *Server) RenewAll() {
	for some := range slices.Chunk(srv.allSessions(), sweptAtOnce) {
		srv.renewSoon(some)
	}
}

func (srv *Server) renewSoon(some []*session) {
	now := time.Now()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, s := range some {
		if s.conn == nil || s.ended {
			continue
		}
		if srv.resumes() {
			s.tokenDue = now
		}
		if !s.renewAt.IsZero() {
			s.renewAt = now
		}
	}
}

// renewToken sends a session a new resume token.
func (srv *Server) renewToken(s *session) {
	if claims, ok := srv.renewedClaims(s); ok {
		srv.tellToken(s, claims)
	}
}

// tellToken signs a token and sends it, unless a welcome has brought a later one meanwhile.
func (srv *Server) tellToken(s *session, claims auth.Resume) {
	token := srv.sign(claims)
	if token == "" {
		return // an empty one would take the former's place
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s.number == claims.Number {
		s.tell(&wire.NewToken{Token: token})
	}
}

func (srv *Server) renewedClaims(s *session) (claims auth.Resume, ok bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.tokenAwaited = false
	if s.conn == nil || s.ended {
		return claims, false // the next welcome brings one
	}
	return srv.tokenClaims(s, time.Now()), true
}

// renewCredential sends a session a new TURN credential.
func (srv *Server) renewCredential(s *session) {
	srv.mu.Lock()
	c := s.conn
	srv.mu.Unlock()
	if c == nil {
		return // the next welcome brings a new one
	}
	ticket, until := s.terms()
	servers, expires := srv.cfg.ICEServers(s.id, ticket.User, c.host, until)
	s.tell(&wire.NewICEServers{ICEServers: orEmpty(servers), ICEExpires: expires})
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s.conn == c {
		s.renewAt = s.renewalTime(time.Now(), expires)
	}
}

// renewalTime returns the time three quarters into a credential's life. It is zero if the credential does not expire or
// already has, or if none may last longer. The caller holds mu.
func (s *session) renewalTime(now, expires time.Time) time.Time {
	if !expires.After(now) || isLast(expires, s.until) {
		return time.Time{}
	}
	return now.Add(expires.Sub(now) / 4 * 3)
}
