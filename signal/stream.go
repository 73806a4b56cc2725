package signal

import (
	"slices"
	"sync"
	"sync/atomic"

	"example.org/turnpike/signal/socket"
	"example.org/turnpike/signal/wire"
)

// stream keeps the messages of a session, numbered from 1, until the client acknowledges them:
//
//	          acked            next
//	acknowledged │ sent         │ to be sent │
//
// After a resume it sends them again on the next connection, from where the client says that it is.
type stream struct {
	kept *atomic.Int64 // static: counts the bytes of all streams

	mu sync.Mutex
	// Guarded by mu.
	messages []message  // not acknowledged; their numbers follow acked
	first    [1]message // where messages begins: mostly one waits, and that costs no array
	acked    uint64
	next     int // of messages
	bytes    int
	ended    bool         // nothing is added any more
	used     bool         // since the last rest
	conn     *socket.Conn // sends them; nil while the session is away
}

// message is one that waits in a stream. It must not change.
type message struct {
	data   []byte
	shared *sharedText // whose data it is; nil: its own
}

// sharedText is the text of a message to many sessions. It counts once among the bytes of all streams, as long as one of
// them keeps it.
type sharedText struct {
	data []byte
	kept atomic.Int32 // by so many streams
}

func share(data []byte) *sharedText { return &sharedText{data: data} }

// keep counts the bytes of a message that the stream gets.
func (st *stream) keep(m message) {
	st.bytes += len(m.data)
	if m.shared == nil || m.shared.kept.Add(1) == 1 {
		st.kept.Add(int64(len(m.data)))
	}
}

// drop counts the bytes of a message that the stream loses.
func (st *stream) drop(m message) {
	st.bytes -= len(m.data)
	if m.shared == nil || m.shared.kept.Add(-1) == 0 {
		st.kept.Add(int64(-len(m.data)))
	}
}

// tellText adds a message to the session's stream, and never blocks. The message must not change afterwards. A session
// that lets too much wait ends: leaving a message out would break a negotiation in silence. The caller may hold
// Server.mu.
func (s *session) tellText(data []byte) {
	if c := s.enqueue(data); c != nil {
		c.StartWriter()
	}
}

// enqueue is tellText without the writing. If it returns a socket, the caller is that socket's writer
// (socket.Conn.ClaimWriter).
func (s *session) enqueue(data []byte) *socket.Conn { return s.enqueueMessage(message{data: data}) }

// enqueueShared is enqueue for a text that other sessions get too.
func (s *session) enqueueShared(text *sharedText) *socket.Conn {
	return s.enqueueMessage(message{text.data, text})
}

// tellShared is tellText for such a text.
func (s *session) tellShared(text *sharedText) {
	if c := s.enqueueShared(text); c != nil {
		c.StartWriter()
	}
}

func (s *session) enqueueMessage(m message) *socket.Conn {
	st, limits := &s.stream, &s.srv.cfg.Limits
	st.mu.Lock()
	c := st.conn
	if st.ended {
		st.mu.Unlock()
		return nil
	}
	full := len(st.messages) >= limits.QueueMessages || len(st.messages) > 0 && st.bytes+len(m.data) > st.share(limits)
	if full {
		st.ended = true
		st.forgetAll()
	} else {
		st.append(m)
	}
	st.mu.Unlock()
	switch {
	case c == nil:
		return nil // if it is full, the sweep ends the session
	case full:
		c.Shut(wire.CloseSlow, wire.ReasonSlow)
		return nil
	case c.ClaimWriter():
		return c
	}
	return nil
}

// keptShare is the part of the free Limits.KeptBytes that one session may take: a 64th. The less is free, the less each
// may take. So sessions that let much wait end, and sessions that acknowledge go on, however many let much wait on
// purpose.
const keptShare = 64

// share is how many bytes may wait for the session. A single message always may.
func (st *stream) share(limits *Limits) int {
	return min(limits.QueueBytes, (limits.KeptBytes-int(st.kept.Load()))/keptShare)
}

// append adds a message; mu is held.
func (st *stream) append(m message) {
	if st.messages == nil {
		st.messages = st.first[:0]
	}
	st.used = true
	st.messages = append(st.messages, m)
	if len(st.messages) == len(st.first)+1 {
		st.first[0] = message{} // messages has moved to an array of its own
	}
	st.keep(m)
}

// Next returns what c must send next (socket.Source).
func (st *stream) Next(c *socket.Conn) (data []byte, seq uint64, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.conn != c || st.next >= len(st.messages) {
		return nil, 0, false
	}
	data = st.messages[st.next].data
	if wire.IsNewToken(data) {
		st.replace(st.next, sentToken) // a resume sends another token in its place
	}
	st.next++
	return data, st.acked + uint64(st.next), true
}

// acknowledge forgets messages up to a number, and reports false if not so many were sent.
func (st *stream) acknowledge(received uint64) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended {
		return true // it has forgotten how many there were
	}
	if received > st.acked+uint64(st.next) {
		return false
	}
	st.forget(received)
	return true
}

// forget drops messages up to a number; mu is held.
func (st *stream) forget(received uint64) {
	if received <= st.acked {
		return
	}
	n := int(received - st.acked)
	for _, m := range st.messages[:n] {
		st.drop(m)
	}
	st.acked, st.next = received, max(0, st.next-n)
	st.messages = slices.Delete(st.messages, 0, n)
	if len(st.messages) == 0 && cap(st.messages) > 2*wire.AckEvery {
		st.messages = nil // it grew while the session was away
	}
}

// rest frees the array of an idle stream. It is called now and then.
func (st *stream) rest() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.messages) == 0 && !st.used {
		st.messages = nil
	}
	st.used = false
}

// forgetAll drops every message; mu is held.
func (st *stream) forgetAll() {
	for _, m := range st.messages {
		st.drop(m)
	}
	st.messages, st.first[0] = nil, message{}
	st.next = 0
}

// canResume reports whether all messages after received are there.
func (st *stream) canResume(received uint64) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return !st.ended && received >= st.acked && received <= st.acked+uint64(len(st.messages))
}

// attach has c send the messages after received, once canResume has reported that they are there.
func (st *stream) attach(c *socket.Conn, received uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.forget(received)
	st.conn, st.next = c, 0
}

// replaceTokens puts data in the place of the resume tokens that wait, up to a message: they are older than the one in the
// welcome, and must not come after it.
func (st *stream) replaceTokens(last uint64, data []byte) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for i, old := range st.messages {
		if st.acked+uint64(i) < last && wire.IsNewToken(old.data) {
			st.replace(i, data)
		}
	}
}

// sentToken stands for a resume token that was sent. Tokens always encode.
var sentToken, _ = wire.Encode(&wire.NewToken{})

// replace changes a message; mu is held.
func (st *stream) replace(i int, data []byte) {
	st.drop(st.messages[i])
	st.messages[i] = message{data: data}
	st.keep(st.messages[i])
}

// detach stops c from sending. If another connection sends, it does nothing.
func (st *stream) detach(c *socket.Conn) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.conn != c {
		return
	}
	st.conn, st.next = nil, 0
	if st.ended {
		st.forgetAll()
	}
}

// end ends the stream. If there is a connection, it still sends what waits.
func (st *stream) end() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.ended = true
	if st.conn == nil {
		st.forgetAll()
	}
}

// hasEnded reports whether nothing is added any more.
func (st *stream) hasEnded() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.ended
}

// acknowledged returns the number of the last message that the client has acknowledged.
func (st *stream) acknowledged() uint64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.acked
}

// last returns the number of the last message.
func (st *stream) last() uint64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.acked + uint64(len(st.messages))
}
