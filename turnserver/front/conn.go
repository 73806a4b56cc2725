package front

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// Conn is an accepted connection, with the addresses that a PROXY header tells, TLS, and the bytes that the Front has
// read ahead.
type Conn struct {
	net.Conn // sock, or TLS on it

	sock          net.Conn
	remote, local net.Addr
	secured       bool
	ahead         []byte // to be read first
	below         *Conn  // below TLS, which reads from it; nil: there is no TLS
	starving      bool   // Read fails with ErrStarved once ahead is empty
	divert        func([]byte) (int, error)
	released      sync.Once
	release       func() // gives back its place among the connections of its address; nil if it has none
}

// enter takes a place among the connections of an address, which Close gives back, or reports false if all places are
// taken.
func (c *Conn) enter(f *Front, from netip.Addr) bool {
	if !f.Enter(from) {
		return false
	}
	c.release = func() { f.Leave(from) }
	return true
}

// Secured reports whether the connection has TLS.
func (c *Conn) Secured() bool { return c.secured }

func (c *Conn) Read(b []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(b, c.ahead)
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil
		}
		return n, nil
	}
	if c.starving {
		return 0, ErrStarved
	}
	return c.Conn.Read(b)
}

// ErrStarved is what Read returns after Starve instead of waiting for the socket. It is a net.Error that says it is
// temporary, because TLS goes on after such an error, with the part of a record that it has.
var ErrStarved error = starved{}

type starved struct{}

func (starved) Error() string   { return "nothing more has come" }
func (starved) Timeout() bool   { return false }
func (starved) Temporary() bool { return true }

// Starve makes Read return only what was read ahead or fed. So the owner can wait on Socket with no buffer in hand.
func (c *Conn) Starve() { c.lowest().starving = true }

// StopStarving makes Read wait for the socket again.
func (c *Conn) StopStarving() { c.lowest().starving = false }

// Feed gives Read what the owner has read from Socket. b must not change before Read has returned ErrStarved.
func (c *Conn) Feed(b []byte) { c.lowest().ahead = b }

// Divert hands the records that TLS writes to f instead of the socket, or to the socket again if f is nil. TLS calls f
// in their order. f must not keep what it gets.
func (c *Conn) Divert(f func(records []byte) (int, error)) { c.below.divert = f }

func (c *Conn) Write(b []byte) (int, error) {
	if c.divert != nil {
		return c.divert(b)
	}
	return c.Conn.Write(b)
}

// Socket is the connection that was accepted, below TLS.
func (c *Conn) Socket() net.Conn { return c.sock }

// lowest is the part that reads the socket.
func (c *Conn) lowest() *Conn {
	if c.below != nil {
		return c.below
	}
	return c
}

// Close closes the socket without TLS's farewell, which could wait for a client that does not read.
func (c *Conn) Close() error {
	c.released.Do(func() {
		if c.release != nil {
			c.release()
		}
	})
	return c.sock.Close()
}

// CloseSocket closes the socket and keeps the connection's place among those of its address until Close. It is for
// owners that have another descriptor of the socket.
func (c *Conn) CloseSocket() error { return c.sock.Close() }

func (c *Conn) RemoteAddr() net.Addr { return c.remote }
func (c *Conn) LocalAddr() net.Addr  { return c.local }

// SyscallConn gives the socket to callers that write to it as it is, which TLS does not allow.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite tells the client that no more will come, and goes on reading.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// otherConn is the connection that Options.Other gets. Closing it says farewell on TLS.
type otherConn struct{ *Conn }

func (c otherConn) Close() error {
	err := c.Conn.Conn.Close()
	_ = c.Conn.Close()
	return err
}

// content is what a connection carries.
type content uint8

const (
	carriesOther content = iota
	carriesSTUN
)

const (
	// peekSize is how many bytes tell STUN from all else: type, length and magic cookie.
	peekSize    = 8
	magicCookie = "\x21\x12\xA4\x42"
)

// peek reads just enough of the first frame to tell whether it is STUN, and leaves it to be read again.
func (c *Conn) peek() (content, error) {
	first := make([]byte, peekSize)
	n := 0
	for {
		got, err := c.Read(first[n:])
		n += got
		if kind, known := contentOf(first[:n]); known {
			c.ahead = append(first[:n:n], c.ahead...)
			return kind, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// contentOf tells from its first bytes what a connection carries, and reports false if there are too few. STUN begins
// with two zero bits and has the magic cookie (RFC 8489 §5). ChannelData is never first: a client must have asked for a
// channel before. So GET, HEAD and OPTIONS, whose first bytes are those of channel numbers, are not taken for it.
func contentOf(first []byte) (kind content, known bool) {
	for i, b := range first[:min(len(first), peekSize)] {
		if i == 0 && b&0xC0 != 0 || i >= 4 && b != magicCookie[i-4] {
			return carriesOther, true
		}
	}
	return carriesSTUN, len(first) >= peekSize
}
