package signal

import (
	"net/netip"
	"sync"
	"time"

	"turnpike/auth"
	"turnpike/signal/socket"
	"turnpike/signal/wire"
)

// session is one authenticated life. It is carried by a socket, or away for a while between two:
//
//	carried ── socket lost ──▶ away ── resumed on another socket ──▶ carried
//	away ── resume window over, or too much to keep ──▶ ended
//	carried ── bye, or a breach of the protocol ──▶ ended
//
// A session acts in turns, one message at a time: only who holds turn, for the socket that carries the session, acts for it. So a
// resume never finds it in the middle of something.
//
// Lock order: turn, Server.mu, queue.mu, stream.mu.
type session struct {
	// Static after construction.
	srv *Server
	id  string

	stream stream // what it is told

	turn sync.Mutex
	// Guarded by turn.
	reader *conn  // whose messages count; it stays when that socket is lost
	oldest uint64 // the least generation of resume tokens that is good

	// Written under turn and srv.mu, read under either.
	generation uint64 // of the resume token, one more with each welcome

	// Guarded by srv.mu.
	user     *user
	conn     *conn // that carries it; nil while it is away
	rooms    []*room
	scope    scope
	waits    []*room // to be let in
	ended    bool
	renewAt  time.Time // of the credential; zero: never
	tokenDue time.Time // when a new resume token is to be sent; zero: never
	// tokenAwaited says that renewToken is among the renewals.
	tokenAwaited bool
	away         *absence // nil while it is carried
	// presenceAt is the presence.clock of the welcome, which told what was before.
	presenceAt uint64

	// Guarded by turn.
	requests requests
	joins    bucket

	// Static after construction.
	ticket   auth.Ticket
	restored bool // from a token of another process
}

// absence is a session's time without a socket. Guarded by srv.mu.
type absence struct {
	since, until time.Time
	addr         netip.Prefix // from which it was carried last
	told         bool         // room mates know
}

// tell tells the session m.
func (s *session) tell(m wire.Message) { s.tellText(s.srv.encode(m)) }

// reply is send for what answers the request whose turn it is.
func (s *session) reply(m wire.Message) {
	data := s.srv.encode(m)
	s.tellText(data)
	s.requests.answer = data
}

// act takes a turn: it acts on one message, unless another socket carries the session by now, and answers. It returns the socket of
// whom the message was for, if the caller is to write to it, and the error that it answered with.
func (s *session) act(c *conn, m wire.ClientMessage) (mate *socket.Conn, e *wire.Error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.reader != c {
		return nil, nil
	}
	s.oldest = s.generation
	if received := m.Acknowledged(); received > 0 && !s.stream.acknowledge(received) {
		e = tooMuchReceived()
	} else if id := m.RequestID(); id != "" {
		if done, answer := s.requests.done(id, s.stream.acknowledged()); done {
			if answer != nil {
				s.tellText(answer)
			}
			return nil, nil
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
	return mate, e
}

// answerError answers a message on which the session does not act. If that is a request of the session, which a ping is not, it has its answer,
// so that after a resume it is not sent again.
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

// acknowledge notes what the client has received, where the session does not act on the message that says so. It reports false if
// there are not so many.
func (s *session) acknowledge(c *conn, received uint64) (sent bool) {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.reader != c || s.stream.acknowledge(received)
}

// bye ends the session, if the socket still carries it.
func (s *session) bye(c *conn) bool {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.reader != c {
		return false
	}
	s.srv.end(s, wire.ReasonBye)
	return true
}

func (s *session) dispatch(m wire.ClientMessage) (mate *socket.Conn, e *wire.Error) {
	switch m := m.(type) {
	case *wire.Signal:
		return s.signal(m)
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
	default:
		e = s.moderate(m)
	}
	return nil, e
}

// end takes a session out of everything. Its scope outlives it unless it said
// bye: its relays do, and their permissions must stay refreshable.
func (srv *Server) end(s *session, reason string) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.endLocked(s, reason)
}

// endLocked is end for those who hold mu.
func (srv *Server) endLocked(s *session, reason string) {
	if s.ended {
		return
	}
	s.ended = true
	s.renewAt, s.tokenDue = time.Time{}, time.Time{}
	srv.endAbsence(s)
	s.stream.end()
	delete(srv.sessions, s.id)
	delete(srv.members, s)
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
	if s.restored {
		srv.ended.keep(s.id, struct{}{}, now.Add(auth.ResumeTTL))
	}
	if !endsRelays(reason) && len(s.scope.addrs) > 0 {
		srv.lingering.keep(s.id, s.scope, now.Add(srv.cfg.Limits.ScopeLinger))
	}
	s.scope = scope{}
	srv.counters.ended.count(reason)
	srv.cfg.Log.Debug("session ended", "session", s.id, "user", s.user.id, "reason", reason)
}

// endsRelays reports whether a session that ends for the reason takes its relays with it.
func endsRelays(reason string) bool { return reason == wire.ReasonBye || reason == wire.ReasonRevoked }

// EndWhere ends the sessions that match says, and their relays, because what admitted them holds no longer. match is called with no
// lock held.
func (srv *Server) EndWhere(match func(session string, ticket auth.Ticket) bool) {
	srv.mu.Lock()
	all := make([]*session, 0, len(srv.sessions))
	for _, s := range srv.sessions {
		all = append(all, s)
	}
	srv.mu.Unlock()
	for _, s := range all {
		if !match(s.id, s.ticket) {
			continue
		}
		c := srv.revoke(s)
		srv.cfg.EndRelays(s.id)
		if c != nil {
			c.Shut(wire.CloseEnded, wire.ReasonRevoked)
		}
	}
}

// revoke ends a session between two of its turns, for good, and returns the socket that carried it.
func (srv *Server) revoke(s *session) *conn {
	s.turn.Lock()
	defer s.turn.Unlock()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.reader = nil
	srv.endLocked(s, wire.ReasonRevoked)
	srv.ended.keep(s.id, struct{}{}, time.Now().Add(auth.ResumeTTL))
	return s.conn
}
