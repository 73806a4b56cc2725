package turnserver

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// client is where a packet came from, and how answers go back.
type client struct {
	tuple  wire.FiveTuple
	remote netip.AddrPort    // with the zone, if the client is link-local
	sock   clientSocket      // nil on a stream
	source []byte            // control message that names the address to answer from; nil where the socket has one address
	stream *stream           // nil where a message is a datagram: on UDP and DTLS
	conn   *clientConnection // the client's allocation lives and dies with it; nil on UDP
	origin *origin           // the address that the client sent to, if that is one of a DiscoveryPair
}

// home is where an allocation's client is. It never changes; an allocation whose client moves gets another.
type home struct {
	client
	via *shard // the client's packets come to it, if it is not the allocation's shard; else nil
}

// clientSocket is the UDP socket, or the DTLS association, that a client's packets come to.
type clientSocket interface {
	// sendTo sends b to the client, now or when w's batch is flushed, and counts the outcome. b carries size bytes that
	// a peer sent, or it is notRelayed.
	sendTo(w *worker, c *client, b []byte, size int)
}

// notRelayed is the size of a message that carries no peer's data.
const notRelayed = udpio.Uncounted

// deliver passes one STUN message or, already padded on a stream, one ChannelData message to the client. It never
// blocks. b leaves when w's batch is flushed, if not before. The outcome is counted then.
func (c *client) deliver(w *worker, b []byte, size int) {
	if c.stream == nil {
		c.sock.sendTo(w, c, b, size)
		return
	}
	w.streams.queue(c.stream, b, size)
}

func sendFailure(err error, size int) reason {
	switch {
	case size > udpio.LargestPayload:
		return dropTooLarge
	case errors.Is(err, syscall.ENOBUFS):
		return dropNoRoom
	}
	return dropSendFailed
}

// clientConnection is what a TCP connection and a DTLS association have in common. It lives as long as its allocation,
// and not long without one. The allocation dies with it (RFC 8656 §3.1).
type clientConnection struct {
	// Static after construction.
	conn   net.Conn
	places *places

	place   place                   // guarded by places.mu
	account atomic.Pointer[account] // of the allocation; nil: there is none. Written under mu

	// Guarded by mu.
	mu          sync.Mutex
	allocations int // 1 or 0; 2 for a moment if one expires while the next is made
}

// setupTime is how long a connection may go without an allocation. It runs from the connection's beginning, so that
// sending slowly does not stretch it, and again from the end of an allocation.
const setupTime = 30 * time.Second

func (c *clientConnection) limitSetup() {
	_ = c.conn.SetReadDeadline(time.Now().Add(setupTime))
}

// allocationMade lifts the deadline: the connection now lives as long as its allocation, which is an account's.
func (c *clientConnection) allocationMade(a *account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.account.Store(a)
	if c.allocations++; c.allocations == 1 {
		c.places.carries(c, true)
	}
	_ = c.conn.SetReadDeadline(time.Time{}) // sets a timer and waits for nothing; under mu, so that the last call wins
}

// allocationEnded gives the client setupTime to make another.
func (c *clientConnection) allocationEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.allocations--; c.allocations == 0 {
		c.account.Store(nil)
		c.places.carries(c, false)
		c.limitSetup()
	}
}

// endAllocation ends the allocation that the connection carried, unless its client can move. The five-tuple may be
// another connection's by now.
func (c *clientConnection) endAllocation(s *shard, t wire.FiveTuple) {
	s.srv.mobility.abandon(t, c)
	if a := s.find(t); a != nil && a.home.Load().conn == c {
		a.disconnected(c)
	}
}

// places bounds the streams and associations of all clients. When all places are taken, the connection gives its place
// up that has gone longest without an allocation. So connections that show nothing keep nobody out.
type places struct {
	// Static after construction.
	limit int

	// Guarded by mu, with the place of each connection. mu is taken after clientConnection.mu or alone.
	mu    sync.Mutex
	taken int
	bare  list.List // of *clientConnection: without an allocation, the one that has been so for longest first
}

// place is a connection's share in places. Guarded by places.mu.
type place struct {
	taken bool
	bare  *list.Element // nil: it has an allocation, or carries a peer's data
}

// enter takes a place for a new connection. If another gave its place up, the caller must close that. It reports false
// if all connections that have a place carry something.
func (p *places) enter(c *clientConnection) (ok bool, out *clientConnection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.limit {
		oldest := p.bare.Front()
		if oldest == nil {
			return false, nil
		}
		out = oldest.Value.(*clientConnection)
		p.leaveLocked(out)
	}
	p.taken++
	c.place = place{taken: true, bare: p.bare.PushBack(c)}
	return true, out
}

// leave gives a connection's place back, if it still has it.
func (p *places) leave(c *clientConnection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked(c)
}

// leaveLocked does the work of leave. The caller holds mu.
func (p *places) leaveLocked(c *clientConnection) {
	if !c.place.taken {
		return
	}
	if c.place.bare != nil {
		p.bare.Remove(c.place.bare)
	}
	c.place = place{}
	p.taken--
}

// carries says whether a connection carries something, which makes its place its own.
func (p *places) carries(c *clientConnection, something bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !c.place.taken || something == (c.place.bare == nil):
	case something:
		p.bare.Remove(c.place.bare)
		c.place.bare = nil
	default:
		c.place.bare = p.bare.PushBack(c)
	}
}
