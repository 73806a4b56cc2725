package socket

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

const (
	// WriteTimeout bounds the writing of one frame to a client that does not read.
	WriteTimeout = 10 * time.Second
	// CloseGrace is how long the client of a closed connection may take to read what is queued and to answer the close
	// frame.
	CloseGrace = 2 * time.Second
	// closeGraceSlow is CloseGrace for a client that has proven that it does not read.
	closeGraceSlow = 500 * time.Millisecond
)

// Source has numbered messages for a connection.
type Source interface {
	// Next returns what c must send next, which must not change afterwards, and the number to write into it
	// (wire.AppendSeq). It is called under the lock of c's queue, so it must neither wait nor call c.
	Next(c *Conn) (data []byte, seq uint64, ok bool)
}

// frame is a WebSocket message or control frame that waits to be written.
type frame struct {
	kind int // of websocket's: TextMessage, PingMessage, PongMessage, CloseMessage
	data []byte
	seq  uint64 // to be written into data; 0: none
}

// queue is what waits to be written: frames of the connection itself first, and then what the source has. Its states:
//
//	idle ── claim ──▶ writing ── nothing left ──▶ idle
//	any ── Shut ──▶ closed: the close frame is the last, later frames are dropped
//	any ── write error ──▶ closed and empty
//
// While the state is writing, one goroutine alone writes to the socket: one that exists as long, or the caller of
// WriteBriefly. (If there is no poller, gorilla itself answers a breach of RFC 6455 from the reader. Its own lock makes
// that safe, and the connection is over.)
type queue struct {
	mu sync.Mutex
	// Guarded by mu.
	source     Source // nil: none yet, or it is not to be sent
	writing    bool
	closed     bool
	readerDone bool
	frames     []frame
	closing    []byte      // the close frame
	reason     string      // why the connection ends; once closed
	cutOff     *time.Timer // cuts a closed connection off
}

// maxFrames bounds the frames of the connection itself: pings, pongs and texts without a number. A client may send 200
// messages at once.
const maxFrames = 256

// push queues f and never blocks.
func (c *Conn) push(f frame) {
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
		c.Shut(wire.CloseSlow, wire.ReasonSlow)
	}
	if begin {
		c.StartWriter()
	}
}

// replacePong puts a pong in the place of one that waits: only the last ping must be answered (RFC 6455 §5.5.3). mu is
// held.
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

// SetSource has the connection send what src has, after the frames that wait.
func (c *Conn) SetSource(src Source) {
	q := &c.queue
	q.mu.Lock()
	q.source = src
	begin := !q.closed && q.claimLocked()
	q.mu.Unlock()
	if begin {
		c.StartWriter()
	}
}

// ClaimWriter makes the caller the writer, if there is none and the connection is not closed. Then the caller must call
// StartWriter or WriteBriefly. A source that has something new for the connection does so.
func (c *Conn) ClaimWriter() bool {
	q := &c.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.closed && q.claimLocked()
}

func (q *queue) claimLocked() bool {
	begin := !q.writing
	q.writing = true
	return begin
}

// closeForBreach is closeWith for a close frame that gorilla has made, because of a breach of RFC 6455.
func (c *Conn) closeForBreach(f []byte) {
	code, word := websocket.CloseProtocolError, ""
	if len(f) >= 4 {
		code, word = int(binary.BigEndian.Uint16(f[2:])), string(f[4:])
	}
	c.closeWith(code, word, wire.ReasonGone)
}

// closeWith queues a close frame as the last. The connection is cut off if the client does not take it in time.
func (c *Conn) closeWith(code int, word, reason string) {
	q := &c.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed, q.reason = true, reason
	grace := CloseGrace
	switch code {
	case wire.CloseSlow:
		q.frames, q.source, grace = nil, nil, closeGraceSlow
	case wire.CloseReplaced:
		q.frames, q.source = nil, nil
	}
	q.closing = websocket.FormatCloseMessage(code, word)
	if q.claimLocked() {
		c.StartWriter()
	}
	q.cutOff = time.AfterFunc(grace, c.Close)
	c.handler.HandleClosing(word) // the echo of a client's close has no word
}

