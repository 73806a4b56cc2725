package turnserver

import (
	"iter"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v4"

	"example.org/turnpike/turnserver/wire"
)

// flowTable says in one look-up what to do with a packet on a bound channel, in either direction. It is the seam
// between deciding and forwarding: only shard.putFlow and shard.removeFlow change it. Forwarding reads it, without
// locks and from any goroutine. Flows without a channel stand in fromPeer alone, for the sink; the sockets do without
// them. The queue keeps the sink up to date.
type flowTable struct {
	// Static after construction.
	fromClient partedMap[clientKey, *flow]
	fromPeer   partedMap[peerKey, *flow]
	queue      *flowQueue // of the server; nil: there is no sink
}

// clientKey is what a packet from the client shows of its flow.
type clientKey struct {
	tuple   wire.FiveTuple
	channel uint16
}

// peerKey is what a packet from the peer shows of its flow.
type peerKey struct {
	relayed, peer wire.Endpoint // the relayed address in its local form
}

func newFlowTable(queue *flowQueue) flowTable {
	return flowTable{fromClient: newPartedMap[clientKey, *flow](clientKey.part), fromPeer: newPartedMap[peerKey, *flow](peerKey.part), queue: queue}
}

func (k clientKey) part() uint8 { return partOf(k.tuple) }
func (k peerKey) part() uint8   { return uint8(k.relayed.Port ^ k.peer.Port ^ uint16(k.peer.IP[15])) }

func partOf(t wire.FiveTuple) uint8 {
	return uint8(t.Client.Port ^ uint16(t.Client.IP[15]) ^ uint16(t.Client.IP[14])<<3)
}

// partedMap is a map in parts, each made with its first entry. A map copies itself when it grows, and one with all flows of a big server
// would take milliseconds for that, while the lock of its shard is held.
type partedMap[K comparable, V any] struct {
	part func(K) uint8
	maps *[mapParts]atomic.Pointer[xsync.Map[K, V]]
}

const mapParts = 32

func newPartedMap[K comparable, V any](part func(K) uint8) partedMap[K, V] {
	return partedMap[K, V]{part, new([mapParts]atomic.Pointer[xsync.Map[K, V]])}
}

func (p *partedMap[K, V]) Load(key K) (v V, ok bool) {
	if m := p.maps[p.part(key)%mapParts].Load(); m != nil {
		return m.Load(key)
	}
	return v, false
}

func (p *partedMap[K, V]) Store(key K, v V) {
	at := &p.maps[p.part(key)%mapParts]
	if at.Load() == nil {
		at.CompareAndSwap(nil, xsync.NewMap[K, V]()) // guests' flows come under the locks of other shards
	}
	at.Load().Store(key, v)
}

func (p *partedMap[K, V]) Delete(key K) {
	if m := p.maps[p.part(key)%mapParts].Load(); m != nil {
		m.Delete(key)
	}
}

func (p *partedMap[K, V]) Size() (n int) {
	for i := range p.maps {
		if m := p.maps[i].Load(); m != nil {
			n += m.Size()
		}
	}
	return n
}

// All yields all entries, as xsync.Map does.
func (p *partedMap[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range p.maps {
			if m := p.maps[i].Load(); m != nil {
				for k, v := range m.All() {
					if !yield(k, v) {
						return
					}
				}
			}
		}
	}
}

// flow is a channel binding (RFC 8656 §12), or a peer that the client sends indications to (§11).
type flow struct {
	// Static after construction.
	alloc      *allocation
	home       *home  // of alloc when the flow was made; an allocation whose client moves gets other flows
	channel    uint16 // 0: there is none
	peer       destination
	permission *permission

	expires expiry // of the channel, which its permission may outlive; written under shard.mu

	heard atomic.Bool // the peer has sent something; without a channel only

	told    bool        // the queue has had it; guarded by shard.mu
	changed atomic.Bool // the queue has it, to tell the sink of a change
	gone    atomic.Bool // it is out of the table, for good; written under shard.mu

	// Owned by the sink.
	offloaded atomic.Bool // the kernel forwards it; others read this
	below     clock       // until when the kernel does
}

func (f *flow) clientKey() clientKey { return clientKey{f.home.tuple, f.channel} }
func (f *flow) peerKey() peerKey {
	return peerKey{f.alloc.relayedTo(&f.peer.endpoint).local, f.peer.endpoint}
}

// lasts is how long a sink may forward the flow. It never outlasts the relayed address: user space may be late to notice
// that this has expired.
func (f *flow) lasts() clock {
	return min(f.until(), f.alloc.relayedTo(&f.peer.endpoint).expires.at())
}

// until is when the flow stops carrying data: a channel needs a permission as well (RFC 8656 §12.6, §12.7).
func (f *flow) until() clock { return min(f.expires.at(), f.permission.expires.at()) }

func (f *flow) live(now clock) bool { return now < f.until() }

// end is when the server may forget the flow. It keeps a channel without a permission, because the permission may come back.
func (f *flow) end() clock {
	if f.channel == 0 {
		return f.until()
	}
	return f.expires.at()
}

// over reports whether the server may forget the flow.
func (f *flow) over(now clock) bool { return now >= f.end() }

// permission lets one peer IP address through (RFC 8656 §9).
type permission struct {
	ip      [16]byte // static
	expires expiry   // written under shard.mu
}

// expiry is a clock that is read without a lock.
type expiry struct{ nanoseconds atomic.Int64 }

func (e *expiry) at() clock   { return clock(e.nanoseconds.Load()) }
func (e *expiry) set(c clock) { e.nanoseconds.Store(int64(c)) }
