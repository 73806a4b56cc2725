package signal

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"turnpike/auth"
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
	reader *socket // whose messages count; it stays when that socket is lost
	oldest uint64  // the least generation of resume tokens that is good

	// Written under turn and srv.mu, read under either.
	generation uint64 // of the resume token, one more with each welcome

	// Guarded by srv.mu.
	user     *user
	socket   *socket // that carries it; nil while it is away
	rooms    []*room
	scope    scope
	waits    []*room // to be let in
	ended    bool
	renewAt  time.Time // of the credential; zero: never
	tokenDue time.Time // when a new resume token is to be sent; zero: never
	// tokenAwaited says that renewToken is among the chores.
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

// send tells the session m.
func (s *session) send(m wire.Message) { s.pushText(s.srv.encode(m)) }

// reply is send for what answers the request whose turn it is.
func (s *session) reply(m wire.Message) {
	data := s.srv.encode(m)
	s.pushText(data)
	s.requests.answer = data
}

// act takes a turn: it acts on one message, unless another socket carries the session by now, and answers. It returns the socket of
// whom the message was for, if the caller is to write to it, and the error that it answered with.
func (s *session) act(c *socket, m wire.ClientMessage) (mate *socket, e *wire.Error) {
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
				s.pushText(answer)
			}
			return nil, nil
		}
	}
	if e == nil {
		mate, e = s.dispatch(m)
	}
	if e != nil {
		s.srv.counters.errors.add(string(e.Code))
		e.Ref = m.RequestID()
		s.reply(e)
	}
	if id := m.RequestID(); id != "" {
		if s.requests.handled(id, s.stream.last()) {
			c.sendApart(&wire.Handled{Ref: id})
		}
	}
	return mate, e
}

// refuse answers a message on which the session does not act. If that is a request of the session, which a ping is not, it has its answer,
// so that after a resume it is not sent again.
func (s *session) refuse(c *socket, e *wire.Error, isRequest bool) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.reader != c {
		return
	}
	s.send(e)
	if isRequest && e.Ref != "" {
		s.requests.last = e.Ref
	}
}

// acknowledge notes what the client has received, where the session does not act on the message that says so. It reports false if
// there are not so many.
func (s *session) acknowledge(c *socket, received uint64) (sent bool) {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.reader != c || s.stream.acknowledge(received)
}

// bye ends the session, if the socket still carries it.
func (s *session) bye(c *socket) bool {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.reader != c {
		return false
	}
	s.srv.end(s, wire.ReasonBye)
	return true
}

func (s *session) dispatch(m wire.ClientMessage) (mate *socket, e *wire.Error) {
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
	srv.exit(s, reason)
	now := time.Now()
	if s.restored {
		srv.over.add(s.id, now.Add(auth.ResumeTTL))
	}
	if !endsRelays(reason) {
		srv.lingering.add(s.id, s.scope, now.Add(srv.cfg.Limits.ScopeLinger))
	}
	s.scope = scope{}
	srv.counters.ended.add(reason)
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
			c.shut(wire.CloseEnded, wire.ReasonRevoked)
		}
	}
}

// revoke ends a session between two of its turns, for good, and returns the socket that carried it.
func (srv *Server) revoke(s *session) *socket {
	s.turn.Lock()
	defer s.turn.Unlock()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.reader = nil
	srv.endLocked(s, wire.ReasonRevoked)
	srv.over.add(s.id, time.Now().Add(auth.ResumeTTL))
	return s.socket
}

const (
	maxAnswers    = 64 // kept of the requests that were answered last, and not acknowledged
	maxUnanswered = 64 // remembered of the requests that have no answer
)

// requests remembers what a session has asked, so that a request which the client sends again after its connection was lost is
// answered again, and not done again. Guarded by session.turn.
type requests struct {
	answer     []byte // of the request whose turn it is; nil: none yet
	last       string // id of the last request
	answered   []answeredRequest
	unanswered *[maxUnanswered]uint64 // hashes of ids, by turns
	next       int                    // of unanswered
	unacked    int                    // how many of those the client does not know to be handled
}

type answeredRequest struct {
	id     string
	answer []byte
	seq    uint64
}

// done reports whether a request was handled before, and its answer if it has one. What the client has acknowledged is forgotten: it
// has the answer.
func (q *requests) done(id string, acknowledged uint64) (done bool, answer []byte) {
	q.answer = nil
	keep := q.answered[:0]
	for _, a := range q.answered {
		if a.id == id {
			done, answer = true, a.answer
		}
		if a.seq > acknowledged {
			keep = append(keep, a)
		}
	}
	clear(q.answered[len(keep):])
	if q.answered = keep; len(keep) == 0 {
		q.answered = nil
	}
	if done || q.unanswered == nil {
		return done, answer
	}
	hash := idHash(id)
	for _, h := range q.unanswered {
		if h == hash {
			return true, nil
		}
	}
	return false, nil
}

// handled remembers the request whose turn is over. seq is of the last message that the session was told. It reports whether it is time
// to tell the client.
func (q *requests) handled(id string, seq uint64) (tell bool) {
	q.last = id
	if q.answer != nil {
		if len(q.answered) >= maxAnswers {
			q.answered = append(q.answered[:0], q.answered[1:]...)
		}
		q.answered = append(q.answered, answeredRequest{id, q.answer, seq})
		q.answer = nil
		return false
	}
	if q.unanswered == nil {
		q.unanswered = new([maxUnanswered]uint64)
	}
	q.unanswered[q.next] = idHash(id)
	q.next = (q.next + 1) % maxUnanswered
	if q.unacked++; q.unacked >= wire.AckEvery {
		q.unacked = 0
		return true
	}
	return false
}

// hashSeed is constant, as a client can at most hide its own requests from itself.
var hashSeed = maphash.MakeSeed()

// idHash is never zero, which stands for no request.
func idHash(id string) uint64 { return maphash.String(hashSeed, id) | 1 }
