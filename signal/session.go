package signal

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/socket"
	"example.org/turnpike/signal/wire"
)

// session is one authenticated life. A connection carries it, or it is away for a while between two connections:
//
//	carried ── connection lost ──▶ away ── resumed on another connection ──▶ carried
//	away ── resume window over, or too much to keep ──▶ ended
//	carried ── bye, or a breach of the protocol ──▶ ended
//
// A session acts in turns, one message at a time: only the reader of the connection that carries it acts for it, and
// holds turn. So a resume never finds it in the middle of something.
//
// Lock order: turn, Server.mu, the lock of a socket.Conn's queue, stream.mu.
type session struct {
	// Static after construction.
	srv *Server
	id  string

	stream stream // its messages

	turn sync.Mutex
	// Guarded by turn.
	reader *conn  // the connection whose messages count; it stays when that is lost
	oldest uint64 // the lowest generation of resume tokens that is still good
	// follows is the lost session by whose token this one began; empty: none, or the client has used this one already, or it was in
	// another process.
	follows string

	// Written under turn and srv.mu, read under either.
	generation uint64      // of the resume token, one more with each welcome
	ticket     auth.Ticket // of hello, or of the last refresh
	until      time.Time   // when the session must end; zero: never

	// Guarded by srv.mu.
	user     *user
	conn     *conn // carries it; nil while it is away
	rooms    []*room
	scope    scope
	waits    []*room    // the rooms that it waits to be let into
	parts    []roomPart // in those of both where it is not the zero part
	ended    bool
	renewAt  time.Time // when the credential must be renewed; zero: never
	tokenDue time.Time // when a new resume token must be sent; zero: never
	number   uint64    // of the last resume token
	// endAwaited says that expire is among the renewals that wait.
	endAwaited bool
	// tokenAwaited says that renewToken is among the renewals that wait.
	tokenAwaited bool
	// nameAwaited says that giveOwedName is among the renewals that wait.
	nameAwaited bool
	away        *absence // nil while it is carried
	awayAt      int      // place in srv.away, if it is there
	// presenceAt is the presence.clock of the welcome, which told the session of all changes before it.
	presenceAt uint64
	sight      Presence
	memberAt   int // place among the members like it, unless it sees nobody

	// Written under srv.mu, read at any time, by members only.
	known    atomic.Pointer[wire.User] // it knows everybody online up to here, in the order of the directory; nil: everybody
	listedAt atomic.Uint64             // the presence.clock of the last page that it was sent

	// Guarded by turn.
	requests requests
	joins    bucket
	kicked   []*session // by the message whose turn it is

	// Static after construction.
	restored bool // from a token of another process
	since    time.Time
}

func (s *session) walkedAt() *int { return &s.awayAt }

// absence is a session's time without a connection. Guarded by srv.mu.
type absence struct {
	since, until time.Time
	use          *addrUse // of the last connection's address
	told         bool     // room mates know
}

// tell sends m to the session, on this connection or the next.
func (s *session) tell(m wire.Message) { s.tellText(s.srv.encode(m)) }

// reply is tell for the answer to the request whose turn it is.
func (s *session) reply(m wire.Message) {
	s.replyText(s.srv.encode(m))
}

// replyText is reply for an encoded answer.
func (s *session) replyText(data []byte) {
	s.tellText(data)
	s.requests.answer = data
}

// act takes a turn: it acts on one message and answers, unless another connection carries the session by now. It
// returns the error that it answered with. If it returns a mate, the caller is that socket's writer.
func (s *session) act(c *conn, m wire.ClientMessage) (mate *socket.Conn, e *wire.Error) {
	mate, kicked, e := s.takeTurn(c, m)
	for _, other := range kicked {
		s.srv.cfg.EndRelays(other.id) // with no lock held
	}
	return mate, e
}

// takeTurn does the part of act that needs the turn. It also returns the sessions whose relays must end.
func (s *session) takeTurn(c *conn, m wire.ClientMessage) (mate *socket.Conn, kicked []*session, e *wire.Error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.reader != c {
		return nil, nil, nil
	}
	panics := true
	defer func() {
		if panics && mate != nil {
			mate.StartWriter() // or nobody would write to it any more
		}
	}()
	s.usesLatest()
	if received := m.Acknowledged(); received > 0 && !s.stream.acknowledge(received) {
		e = tooMuchReceived()
	} else if id := m.RequestID(); id != "" {
		if done, answer := s.requests.done(id, s.stream.acknowledged()); done {
			if answer != nil {
				s.tellText(answer)
			}
			return nil, nil, nil
		}
	}
	if e == nil {
		mate, e = s.dispatch(m)
	}
	if e != nil {
		s.srv.counters.errors.count(string(e.Code))
		e.Ref = m.RequestID()
		s.reply(e)
	}
	if id := m.RequestID(); id != "" {
		if s.requests.handled(id, s.stream.last()) {
			c.sendUnnumbered(&wire.Handled{Ref: id})
		}
	}
	kicked, s.kicked = s.kicked, nil
	panics = false
	return mate, kicked, e
}

