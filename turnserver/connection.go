package turnserver

import (
	"net"
	"sync"
	"time"

	"turnpike/turnserver/wire"
)

// clientConnection is what a TCP connection and a DTLS association have in common: it lives as long as its allocation, which dies
// with it (RFC 8656 §3.1), and not long without one.
type clientConnection struct {
	// Static after construction.
	conn net.Conn

	// Guarded by mu.
	mu          sync.Mutex
	allocations int // 1 or 0, but for the moment in which one expires while the next is made
}

// setupTime is how long a connection may go without an allocation. It runs from the connection's beginning, so that sending
// slowly does not stretch it, and again from the end of an allocation.
const setupTime = 30 * time.Second

func (c *clientConnection) limitSetup() {
	_ = c.conn.SetReadDeadline(time.Now().Add(setupTime))
}

// allocationMade lifts the deadline: the connection now lives as long as its allocation.
func (c *clientConnection) allocationMade() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.allocations++
	_ = c.conn.SetReadDeadline(time.Time{}) // sets a timer and waits for nothing; under mu, so that the last word holds
}

// allocationEnded gives the client setupTime to make another.
func (c *clientConnection) allocationEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.allocations--; c.allocations == 0 {
		c.limitSetup()
	}
}

// endAllocation ends the allocation that the connection carried, unless its client can move. The five-tuple may be another
// connection's by now.
func (c *clientConnection) endAllocation(s *shard, t wire.FiveTuple) {
	s.srv.mobility.abandon(t, c)
	if a := s.find(t); a != nil && a.home.Load().conn == c {
		a.disconnected(c)
	}
}
