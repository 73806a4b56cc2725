package path

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// maxChecks bounds the packets that wait for ICE. Those beyond are lost, and sent again.
const maxChecks = 128

// iceConn is one local candidate's connection as ICE sees it, of one generation. It carries STUN only.
type iceConn struct {
	local   net.Addr
	write   func(b []byte, to netip.AddrPort)
	checked func() // Called when ICE has digested an answer. Must not block.

	packets chan check
	done    chan struct{}
	once    sync.Once
	answer  bool // The packet that ICE has in hand is an answer. Owned by the reader.
}

type check struct {
	b    []byte
	from netip.AddrPort
}

func newICEConn(local netip.AddrPort, write func([]byte, netip.AddrPort), checked func()) *iceConn {
	return &iceConn{local: net.UDPAddrFromAddrPort(local), write: write, checked: checked,
		packets: make(chan check, maxChecks), done: make(chan struct{})}
}

func (c *iceConn) deliver(b []byte, from netip.AddrPort) {
	if len(c.packets) == maxChecks { // A flood costs no memory.
		return
	}
	select {
	case c.packets <- check{slices.Clone(b), from}:
	default:
	}
}

// ReadFrom returns the next packet. That it is called again means that the one before was digested.
func (c *iceConn) ReadFrom(b []byte) (int, net.Addr, error) {
	if c.answer {
		c.answer = false
		c.checked()
	}
	select {
	case p := <-c.packets:
		c.answer = isAnswer(p.b)
		return copy(b, p.b), net.UDPAddrFromAddrPort(p.from), nil
	case <-c.done:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo sends a packet. ICE sends again what was lost.
func (c *iceConn) WriteTo(b []byte, a net.Addr) (int, error) {
	to, ok := a.(*net.UDPAddr)
	if !ok {
		return 0, os.ErrInvalid
	}
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	c.write(b, canonical(to.AddrPort()))
	return len(b), nil
}

// Close ends this view. The socket or relay below stays.
func (c *iceConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}

func (c *iceConn) LocalAddr() net.Addr              { return c.local }
func (c *iceConn) SetDeadline(time.Time) error      { return nil }
func (c *iceConn) SetReadDeadline(time.Time) error  { return nil }
func (c *iceConn) SetWriteDeadline(time.Time) error { return nil }
