package socket

import (
	"bytes"
	"sync/atomic"
	"time"

	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// Handler acts on what one client sends. The connection's reader calls its methods, one at a time; only HandleClosing
// and HandlePanic may be called at any time.
type Handler interface {
	// HandleMessage acts on a text message, all of which had come at now. data is valid only during the call. A poller
	// may call it, so it must not take long. It returns work that does as a task, and nil if there is none: HandleTask
	// does the task, before the next message.
	HandleMessage(data []byte, now time.Time) (task any)
	HandleTask(task any)
	// HandleBinary is told of a binary message, which is dropped.
	HandleBinary()
	// HandlePing reports whether to answer the client's ping.
	HandlePing(now time.Time) (answer bool)
	// HandleClosing is told the word that goes with our close code, before the client can know it. It is called under a
	// lock, so it must neither wait nor call the Conn.
	HandleClosing(word string)
	// HandlePanic is told of a panic in another method, or in what reads and writes for the connection. Then the
	// connection is closed with 1011. It may be called at any time.
	HandlePanic(value any, stack []byte)
	// HandleEnd is the last call, once nothing more can be read. reason is Shut's, or wire.ReasonGone,
	// wire.ReasonSlow or wire.ReasonInternal. code is the close code of the client; zero if it sent none.
	HandleEnd(reason string, code int)
}

// Conn is one client's WebSocket. [Engine.Upgrade] makes it in memory of the caller's, and it must not be copied.
// Goroutines may call its methods at once, unless a method says otherwise. No method waits for the client.
//
// The fields that each message needs come first: when a message comes, the memory of most sockets has gone cold.
type Conn struct {
	// Static after Upgrade.
	handler Handler
	engine  *Engine
	polled  *polledConn // beneath ws; nil if a goroutine waits for what comes

	lastHeard atomic.Int64 // nanoseconds since Engine.epoch

	queue queue

	ws *websocket.Conn // static after Upgrade

	closeCode int // owned by the reader: with which the client closed; 0: it did not

	pinged int64 // owned by the caller of KeepAlive: like lastHeard, as a time.Time is thrice as long
}

func (c *Conn) init(e *Engine, ws *websocket.Conn, h Handler) {
	c.handler, c.engine, c.ws = h, e, ws
	c.pinged = c.at(time.Now())
	if c.polled, _ = ws.NetConn().(*polledConn); c.polled != nil {
		c.polled.conn = c
	}
	c.lastHeard.Store(c.pinged)
	ws.SetPingHandler(func(data string) error {
		now := time.Now()
		c.hear(now)
		c.answerPing([]byte(data), now)
		return nil
	})
	ws.SetPongHandler(func(string) error {
		c.hear(time.Now())
		return nil
	})
	ws.SetCloseHandler(func(code int, _ string) error {
		c.closeCode = code
		c.closeWith(code, "", wire.ReasonGone) // the echo that RFC 6455 §5.5.1 asks for
		return nil
	})
}

// Start begins to read. It must be called once, and not while [Engine.Close] waits.
func (c *Conn) Start() {
	running := &c.engine.running
	running.Add(1) // until it ends
	// In new goroutines: net/http's would keep its buffers and its grown stack.
	switch {
	case c.polled == nil:
		running.Go(c.read)
	case !c.polled.release():
		running.Go(func() { c.readOn(nil) })
	}
}

// Close cuts the connection off, without a close frame.
func (c *Conn) Close() { _ = c.ws.Close() }

// Shut closes the connection with a close code, after what waits in the queue. Of several calls the first counts: its
// reason is HandleEnd's.
func (c *Conn) Shut(code int, reason string) {
	c.closeWith(code, wire.CloseReason(code), reason)
}

// PushText queues a text message that is no part of the source's.
func (c *Conn) PushText(data []byte) {
	c.push(frame{kind: websocket.TextMessage, data: data})
}

// KeepAlive pings a client that is due for it, which it reports, and closes a connection from which nothing was heard for
// too long. One caller at a time calls it, every second or so.
func (c *Conn) KeepAlive(now time.Time) (pings bool) {
	at := c.at(now)
	switch {
	case time.Duration(at-c.lastHeard.Load()) >= wire.DeadAfter:
		c.Shut(wire.CloseDead, wire.ReasonGone)
	case time.Duration(at-c.pinged) >= wire.PingInterval:
		c.pinged = at
		c.push(frame{kind: websocket.PingMessage})
		return true
	}
	return false
}

// at is a time of time.Now's as lastHeard has it. The host's clock may be set without that changing it.
func (c *Conn) at(now time.Time) int64 { return int64(now.Sub(c.engine.epoch)) }

func (c *Conn) hear(now time.Time) { c.lastHeard.Store(c.at(now)) }

func (c *Conn) answerPing(data []byte, now time.Time) {
	if c.handlePing(now) {
		c.push(frame{kind: websocket.PongMessage, data: bytes.Clone(data)})
	}
}
