package socket

import (
	"bytes"
	"errors"
	"io"
	"math"
	"syscall"
	"time"

	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// messageBuffer holds a message while it is handled.
type messageBuffer struct {
	bytes.Buffer
	limited io.LimitedReader
}

// read is the reader of a socket that no poller watches, as under TLS. It lives as long as the socket, and waits for most
// of its life. So workers handle the messages, which needs a big stack: every idle socket would keep a stack that has
// once grown.
func (c *Conn) read() {
	defer c.endReaderOnPanic()
	h := handover{conn: c, done: make(chan struct{}, 1)}
	h.work = h.handle // made once, not for each message
	for {
		if _, ok := c.readMessage(h.pass); !ok {
			break
		}
	}
	c.readerEnds()
}

// handover passes a reader's messages to workers, one at a time.
type handover struct {
	conn *Conn
	work func()
	done chan struct{}

	// Owned by the reader, and by the worker from start to done.
	data []byte
	now  time.Time
}

// pass has a worker handle a message with its task, and returns when both are done.
func (h *handover) pass(data []byte, now time.Time) (task any) {
	h.data, h.now = data, now
	h.conn.engine.workers.start(h.work)
	<-h.done
	return nil
}

func (h *handover) handle() {
	defer func() { h.done <- struct{}{} }()
	if task := h.conn.handleMessage(h.data, h.now); task != nil {
		h.conn.handleTask(task)
	}
}

// readOn is the reader of a socket that a poller watches, while there is work that the poller should not do. It does
// the task, if that is not nil, and handles everything after it.
func (c *Conn) readOn(task any) {
	defer c.endReaderOnPanic()
	for {
		if task != nil {
			c.handleTask(task)
		}
		buffer := c.engine.readAhead.Get().(*[readAhead]byte) // not for longer: what follows may wait for the client
		var held bool
		held, task = c.pump(buffer[:], math.MaxInt)
		c.engine.readAhead.Put(buffer)
		if !held {
			return
		}
		if task != nil {
			continue
		}
		var ok bool
		if task, ok = c.readMessage(c.handleMessage); !ok {
			c.readerEnds()
			return
		}
	}
}

// pollerReads is how often the poller reads from one socket before others have their turn.
const pollerReads = 4

// pumpOrReadOn is for the poller, which waits for nobody.
func (c *Conn) pumpOrReadOn(buffer []byte) {
	defer c.endReaderOnPanic()
	if held, task := c.pump(buffer, pollerReads); held {
		c.engine.workers.start(func() { c.readOn(task) })
	}
}

// pump reads and handles simple frames until nothing more is there: then the poller watches the socket again. If the
// caller still holds the socket, it must do the task or, if there is none, have gorilla read the next message. The
// buffer is the caller's again afterwards.
func (c *Conn) pump(buffer []byte, reads int) (held bool, task any) {
	if held, task = c.pumpFrames(buffer, reads); held {
		c.polled.keep()
	}
	return held, task
}

func (c *Conn) pumpFrames(buffer []byte, reads int) (held bool, task any) {
	p := c.polled
	for {
		for len(p.ahead) > 0 {
			if c.queue.isClosed() {
				return true, nil // after our close frame, we read only to see the client's
			}
			first, payload, size := simpleFrame(p.ahead)
			if size == 0 {
				return true, nil
			}
			now := time.Now()
			c.hear(now)
			switch first {
			case finalText:
				task = c.handleMessage(payload, now)
			case finalPing:
				c.answerPing(payload, now)
			}
			if p.skip(size); task != nil {
				return true, task
			}
		}
		if !p.more && p.release() {
			return false, nil
		}
		if reads == 0 {
			return true, nil
		}
		reads--
		n, err := p.readNow(buffer)
		switch {
		case err == syscall.EAGAIN:
			p.more = false
		case err != nil:
			return true, nil // gorilla will meet it
		default:
			p.ahead = buffer[:n]
		}
	}
}

// readMessage has gorilla read one message, and has it handled. It holds a buffer only once the message begins. It reports
// false at the end of the socket.
func (c *Conn) readMessage(handle func(data []byte, now time.Time) (task any)) (task any, ok bool) {
	kind, r, err := c.ws.NextReader()
	if errors.Is(err, websocket.ErrReadLimit) { // a length that is no number
		c.Shut(wire.CloseTooBig, wire.ReasonBadMessage)
	}
	if err != nil {
		return nil, false
	}
	c.hear(time.Now())
	if c.queue.isClosed() {
		return nil, true // after our close frame, we read only to see the client's
	}
	buf := c.engine.messages.Get().(*messageBuffer)
	defer c.engine.messages.Put(buf)
	buf.Reset()
	buf.limited = io.LimitedReader{R: r, N: wire.MaxMessage + 1}
	_, err = buf.ReadFrom(&buf.limited)
	buf.limited.R = nil
	switch {
	case err != nil:
		return nil, false
	case buf.Len() > wire.MaxMessage:
		c.Shut(wire.CloseTooBig, wire.ReasonBadMessage)
	case kind != websocket.TextMessage:
		c.handleBinary()
	default:
		// The time is that of the message's end: rates count it then, and a message that takes long to come must not
		// set their clock back.
		task = handle(buf.Bytes(), time.Now())
	}
	return task, true
}

// readerEnds ends the connection, except for what is still to be written.
func (c *Conn) readerEnds() {
	c.handleEnd()
	c.closeUnlessWriting()
	c.engine.running.Done()
}
