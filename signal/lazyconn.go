package signal

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// readAhead is what one read of a socket may bring: most messages whole, with their frames' headers.
const readAhead = 4 << 10

// lazyConn is a socket that holds no buffer while there is nothing to read: most sockets of a signaling server, most of the time. A
// buffer comes from the pool once the socket is readable, and goes back when its bytes have been taken.
type lazyConn struct {
	net.Conn
	raw  syscall.RawConn
	pool *sync.Pool // of *[readAhead]byte
	// readRaw and writeRaw, made once.
	doRead, doWrite func(fd uintptr) bool

	// Owned by the reader.
	buffer *[readAhead]byte // nil: none
	ahead  []byte           // of buffer, to be read first
	failed error            // of the read that fill waits for

	// Owned by whoever writes, of whom gorilla lets in one at a time.
	deadline  time.Time
	impatient bool   // Write does not wait
	rest      []byte // what it therefore left over
	// Of writeAtOnce, while it runs.
	writing     []byte
	wrote       int
	failedWrite error
}

// deadlineSlack is by how much the time for a write may be shorter than was asked for.
const deadlineSlack = time.Second

// SetWriteDeadline leaves a deadline that is nearly as late as it is. gorilla sets one for each message, and moving the
// runtime's timer costs a tenth of what forwarding does.
func (c *lazyConn) SetWriteDeadline(t time.Time) error {
	if c.impatient {
		return nil // what does not wait needs none
	}
	if late := t.Sub(c.deadline); late >= 0 && late < deadlineSlack {
		return nil
	}
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline sets both.
func (c *lazyConn) SetDeadline(t time.Time) error {
	c.deadline = t
	return c.Conn.SetDeadline(t)
}

// lazy wraps a connection. One that is no bare socket, such as TLS, has its own buffers and stays as it is.
func lazy(conn net.Conn, pool *sync.Pool) net.Conn {
	sc, ok := conn.(syscall.Conn)
	if !ok || !canReadRaw {
		return conn
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return conn
	}
	c := &lazyConn{Conn: conn, raw: raw, pool: pool}
	c.doRead, c.doWrite = c.readRaw, c.writeRaw
	return c
}

func (c *lazyConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(c.ahead) == 0 {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.pool.Put(c.buffer)
		c.buffer, c.ahead = nil, nil
	}
	return n, nil
}

// hurry says whether writes from now on may wait for the socket. If not, what it does not take is kept: finish must be called then.
func (c *lazyConn) hurry(on bool) error {
	c.impatient = on
	if on && !c.deadline.IsZero() { // an old one would fail new writes
		c.deadline = time.Time{}
		return c.Conn.SetWriteDeadline(c.deadline)
	}
	return nil
}

func (c *lazyConn) Write(b []byte) (int, error) {
	if !c.impatient {
		return c.Conn.Write(b)
	}
	n, err := c.writeAtOnce(b)
	if err != nil {
		return n, err
	}
	if n < len(b) {
		c.rest = append(c.rest, b[n:]...) // b is gorilla's
	}
	return len(b), nil
}

// finish waits until what was left over is written.
func (c *lazyConn) finish() error {
	rest := c.rest
	c.rest = nil
	_, err := c.Conn.Write(rest)
	return err
}

// lazyWriter is an http.ResponseWriter whose connection becomes a lazyConn when it is taken over.
type lazyWriter struct {
	http.ResponseWriter
	pool *sync.Pool
}

func (w lazyWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return lazy(conn, w.pool), buffered, nil
}
