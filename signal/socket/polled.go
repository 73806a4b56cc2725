package socket

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// readAhead is how many bytes one read of a socket may bring for a reader: most messages whole, with their frames'
// headers.
const readAhead = 4 << 10

// polledConn is a TCP socket that takes neither a goroutine nor a buffer while there is nothing to read. Most sockets
// of a signaling server are in that state most of the time: a poller watches them. A reader holds the socket while it
// reads:
//
//	watched ── the poller sees something come, or Close ──▶ held ── all of it is read ──▶ watched
//	                                                        held ◀──▶ awaited, by a reader that has a part of something
//
// The poller itself reads simple frames, so that in most cases no goroutine has to be woken (Conn.pump). A goroutine
// does what takes long or waits for more to come, and then gives the socket back.
//
// The writer of the queue writes messages past gorilla (send).
type polledConn struct {
	fd int // static after construction

	// Written once, before the first release.
	conn *Conn // nil during the handshake

	uses   atomic.Int64 // of fd at the moment, and connClosed
	state  atomic.Uint32
	hungUp atomic.Bool // the client sends no more: read until the end shows

	// Owned by the reader.
	ahead    []byte           // to be read first
	buffer   *[readAhead]byte // that ahead is in; nil: it is not from the pool
	more     bool             // there may be more in the socket
	ends     frameEnds        // of the frames that gorilla has read
	readable chan struct{}    // wakes the reader that awaits something; made by the first that does

	// Owned by the writer.
	rest     []byte        // left over by a send that did not wait
	writable chan struct{} // wakes the writer that waits; made by the first that does
	blocked  atomic.Bool   // the writer waits until the socket takes more

	// Static after construction.
	poller   *poller
	slot     int32      // of the poller
	slotTurn int32      // tells it from the sockets that have had the slot before
	pool     *sync.Pool // of *[readAhead]byte
	from     net.Conn   // whose socket it was: it has the addresses, and counts as a connection of its listener
}

// connClosed is in uses once the connection is closed. The last to use fd then closes it.
const connClosed = 1 << 32

// The states of a polledConn.
const (
	connHeld     = iota // by its reader, and at first
	connHeldMore        // by its reader, and something has come since it last looked
	connAwaited         // by its reader, which waits for something to come
	connWatched         // by the poller
)