// usesLatest ends the former resume tokens: the client has the latest. The caller holds s.turn.
func (s *session) usesLatest() {
	if s.oldest == s.generation {
		return
	}
	s.oldest = s.generation
	if s.generation > 1 || s.follows != "" {
		s.srv.past.EndGenerations(s.id, s.generation)
		s.follows = ""
	}
}

// answerError answers a message on which the session does not act. A request has its answer then, so that the client
// does not send it again after a resume. A ping is no request.
func (s *session) answerError(c *conn, e *wire.Error, isRequest bool) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.reader != c {
		return
	}
	s.tell(e)
	if isRequest && e.Ref != "" {
		s.requests.last = e.Ref
	}
}

// acknowledge notes what the client has received, from a message on which the session does not act. It reports false if
// not so many messages were sent.
func (s *session) acknowledge(c *conn, received uint64) (sent bool) {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.reader != c || s.stream.acknowledge(received)
}

// bye ends the session, if the connection still carries it.
func (s *session) bye(c *conn) bool {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.reader != c {
		return false
	}
	s.usesLatest()
	s.srv.end(s, wire.ReasonBye)
	return true
}

func (s *session) dispatch(m wire.ClientMessage) (mate *socket.Conn, e *wire.Error) {
	switch m := m.(type) {
	case *wire.Signal:
		return s.signal(m)
	case *wire.Say:
		e = s.say(m)
	case *wire.Join:
		e = s.join(m)
	case *wire.Leave:
		e = s.leave(m)
	case *wire.Call:
		e = s.call(m)
	case *wire.Accept:
		e = s.accept(m)
	case *wire.Decline:
		e = s.decline(m)
	case *wire.Cancel:
		e = s.cancel(m)
	case *wire.Hangup:
		e = s.hangup(m)
	case *wire.ListOnline:
		e = s.listMore(m)
	case *verified:
		e = s.refresh(m)
	case *wire.Rename:
		e = s.rename(m)
	default:
		e = s.moderate(m)
	}
	return nil, e
}

// end takes a session out of everything. Its scope outlives it, unless its relays end too: their permissions must stay
// refreshable.
func (srv *Server) end(s *session, reason string) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.endLocked(s, reason)
}

// endLocked is end for a caller that holds mu.
func (srv *Server) endLocked(s *session, reason string) {
	if s.ended {
		return
	}
	s.ended = true
	s.renewAt, s.tokenDue = time.Time{}, time.Time{}
	srv.endAbsence(s)
	s.stream.end()
	delete(srv.sessions, s.id)
	if list := srv.membersLike(s); list != nil {
		list.remove(s)
	}
	for len(s.rooms) > 0 {
		srv.leaveRoom(s, s.rooms[0], reason)
	}
	for len(s.waits) > 0 {
		if r := s.waits[0]; reason == wire.ReasonShutdown {
			r.forgetWaiting(s)
		} else {
			srv.stopWaiting(s, r)
		}
	}
	srv.goOffline(s, reason)
	now := time.Now()
	switch {
	case !srv.resumes() || reason == wire.ReasonShutdown:
	case isLoss(reason):
		srv.past.LoseSession(s.id, s.generation+1)
	default:
		srv.past.EndGenerations(s.id, s.generation+1)
	}
	if !endsRelays(reason) && len(s.scope.addrs) > 0 {
		s.scope.until = s.until
		srv.lingering.keep(s.id, s.scope, now.Add(srv.cfg.Limits.ScopeLinger))
	}
	s.scope = scope{}
	srv.counters.ended.count(reason)
	srv.logLocked(slog.LevelDebug, "session ended", "session", s.id, "user", s.user.id, "reason", reason)
}

// endsRelays reports whether the relays of a session that ends for the reason end with it.
func endsRelays(reason string) bool {
	return reason == wire.ReasonBye || reason == wire.ReasonRevoked || reason == wire.ReasonExpired
}

// isLoss reports whether nobody meant a session to end that ends for the reason: its token begins a new one.
func isLoss(reason string) bool {
	return reason == wire.ReasonGone || reason == wire.ReasonSlow || reason == wire.ReasonInternal
}

// EndWhere ends the sessions that match, and their relays, because their invite or ticket was revoked. match is called
// with no lock held.
func (srv *Server) EndWhere(match func(session string, ticket auth.Ticket) bool) {
	for _, s := range srv.allSessions() {
		if ticket, _ := s.terms(); match(s.id, ticket) {
			srv.endForGood(s)
		}
	}
}

// endForGood ends a session and its relays, and closes its connection.
func (srv *Server) endForGood(s *session) {
	c := srv.revoke(s)
	srv.cfg.EndRelays(s.id)
	if c != nil {
		c.Shut(wire.CloseEnded, wire.ReasonRevoked)
	}
}

// revoke ends a session between two of its turns, for good, and returns the connection that carried it.
func (srv *Server) revoke(s *session) *conn {
	s.turn.Lock()
	defer s.turn.Unlock()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.reader = nil
	srv.endLocked(s, wire.ReasonRevoked)
	return s.conn
}
