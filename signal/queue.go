package signal

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

const (
	// writeTimeout bounds the writing of one frame to a client that does not read.
	writeTimeout = 10 * time.Second
	// closeGrace is how long a closed socket's client may take to read what is queued
	// and to answer the close frame; a slow one has proven that it does not read.
	closeGrace     = 2 * time.Second
	closeGraceSlow = 500 * time.Millisecond
)

// frame is a WebSocket message or control frame that waits to be written.
type frame struct {
	kind int // of websocket's: TextMessage, PingMessage, PongMessage, CloseMessage
	data []byte
	seq  uint64 // to be written into data; 0: none
}

// queue is what waits for a socket: frames that belong to the socket alone, and then what the stream of its session has for it. Its
// states:
//
//	idle ── claim ──▶ writing ── nothing left ──▶ idle
//	any ── shut ──▶ closed: the close frame is the last, later frames are dropped
//	any ── write error ──▶ closed and empty
//
// While writing, somebody alone writes to the socket: a goroutine that exists as long, or the reader of another socket. (gorilla
// itself answers a breach of the WebSocket protocol from the reader; its own
// lock makes that safe, and the connection is over.)
type queue struct {
	mu sync.Mutex
	// Guarded by mu.
	stream     *stream // of the session; nil: none yet, or it is not to be sent
	writing    bool
	closed     bool
	readerDone bool
	frames     []frame
	closing    []byte      // the close frame
	reason     string      // why the socket ends; once closed
	cutOff     *time.Timer // closes the socket of a closed queue
}

// maxFrames bounds the frames that belong to a socket alone: pings, pongs, and what answers requests outside of a session. A client may
// send 200 messages at once.
const maxFrames = 256

// sendApart sends m outside of the session's stream.
func (c *socket) sendApart(m wire.Message) {
	c.push(frame{kind: websocket.TextMessage, data: c.srv.encode(m)})
}

// push queues f and never blocks.
func (c *socket) push(f frame) {
	q := &c.queue
	q.mu.Lock()
	full, begin := false, false
	if !q.closed && !q.replacePong(f) {
		if full = len(q.frames) >= maxFrames; !full {
			q.frames = append(q.frames, f)
			begin = q.claimLocked()
		}
	}
	q.mu.Unlock()
	if full {
		c.shut(wire.CloseSlow, wire.ReasonSlow)
	}
	if begin {
		c.srv.running.Go(c.write)
	}
}

// replacePong puts a pong in the place of one that waits: only the last ping has to be answered (RFC 6455 §5.5.3). mu is held.
func (q *queue) replacePong(f frame) bool {
	if f.kind != websocket.PongMessage {
		return false
	}
	for i := range q.frames {
		if q.frames[i].kind == f.kind {
			q.frames[i] = f
			return true
		}
	}
	return false
}

// claim makes the caller the writer, if there is none.
func (q *queue) claim() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.closed && q.claimLocked()
}

func (q *queue) claimLocked() bool {
	begin := !q.writing
	q.writing = true
	return begin
}

// carry has the socket send what a session is told, after the frames that wait.
func (c *socket) carry(st *stream) {
	q := &c.queue
	q.mu.Lock()
	q.stream = st
	begin := !q.closed && q.claimLocked()
	q.mu.Unlock()
	if begin {
		c.srv.running.Go(c.write)
	}
}

// closeAsTold is closeWith for a close frame that gorilla has made, because of a breach of RFC 6455.
func (c *socket) closeAsTold(f []byte) {
	code, word := websocket.CloseProtocolError, ""
	if len(f) >= 4 {
		code, word = int(binary.BigEndian.Uint16(f[2:])), string(f[4:])
	}
	c.closeWith(code, word, wire.ReasonGone)
}

// shut ends the socket with a close code, and gives its session reason once the
// reader is done. Only the first call counts.
func (c *socket) shut(code int, reason string) {
	c.closeWith(code, wire.CloseReason(code), reason)
}

