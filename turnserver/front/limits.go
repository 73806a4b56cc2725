package front

import (
	"container/list"
	"io"
	"net/netip"
	"sync"
)

// Source is the share that one customer of a network has: an IPv4 address, or an IPv6 /64.
type Source [16]byte

// SourceOf returns the source that an address belongs to.
func SourceOf(ip netip.Addr) Source {
	ip = ip.Unmap()
	b := ip.As16()
	if !ip.Is4() {
		clear(b[8:])
	}
	return b
}

// Range is a part of the address space that limits count together.
type Range struct {
	of   Source // with nothing behind the prefix
	size int    // bits of the prefix
}

// RangesOf returns the ranges that an address is counted by, the narrowest first, and how many there are. Each may have four times as
// much as the one before. Many networks give a customer a /56 or a /48 of IPv6, which is 256 or 65,536 sources.
func RangesOf(ip netip.Addr) (ranges [3]Range, n int) {
	source := SourceOf(ip)
	if ip.Unmap().Is4() {
		ranges[0] = Range{source, 128}
		return ranges, 1
	}
	ranges[0] = Range{source, 64}
	source[7] = 0
	ranges[1] = Range{source, 56}
	source[6] = 0
	ranges[2] = Range{source, 48}
	return ranges, 3
}

// addressLimit bounds the connections of a source, and of the ranges around it.
type addressLimit struct {
	// Static after construction.
	limit int

	// Guarded by mu.
	mu    sync.Mutex
	count map[Range]int
}

func newAddressLimit(limit int) *addressLimit {
	return &addressLimit{limit: limit, count: make(map[Range]int)}
}

func (a *addressLimit) enter(ip netip.Addr) bool {
	ranges, n := RangesOf(ip)
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range n {
		if a.count[ranges[i]] >= a.limit<<(2*i) {
			return false
		}
	}
	for i := range n {
		a.count[ranges[i]]++
	}
	return true
}

func (a *addressLimit) leave(ip netip.Addr) {
	ranges, n := RangesOf(ip)
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range n {
		if a.count[ranges[i]]--; a.count[ranges[i]] == 0 {
			delete(a.count, ranges[i])
		}
	}
}

// Openings bounds the connections that have not shown yet what they carry. Over the bound it closes the one that has
// taken longest. A source that floods it pushes out mostly connections of its own, while a client that needs a few
// round trips gets through.
type Openings struct {
	// Static after construction.
	limit int

	// Guarded by mu.
	mu      sync.Mutex
	closed  bool
	waiting list.List // of io.Closer; an element that was closed from here has a nil Value
}

// NewOpenings makes room for so many connections.
func NewOpenings(limit int) *Openings { return &Openings{limit: limit} }

// Enter takes conn in, and closes another if there are too many. It returns conn's place.
func (o *Openings) Enter(conn io.Closer) (place *list.Element) {
	o.mu.Lock()
	place = o.waiting.PushBack(conn)
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
func (o *Openings) remove(place *list.Element) io.Closer {
	if place == nil {
		return nil
	}
	conn := place.Value.(io.Closer)
	o.waiting.Remove(place)
	place.Value = nil
	return conn
}

// Leave takes a connection out, and reports false if it was closed from here before.
func (o *Openings) Leave(place *list.Element) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if place.Value == nil {
		return false
	}
	o.remove(place)
	return true
}

// Close closes all connections that are there, and all that come later.
func (o *Openings) Close() {
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
