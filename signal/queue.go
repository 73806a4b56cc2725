package signal

import (
	"errors"
	"net"
	"sync"
	"time"

	"turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

const (
	// writeTimeout bounds the writing of one frame to a client that does not read.
	writeTimeout = 10 * time.Second
	// closeGrace is how long a closed session may take to read what is queued
	// and to answer the close frame; a slow one has proven that it does not read.
	closeGrace     = 2 * time.Second
	closeGraceSlow = 500 * time.Millisecond
)

// frame is a WebSocket message or control frame that waits to be written.
type frame struct {
	kind int // of websocket's: TextMessage, PingMessage, PongMessage, CloseMessage
	data []byte
}

// queue is what waits for a session's socket. Its states:
//
//	idle ── push ──▶ writing ── empty ──▶ idle
//	any ── shut ──▶ closed: the close frame is the last, later frames are dropped
//	any ── write error ──▶ closed and empty
//
// While writing, a goroutine exists that alone writes to the socket. (gorilla
// itself answers a breach of the WebSocket protocol from the reader; its own
// lock makes that safe, and the connection is over.)
type queue struct {
	mu sync.Mutex
	// Guarded by mu.
	frames     []frame
	first      [1]frame // what frames begins in: mostly one waits, and that costs no array
	bytes      int
	writing    bool
	closed     bool
	readerDone bool
	reason     string      // why the session ends, for its mates; once closed
	cutOff     *time.Timer // closes the socket of a closed session
}

// pushText queues one message; data must not change afterwards.
func (s *session) pushText(data []byte) { s.push(frame{websocket.TextMessage, data}) }

// send queues m.
func (s *session) send(m wire.Message) { s.pushText(s.srv.encode(m)) }

// push queues f and never blocks. A session that lets its queue overflow ends,
// because a message left out would break a negotiation in silence. An empty
// queue takes a frame of any size.
func (s *session) push(f frame) {
	if s.offer(f) {
		s.srv.running.Go(s.write)
	}
}

// offer is push, but for the writer: it reports true if there was none. Then the caller is to begin one, or to be it.
func (s *session) offer(f frame) (writer bool) {
	q, limits := &s.queue, &s.srv.cfg.Limits
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	full := len(q.frames) >= limits.QueueMessages || len(q.frames) > 0 && q.bytes+len(f.data) > limits.QueueBytes
	if !full {
		writer = q.add(f)
	}
	q.mu.Unlock()
	if full {
		s.shut(wire.CloseSlow, wire.ReasonSlow)
	}
	return writer
}

// add adds a frame, and reports whether somebody must begin to write; mu is held.
func (q *queue) add(f frame) (writer bool) {
	if q.frames == nil {
		q.frames = q.first[:0]
	}
	q.frames = append(q.frames, f)
	q.bytes += len(f.data)
	writer, q.writing = !q.writing, true
	return writer
}

// shut ends the session with a close code, and gives its mates reason once the
// reader is done. Only the first call counts.
func (s *session) shut(code int, reason string) {
	if s.closeWith(code, wire.CloseReason(code), reason) {
		s.srv.counters.closes.add(wire.CloseReason(code))
	}
}

// closeWith queues a close frame as the last. The socket is cut off if the
// client does not take it in time.
func (s *session) closeWith(code int, word, reason string) bool {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.closed, q.reason = true, reason
	grace := closeGrace
	if code == wire.CloseSlow {
		q.frames, q.bytes, grace = nil, 0, closeGraceSlow
	}
	if q.add(frame{websocket.CloseMessage, websocket.FormatCloseMessage(code, word)}) {
		s.srv.running.Go(s.write)
	}
	q.cutOff = time.AfterFunc(grace, func() { s.conn.Close() })
	return true
}

// write is the writer: it ends when nothing is left to write.
func (s *session) write() {
	if s.lazy != nil && len(s.lazy.rest) > 0 {
		s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := s.lazy.finish(); err != nil {
			s.writeFailed(err)
			return
		}
	}
	for {
		f, ok := s.queue.next()
		if !ok {
			break
		}
		if err := s.writeFrame(f); err != nil {
			s.writeFailed(err)
			return
		}
	}
	s.writerLeaves()
}

// visitedFrames is how many frames the reader of another session writes at the most.
const visitedFrames = 4

// writeAsVisitor is the writer, too, for the reader of another session, which waits for nobody's socket: what this socket does not
// take at once is left to a writer of its own. Most sockets take everything, and then nobody had to be woken.
func (s *session) writeAsVisitor() {
	if s.lazy == nil {
		s.srv.running.Go(s.write)
		return
	}
	for range visitedFrames {
		f, ok := s.queue.next()
		if !ok {
			s.writerLeaves()
			return
		}
		err := s.lazy.hurry(true)
		if err == nil {
			err = s.writeFrame(f)
		}
		if s.lazy.hurry(false); err != nil {
			s.writeFailed(err)
			return
		}
		if len(s.lazy.rest) > 0 {
			break
		}
	}
	s.srv.running.Go(s.write)
}

func (s *session) writeFailed(err error) {
	s.queue.fail(err)
	s.conn.Close() // wakes the reader
}

func (s *session) writerLeaves() {
	q := &s.queue
	q.mu.Lock()
	done := q.readerDone
	q.mu.Unlock()
	if done {
		s.conn.Close()
	}
}

func (s *session) writeFrame(f frame) error {
	deadline := time.Now().Add(writeTimeout)
	if f.kind != websocket.TextMessage {
		return s.conn.WriteControl(f.kind, f.data, deadline)
	}
	s.conn.SetWriteDeadline(deadline) // only remembers it; the write reports errors
	return s.conn.WriteMessage(f.kind, f.data)
}

// next takes the first frame; with none left the caller writes no more.
func (q *queue) next() (frame, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.frames) == 0 {
		q.frames, q.writing = nil, false // an idle session keeps no array
		return frame{}, false
	}
	f := q.frames[0]
	q.frames[0] = frame{} // written, it must not be kept by the array
	q.frames = q.frames[1:]
	q.bytes -= len(f.data)
	return f, true
}

// fail ends the queue after an error of the socket.
func (q *queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed, q.reason = true, wire.ReasonGone
		if ne := (net.Error)(nil); errors.As(err, &ne) && ne.Timeout() {
			q.reason = wire.ReasonSlow
		}
	}
	q.frames, q.bytes, q.writing = nil, 0, false
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// endReason closes the queue, if it is not, and says why the session ends.
func (q *queue) endReason() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed, q.reason = true, wire.ReasonGone
	}
	return q.reason
}

// readerLeaves closes the socket, or leaves that to a writer which still has
// the close frame to write.
func (s *session) readerLeaves() {
	q := &s.queue
	q.mu.Lock()
	q.readerDone = true
	writing := q.writing && q.cutOff != nil
	q.mu.Unlock()
	if !writing {
		s.conn.Close()
	}
}
