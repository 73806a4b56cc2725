package signal

import (
	"bytes"
	"errors"
	"io"
	"math"
	"syscall"
	"time"

	"turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// readBuffer holds a message while it is handled.
type readBuffer struct {
	bytes.Buffer
	limited io.LimitedReader
}

// read is the reader of a socket that no poller watches over. It lives as long as the socket. It waits for most of its life, and so has
// others do what needs a big stack: one that has once grown is memory that every idle session would keep.
func (c *socket) read() {
	for {
		rare, ok := c.readMessage()
		if !ok {
			break
		}
		if rare != nil {
			c.srv.aparts.do(func() { c.dispatchRare(rare) })
		}
	}
	c.readerEnds()
}

// readOn is the reader of a socket that a poller watches over, for as long as there is something to do that the poller should not: rare,
// if it is not nil, and whatever comes after it.
func (c *socket) readOn(rare wire.ClientMessage) {
	for {
		if rare != nil {
			c.dispatchRare(rare)
		}
		buffer := c.srv.readAhead.Get().(*[readAhead]byte) // not for longer: what follows may wait for the client
		var held bool
		held, rare = c.pump(buffer[:], math.MaxInt)
		c.srv.readAhead.Put(buffer)
		if !held {
			return
		}
		if rare != nil {
			continue
		}
		var ok bool
		if rare, ok = c.readMessage(); !ok {
			c.readerEnds()
			return
		}
	}
}

// pollerReads is how often the poller reads from one socket before others have their turn.
const pollerReads = 4

// pumpOrReadOn is for the poller, who waits for nobody.
func (c *socket) pumpOrReadOn(buffer []byte) {
	if held, rare := c.pump(buffer, pollerReads); held {
		c.srv.aparts.hand(func() { c.readOn(rare) })
	}
}

// pump acts on what the socket has brought, as far as that is simple, until nothing more is there: then the caller holds the socket no
// longer. If it does, it is to dispatch a message that takes long, or, with none, have gorilla read the next one. The buffer is the
// caller's again afterwards.
func (c *socket) pump(buffer []byte, reads int) (held bool, rare wire.ClientMessage) {
	if held, rare = c.pumpFrames(buffer, reads); held {
		c.polled.keep()
	}
	return held, rare
}

func (c *socket) pumpFrames(buffer []byte, reads int) (held bool, rare wire.ClientMessage) {
	p := c.polled
	for {
		for len(p.ahead) > 0 {
			if c.queue.isClosed() {
				return true, nil // what comes after our close frame is read only to see the client's
			}
			first, payload, size := simpleFrame(p.ahead)
			if size == 0 {
				return true, nil
			}
			now := time.Now()
			c.hear(now)
			switch first {
			case finalText:
				rare = c.handle(payload, now)
			case finalPing:
				c.answerPing(payload, now)
			}
			if p.skip(size); rare != nil {
				return true, rare
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
			return true, nil // for gorilla to meet
		default:
			p.ahead = buffer[:n]
		}
	}
}

// readMessage has gorilla read one message, whose buffer belongs to it only as long, and acts on it, unless it is returned. It reports
// false at the end of the socket.
func (c *socket) readMessage() (rare wire.ClientMessage, ok bool) {
	kind, r, err := c.conn.NextReader()
	if errors.Is(err, websocket.ErrReadLimit) { // a length that is no number
		c.shut(wire.CloseTooBig, wire.ReasonBadMessage)
	}
	if err != nil {
		return nil, false
	}
	c.hear(time.Now())
	if c.queue.isClosed() {
		return nil, true // what comes after our close frame is read only to see the client's
	}
	buf := c.srv.buffers.Get().(*readBuffer)
	defer c.srv.buffers.Put(buf)
	buf.Reset()
	buf.limited = io.LimitedReader{R: r, N: wire.MaxMessage + 1}
	_, err = buf.ReadFrom(&buf.limited)
	buf.limited.R = nil
	switch {
	case err != nil:
		return nil, false
	case buf.Len() > wire.MaxMessage:
		c.shut(wire.CloseTooBig, wire.ReasonBadMessage)
	case kind != websocket.TextMessage:
		c.srv.counters.messages.add(messageInvalid)
		c.refuse("", badField("", "The message must be text, not binary."))
	default:
		rare = c.handle(buf.Bytes(), time.Now()) // after all of it has come: a slow one must not set the bucket of its user back
	}
	return rare, true
}

// readerEnds is the end of a socket, but for what is still to be written.
func (c *socket) readerEnds() {
	c.srv.lose(c, c.queue.endReason())
	c.srv.forgetConn(c)
	c.readerLeaves()
	c.srv.running.Done()
}
