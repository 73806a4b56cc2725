package signal

import (
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// A session that nobody meant to end, because its connection was lost for longer than the resume window for example, can
// be followed by another: its last token admits the same user once more, as long as the token lives. So a call that still
// works does not end because an invite was used up or a ticket has expired.

// lostSession reports whether a client has the token of a session that another may follow.
func (c *conn) lostSession(m *wire.Resume) (token auth.Resume, wasLost bool) {
	srv := c.srv
	if m == nil || !srv.resumes() {
		return token, false
	}
	token, err := srv.cfg.ResumeTokens.Verify(m.Token)
	wasLost = err == nil && token.Session == m.Session && srv.past.BeginsAnew(token.Session, token.Generation) && !srv.cfg.Revoked(token.Ticket)
	return token, wasLost
}

// beginAnew has the connection carry a new session of the user that a token names. The user keeps its name, unless it chooses
// another now.
func (c *conn) beginAnew(m *wire.Hello, token *auth.Resume) *wire.Error {
	srv := c.srv
	s := newSession(srv, auth.NewID(srv.cfg.Rand, sessionIDLength), token.Ticket)
	s.follows = token.Session
	if s.endsBy(token.Until); isDue(s.until, time.Now()) {
		return newError(wire.CodeNoSuchSession, "The session was as old as it may be; say hello with a ticket.")
	}
	asked := srv.restoredName(token)
	if m.Name != "" && m.Name != token.Name && mayChooseName(&token.Ticket) {
		var err error
		if asked, err = srv.chosenName(m.Name, token.Ticket.User); err != nil {
			return badField("name", err.Error())
		}
	}
	return c.begin(m, s, asked)
}

// endsBy has a session that nobody else has yet end at a time, if it would live longer. Zero is no time.
func (s *session) endsBy(until time.Time) {
	if !until.IsZero() && (s.until.IsZero() || until.Before(s.until)) {
		s.until = until
	}
}