// closeWith queues a close frame as the last. The socket is cut off if the
// client does not take it in time.
func (c *socket) closeWith(code int, word, reason string) {
	q := &c.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed, q.reason = true, reason
	c.srv.counters.closes.add(word) // before the client can know; the echo of a client's close has no word, and is not counted
	grace := closeGrace
	switch code {
	case wire.CloseSlow:
		q.frames, q.stream, grace = nil, nil, closeGraceSlow
	case wire.CloseReplaced:
		q.frames, q.stream = nil, nil
	}
	q.closing = websocket.FormatCloseMessage(code, word)
	if q.claimLocked() {
		c.srv.running.Go(c.write)
	}
	q.cutOff = time.AfterFunc(grace, func() { c.conn.Close() })
}

// write is the writer: it ends when nothing is left to write.
func (c *socket) write() {
	if c.polled != nil && len(c.polled.rest) > 0 {
		if err := c.polled.finish(); err != nil {
			c.writeFailed(err)
			return
		}
	}
	for {
		f, ok := c.next()
		if !ok {
			break
		}
		if err := c.writeFrame(f, true); err != nil {
			c.writeFailed(err)
			return
		}
	}
	c.writerLeaves()
}

// visitedFrames is how many frames the reader of another session writes at the most.
const visitedFrames = 4

// writeAsVisitor is the writer, too, for the reader of another session, which waits for nobody's socket: what this socket does not
// take at once is left to a writer of its own. Most sockets take everything, and then nobody had to be woken.
func (c *socket) writeAsVisitor() {
	if c.polled == nil {
		c.srv.running.Go(c.write)
		return
	}
	for range visitedFrames {
		f, ok := c.next()
		if !ok {
			c.writerLeaves()
			return
		}
		if err := c.writeFrame(f, false); err != nil {
			c.writeFailed(err)
			return
		}
		if len(c.polled.rest) > 0 {
			break
		}
	}
	c.srv.running.Go(c.write)
}

func (c *socket) writeFailed(err error) {
	c.queue.fail(err)
	c.conn.Close() // wakes the reader
}

func (c *socket) writerLeaves() {
	q := &c.queue
	q.mu.Lock()
	done := q.readerDone
	q.mu.Unlock()
	if done {
		c.conn.Close()
	}
}

// writeFrame writes f. Without patience it waits for nothing, and may leave a rest, which only a polled socket can.
func (c *socket) writeFrame(f frame, patient bool) error {
	switch {
	case c.polled != nil:
		buf := c.srv.written.Get().(*[]byte)
		defer c.srv.written.Put(buf)
		var whole []byte
		*buf, whole = appendFrame((*buf)[:0], f)
		return c.polled.send(whole, patient)
	case f.kind != websocket.TextMessage:
		return c.conn.WriteControl(f.kind, f.data, time.Now().Add(writeTimeout))
	case f.seq == 0:
		return c.writeText(f.data)
	}
	buf := c.srv.written.Get().(*[]byte)
	defer c.srv.written.Put(buf)
	*buf = wire.AppendSeq((*buf)[:0], f.data, f.seq)
	return c.writeText(*buf)
}

func (c *socket) writeText(data []byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // only remembers it; the write reports errors
	return c.conn.WriteMessage(websocket.TextMessage, data)
}

// next takes what is to be written first; with nothing left the caller writes no more.
func (c *socket) next() (frame, bool) {
	q := &c.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.frames) > 0 {
		f := q.frames[0]
		q.frames = slices.Delete(q.frames, 0, 1)
		return f, true
	}
	q.frames = nil // an idle socket keeps no array
	if q.stream != nil {
		if data, seq, ok := q.stream.take(c); ok {
			return frame{websocket.TextMessage, data, seq}, true
		}
	}
	if q.closing != nil {
		f := frame{kind: websocket.CloseMessage, data: q.closing}
		q.closing, q.stream = nil, nil
		return f, true
	}
	q.writing = false
	return frame{}, false
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
	q.frames, q.stream, q.closing, q.writing = nil, nil, nil, false
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
func (c *socket) readerLeaves() {
	q := &c.queue
	q.mu.Lock()
	q.readerDone = true
	writing := q.writing && q.cutOff != nil
	q.mu.Unlock()
	if !writing {
		c.conn.Close()
	}
}
