package signal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"os"
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
	// readRaw, peekRaw and writeRaw, made once.
	doRead, doPeek, doWrite func(fd uintptr) bool

	// Owned by the reader.
	buffer *[readAhead]byte // nil: none
	ahead  []byte           // of buffer, to be read first
	failed error            // of the read that fill waits for
	frames frameEnds        // of what has been read
	met    error            // by await, and left for Read

	mu sync.Mutex // never held while waiting
	// Guarded by mu.
	waiting bool // await waits
	sent    bool // to rest, by a read deadline that is over

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
	c.doRead, c.doPeek, c.doWrite = c.readRaw, c.peekRaw, c.writeRaw
	return c
}

func (c *lazyConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if c.met != nil {
		return 0, c.met
	}
	if len(c.ahead) == 0 {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := c.frames.take(c.ahead[:min(len(b), len(c.ahead))])
	copy(b, c.ahead[:n])
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.pool.Put(c.buffer)
		c.buffer, c.ahead = nil, nil
	}
	return n, nil
}

// await waits between two frames until there is something to read, or an error to meet, and reports false if the reader is to rest
// instead. Read gives out nothing beyond the end of a frame, so that then nobody else has a part of the next one.
func (c *lazyConn) await() bool {
	if len(c.ahead) > 0 || c.met != nil || !c.frames.isEnd() {
		return true
	}
	c.setWaiting(true)
	err := c.fill()
	if sent := c.setWaiting(false); sent && errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.met = err
	return true
}

// setWaiting says whether await waits, and reports whether the reader was sent to rest in the meantime.
func (c *lazyConn) setWaiting(waiting bool) (sent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, sent, c.sent = waiting, c.sent, false
	if sent {
		_ = c.Conn.SetReadDeadline(time.Time{}) // fails if the connection is closed, as does what follows
	}
	return sent
}

// sendToRest has a reader rest that waits between two frames. Anybody may call it.
func (c *lazyConn) sendToRest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting && !c.sent {
		c.sent = true
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// doze waits like await, on less stack.
func (c *lazyConn) doze() {
	_ = c.raw.Read(c.doPeek) // an error is for Read to meet
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

// frameEnds follows bytes through the frames of a WebSocket, as far as it takes to know where one ends (RFC 6455 §5.2).
type frameEnds struct {
	header [10]byte // of the frame, up to its length
	have   int      // of header
	left   uint64   // bytes after that
}

// isEnd reports whether the last byte was a frame's last.
func (f *frameEnds) isEnd() bool { return f.have == 0 && f.left == 0 }

// take returns how many of b, which is not empty, come before the end of the frame.
func (f *frameEnds) take(b []byte) int {
	n := 0
	for f.left == 0 && n < len(b) {
		f.header[f.have] = b[n]
		f.have++
		n++
		if f.have == f.headerSize() {
			f.have, f.left = 0, f.size()
			if f.left == 0 {
				return n
			}
		}
	}
	rest := min(f.left, uint64(len(b)-n))
	f.left -= rest
	return n + int(rest)
}

func (f *frameEnds) headerSize() int {
	switch length := f.header[1] & 0x7f; {
	case f.have < 2 || length < 126:
		return 2
	case length == 126:
		return 4
	}
	return 10
}

// size is what comes after the header: the mask, if there is one, and the payload.
func (f *frameEnds) size() uint64 {
	length := uint64(f.header[1] & 0x7f)
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(f.header[2:]))
	case 127:
		length = binary.BigEndian.Uint64(f.header[2:]) &^ (1 << 63)
	}
	if f.header[1]&0x80 != 0 {
		length += 4
	}
	return length
}
