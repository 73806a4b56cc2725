package socket

import (
	"runtime/debug"
	"time"

	"example.org/turnpike/signal/wire"
)

// A panic ends one socket, and not the process. The goroutines of many sockets run the handler, and no HTTP server
// recovers there. Whatever holds a lock while it calls the handler or a source gives the lock back on the way.

// endOnPanic must be deferred around work for the connection. A panic in the work tells the handler, and closes the
// connection with 1011.
func (c *Conn) endOnPanic() {
	if value := recover(); value != nil {
		c.failed(value)
	}
}

func (c *Conn) failed(value any) {
	c.handler.HandlePanic(value, debug.Stack())
	c.Shut(wire.CloseInternal, wire.ReasonInternal)
}

// endReaderOnPanic is endOnPanic for a reader that can no more read.
func (c *Conn) endReaderOnPanic() {
	if value := recover(); value != nil {
		c.failed(value)
		c.Close()
		c.readerEnds()
	}
}

// endWriterOnPanic is endOnPanic for a writer. The client gets no close frame, as nobody can write one.
func (c *Conn) endWriterOnPanic() {
	if value := recover(); value != nil {
		c.handler.HandlePanic(value, debug.Stack())
		c.queue.fail(wire.ReasonInternal)
		c.Close()
	}
}

// The calls of the handler.

func (c *Conn) handleMessage(data []byte, now time.Time) (task any) {
	defer c.endOnPanic()
	return c.handler.HandleMessage(data, now)
}

func (c *Conn) handleTask(task any) {
	defer c.endOnPanic()
	c.handler.HandleTask(task)
}

func (c *Conn) handleBinary() {
	defer c.endOnPanic()
	c.handler.HandleBinary()
}

func (c *Conn) handlePing(now time.Time) (answer bool) {
	defer c.endOnPanic()
	return c.handler.HandlePing(now)
}

func (c *Conn) handleEnd() {
	defer c.endOnPanic()
	c.handler.HandleEnd(c.queue.endReason(), c.closeCode)
}