// acquire lets the caller use fd until it calls leave, unless the connection is closed.
func (c *polledConn) acquire() bool {
	for {
		n := c.uses.Load()
		if n >= connClosed {
			return false
		}
		if c.uses.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (c *polledConn) leave() {
	if c.uses.Add(-1) == connClosed {
		c.poller.forget(c)
	}
}

// Close closes the socket, and wakes a reader and a writer that wait for it. Anybody may call it.
func (c *polledConn) Close() error {
	for {
		n := c.uses.Load()
		if n >= connClosed {
			return net.ErrClosed
		}
		if c.uses.CompareAndSwap(n, n+connClosed+1) {
			break
		}
	}
	c.leave()
	_ = c.from.Close() // whose socket is closed already
	c.wakeReader()
	c.wakeWriter()
	return nil
}

// claim makes the caller the reader, if there is none. If there is one, that reader will look again.
func (c *polledConn) claim() bool {
	for {
		switch c.state.Load() {
		case connWatched:
			if c.state.CompareAndSwap(connWatched, connHeld) {
				c.more = true
				return true
			}
		case connAwaited:
			if c.state.CompareAndSwap(connAwaited, connHeld) {
				c.readable <- struct{}{}
				return false
			}
		case connHeld:
			if c.state.CompareAndSwap(connHeld, connHeldMore) {
				return false
			}
		default:
			return false
		}
	}
}

// release has the poller watch the socket again. It reports false if something has come: the caller must go on reading.
func (c *polledConn) release() bool { return c.letGo(connWatched) }

// await waits until something comes.
func (c *polledConn) await() {
	if c.readable == nil {
		c.readable = make(chan struct{}, 1)
	}
	if c.letGo(connAwaited) {
		<-c.readable
	}
}

func (c *polledConn) letGo(state uint32) bool {
	if c.state.CompareAndSwap(connHeld, state) {
		return true
	}
	c.state.Store(connHeld)
	c.more = true
	return false
}

// wakeReader wakes a reader that waits, or starts one if there is none.
func (c *polledConn) wakeReader() {
	if c.claim() {
		c.conn.engine.running.Go(func() { c.conn.readOn(nil) })
	}
}

// wakeWriter wakes a writer that waits.
func (c *polledConn) wakeWriter() {
	if c.blocked.CompareAndSwap(true, false) {
		select {
		case c.writable <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// readNow reads what is there. It returns syscall.EAGAIN if nothing is, and io.EOF at the end.
func (c *polledConn) readNow(b []byte) (int, error) {
	if !c.acquire() {
		return 0, net.ErrClosed
	}
	n, err := readNow(c.fd, b)
	c.leave()
	switch {
	case err == syscall.EAGAIN:
		return 0, err
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	c.more = n == len(b) || c.hungUp.Load()
	return n, nil
}

// Read is for gorilla. It waits, and gives out nothing beyond the end of a frame: the poller may read the next one.
func (c *polledConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(c.ahead) == 0 {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := c.ends.advance(c.ahead[:min(len(b), len(c.ahead))])
	copy(b, c.ahead[:n])
	c.skip(n)
	return n, nil
}

// fill waits for something to read, and takes a buffer only once something is there.
func (c *polledConn) fill() error {
	for {
		buffer := c.pool.Get().(*[readAhead]byte)
		n, err := c.readNow(buffer[:])
		if err == nil {
			c.buffer, c.ahead = buffer, buffer[:n]
			return nil
		}
		c.pool.Put(buffer)
		if err != syscall.EAGAIN {
			return err
		}
		c.await()
	}
}

// skip passes over bytes that are done with.
func (c *polledConn) skip(n int) {
	if c.ahead = c.ahead[n:]; len(c.ahead) > 0 {
		return
	}
	c.ahead = nil
	if c.buffer != nil {
		c.pool.Put(c.buffer)
		c.buffer = nil
	}
}

// keep copies what must be read first out of a buffer that is the caller's.
func (c *polledConn) keep() {
	switch {
	case len(c.ahead) == 0 || c.buffer != nil:
	case len(c.ahead) <= readAhead:
		c.buffer = c.pool.Get().(*[readAhead]byte)
		c.ahead = c.buffer[:copy(c.buffer[:], c.ahead)]
	default:
		c.ahead = bytes.Clone(c.ahead)
	}
}

// send writes b. Unless it may wait it keeps what the socket does not take now, and finish must be called.
func (c *polledConn) send(b []byte, mayWait bool) error {
	n, err := c.writeNow(b)
	switch {
	case err != nil:
		return err
	case n == len(b):
		return nil
	case mayWait:
		return c.sendSlowly(b[n:], WriteTimeout)
	}
	c.rest = append(c.rest, b[n:]...)
	return nil
}

// finish waits until what was left over is written.
func (c *polledConn) finish() error {
	rest := c.rest
	c.rest = nil
	return c.sendSlowly(rest, WriteTimeout)
}

// sendSlowly writes b as the socket takes it.
func (c *polledConn) sendSlowly(b []byte, timeout time.Duration) error {
	if c.writable == nil {
		c.writable = make(chan struct{}, 1)
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	for {
		c.blocked.Store(true) // first, so that no waking is missed
		n, err := c.writeNow(b)
		if b = b[n:]; err != nil || len(b) == 0 {
			c.blocked.Store(false)
			return err
		}
		if n > 0 {
			continue
		}
		select {
		case <-c.writable:
		case <-late.C:
			c.blocked.Store(false)
			return os.ErrDeadlineExceeded
		}
	}
}

// writeNow writes as much as the socket takes now.
func (c *polledConn) writeNow(b []byte) (int, error) {
	if !c.acquire() {
		return 0, net.ErrClosed
	}
	n, err := writeNow(c.fd, b)
	c.leave()
	if err != nil && err != syscall.EAGAIN {
		return 0, os.NewSyscallError("write", err)
	}
	return n, nil
}

// Write is for gorilla, which writes the answer to the handshake, and later, from the reader, the close frame that
// answers a breach of RFC 6455. The close frame has to take its turn in the queue.
func (c *polledConn) Write(b []byte) (int, error) {
	if c.conn == nil {
		return len(b), c.send(b, true)
	}
	c.conn.closeForBreach(b)
	return len(b), nil
}

func (c *polledConn) LocalAddr() net.Addr  { return c.from.LocalAddr() }
func (c *polledConn) RemoteAddr() net.Addr { return c.from.RemoteAddr() }

// Deadlines do nothing here: Conn.KeepAlive ends a connection from which nothing is heard, and sendSlowly has its own.

func (*polledConn) SetDeadline(time.Time) error      { return nil }
func (*polledConn) SetReadDeadline(time.Time) error  { return nil }
func (*polledConn) SetWriteDeadline(time.Time) error { return nil }

// polledWriter is an http.ResponseWriter whose connection becomes a polledConn when it is taken over.
type polledWriter struct {
	http.ResponseWriter
	engine *Engine
}

func (w polledWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return w.engine.polled(conn), buffered, nil
}

// polled takes the socket from a connection. One that is no bare socket, such as TLS, has its own buffers and stays as
// it is.
func (e *Engine) polled(conn net.Conn) net.Conn {
	c, err := e.pollers.adopt(conn, &e.readAhead)
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			e.log.Debug("a socket gets a goroutine instead of being polled", "err", err)
		}
		return conn
	}
	return c
}