// StartWriter starts a goroutine that writes until nothing is left. Only the claimed writer calls it.
func (c *Conn) StartWriter() { c.engine.running.Go(c.write) }

func (c *Conn) write() {
	defer c.endWriterOnPanic()
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
	c.closeIfReaderDone()
}

// briefFrames is how many frames WriteBriefly writes at the most.
const briefFrames = 4

// WriteBriefly writes without waiting for the socket, and leaves what the socket does not take at once to StartWriter.
// Most sockets take everything, and then no goroutine had to be woken. Only the claimed writer calls it.
func (c *Conn) WriteBriefly() {
	if c.polled == nil {
		c.StartWriter()
		return
	}
	defer c.endWriterOnPanic()
	for range briefFrames {
		f, ok := c.next()
		if !ok {
			c.closeIfReaderDone()
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
	c.StartWriter()
}

func (c *Conn) writeFailed(err error) {
	reason := wire.ReasonGone
	if ne := (net.Error)(nil); errors.As(err, &ne) && ne.Timeout() {
		reason = wire.ReasonSlow
	}
	c.queue.fail(reason)
	c.Close() // wakes the reader
}

// writeFrame writes f. Unless it may wait it can leave a rest; only a polled socket does not have to wait.
func (c *Conn) writeFrame(f frame, mayWait bool) error {
	switch {
	case c.polled != nil:
		buf := c.engine.written.Get().(*[]byte)
		defer c.engine.written.Put(buf)
		var whole []byte
		*buf, whole = appendFrame((*buf)[:0], f)
		return c.polled.send(whole, mayWait)
	case f.kind != websocket.TextMessage:
		return c.ws.WriteControl(f.kind, f.data, time.Now().Add(WriteTimeout))
	case f.seq == 0:
		return c.writeText(f.data)
	}
	buf := c.engine.written.Get().(*[]byte)
	defer c.engine.written.Put(buf)
	*buf = wire.AppendSeq((*buf)[:0], f.data, f.seq)
	return c.writeText(*buf)
}

func (c *Conn) writeText(data []byte) error {
	c.ws.SetWriteDeadline(time.Now().Add(WriteTimeout)) // only remembers it; the write reports errors
	return c.ws.WriteMessage(websocket.TextMessage, data)
}

// next takes what must be written first. If nothing is left, the caller is the writer no more.
func (c *Conn) next() (frame, bool) {
	q := &c.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.frames) > 0 {
		f := q.frames[0]
		q.frames = slices.Delete(q.frames, 0, 1)
		return f, true
	}
	q.frames = nil // an idle connection keeps no array
	if q.source != nil {
		if data, seq, ok := q.source.Next(c); ok {
			return frame{websocket.TextMessage, data, seq}, true
		}
	}
	if q.closing != nil {
		f := frame{kind: websocket.CloseMessage, data: q.closing}
		q.closing, q.source = nil, nil
		return f, true
	}
	q.writing = false
	return frame{}, false
}

// fail ends the queue, whose writer can no more write.
func (q *queue) fail(reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed, q.reason = true, reason
	}
	q.frames, q.source, q.closing, q.writing = nil, nil, nil, false
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// endReason closes the queue, if it is not closed yet, and says why the connection ends.
func (q *queue) endReason() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed, q.reason = true, wire.ReasonGone
	}
	return q.reason
}

// closeIfReaderDone ends the work of a writer: the reader has left the closing of the socket to it if it ended first.
func (c *Conn) closeIfReaderDone() {
	q := &c.queue
	q.mu.Lock()
	done := q.readerDone
	q.mu.Unlock()
	if done {
		c.Close()
	}
}

// closeUnlessWriting ends the work of the reader: it closes the socket, or leaves that to a writer that still has the
// close frame to write.
func (c *Conn) closeUnlessWriting() {
	q := &c.queue
	q.mu.Lock()
	q.readerDone = true
	writing := q.writing && q.cutOff != nil
	q.mu.Unlock()
	if !writing {
		c.Close()
	}
}
