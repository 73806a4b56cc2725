package turnserver

import (
	"container/list"
	"io"
	"net/netip"
	"sync"

	"turnpike/turnserver/wire"
)

// addressCount bounds the connections of what one customer of a network has: an IPv4 address, or an IPv6 /64.
type addressCount struct {
	// Static after construction.
	limit int

	// Guarded by mu.
	mu    sync.Mutex
	count map[[16]byte]int
}

func newAddressCount(limit int) *addressCount {
	return &addressCount{limit: limit, count: make(map[[16]byte]int)}
}

func customerOf(ip netip.Addr) [16]byte {
	return sourceOf(wire.Endpoint{IP: wire.Canonical(ip).As16()})
}

func (a *addressCount) take(ip netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	of := customerOf(ip)
	if a.count[of] >= a.limit {
		return false
	}
	a.count[of]++
	return true
}

func (a *addressCount) give(ip netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	of := customerOf(ip)
	if a.count[of]--; a.count[of] == 0 {
		delete(a.count, of)
	}
}

// openings bounds the connections that have not shown yet what they carry. Over the bound it closes the one that has taken
// longest. Who floods it pushes out mostly connections of its own, while a client that needs a few round trips gets through.
type openings struct {
	// Static after construction.
	limit int

	// Guarded by mu.
	mu      sync.Mutex
	closed  bool
	waiting list.List // of io.Closer; nil once it was closed from here
}

// add takes conn in, and closes another if there are too many.
func (o *openings) add(conn io.Closer) *list.Element {
	o.mu.Lock()
	place := o.waiting.PushBack(conn)
	var out *list.Element
	if o.waiting.Len() > o.limit {
		out = o.waiting.Front()
	}
	if o.closed {
		out = place
	}
	crowdedOut := o.remove(out)
	o.mu.Unlock()
	if crowdedOut != nil {
		_ = crowdedOut.Close()
	}
	return place
}

// remove takes an element out for good. The caller holds mu, and closes what is returned.
func (o *openings) remove(place *list.Element) io.Closer {
	if place == nil {
		return nil
	}
	conn := place.Value.(io.Closer)
	o.waiting.Remove(place)
	place.Value = nil
	return conn
}

// done takes a connection out, and reports false if it was closed from here before.
func (o *openings) done(place *list.Element) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if place.Value == nil {
		return false
	}
	o.remove(place)
	return true
}

// close closes all that are there, and all that come later.
func (o *openings) close() {
	o.mu.Lock()
	o.closed = true
	var all []io.Closer
	for o.waiting.Len() > 0 {
		all = append(all, o.remove(o.waiting.Front()))
	}
	o.mu.Unlock()
	for _, conn := range all {
		_ = conn.Close()
	}
}

// len is how many are there.
func (o *openings) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting.Len()
}
