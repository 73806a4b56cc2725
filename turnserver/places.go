package turnserver

import (
	"container/list"
	"sync"
)

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
