package turnserver

import (
	"sync"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v4"

	"turnpike/turnserver/wire"
)

// flowTable says in one look-up what to do with a packet on a bound channel, in either direction. It is the seam
// between deciding and forwarding: only shard.putFlow and shard.removeFlow change it. Forwarding reads it, without
// locks and from any goroutine. Flows without a channel stand in fromPeer alone, for the sink; the sockets do without
// them. report keeps the sink up to date.
type flowTable struct {
	// Static after construction.
	fromClient *xsync.Map[clientKey, *flow]
	fromPeer   *xsync.Map[peerKey, *flow]
	sink       flowSink // or nil

	reporting sync.Mutex // held during calls of sink, so that it learns of a flow's changes in their order
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

// flowEntry is what the table says of a flow: its keys as they are now, and how long a sink may forward it.
type flowEntry struct {
	fromClient clientKey
	fromPeer   peerKey
	expires    clock
	flow       *flow
}

// flowSink forwards established flows in place of the sockets. Its methods are called one at a time, by requests and by
// the sweep.
type flowSink interface {
	// set makes an entry or changes its expiry.
	set(flowEntry)
	// remove ends the flow that has the entry's keys, if there is one.
	remove(flowEntry)
}

func newFlowTable(sink flowSink) flowTable {
	return flowTable{fromClient: xsync.NewMap[clientKey, *flow](), fromPeer: xsync.NewMap[peerKey, *flow](), sink: sink}
}

// report tells the sink what the table now says of flows that have changed. It reads the table after the change and
// under a lock of its own. So the last of two reports that overtake each other is right. The caller holds no lock.
func (t *flowTable) report(changed []*flow) {
	if t.sink == nil || len(changed) == 0 {
		return
	}
	t.reporting.Lock()
	defer t.reporting.Unlock()
	for _, f := range changed {
		e := f.entry()
		up, _ := t.fromClient.Load(e.fromClient)
		down, _ := t.fromPeer.Load(e.fromPeer)
		if down == f {
			t.sink.set(e)
			continue
		}
		t.sink.remove(e)
		for _, successor := range []*flow{up, down} { // of the same channel, of the same peer
			if successor != nil {
				t.sink.set(successor.entry())
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

	offloaded atomic.Bool // the kernel forwards it; written by offloader, one call at a time
}

func (f *flow) clientKey() clientKey { return clientKey{f.home.tuple, f.channel} }
func (f *flow) peerKey() peerKey {
	return peerKey{f.alloc.relayedTo(&f.peer.endpoint).local, f.peer.endpoint}
}

// entry describes the flow to a sink. It never outlasts the relayed address: user space may be late to notice that this
// has expired.
func (f *flow) entry() flowEntry {
	return flowEntry{f.clientKey(), f.peerKey(), min(f.until(), f.alloc.relayedTo(&f.peer.endpoint).expires.at()), f}
}

// until is when the flow stops carrying data: a channel needs a permission as well (RFC 8656 §12.6, §12.7).
func (f *flow) until() clock { return min(f.expires.at(), f.permission.expires.at()) }

func (f *flow) live(now clock) bool { return now < f.until() }

// over reports whether the server may forget the flow. It keeps a channel without a permission, because the permission
// may come back.
func (f *flow) over(now clock) bool {
	if f.channel == 0 {
		return !f.live(now)
	}
	return now >= f.expires.at()
}

// permission lets one peer IP address through (RFC 8656 §9).
type permission struct {
	ip      [16]byte // static
	expires expiry   // written under shard.mu
}

// expiry is a clock that is read without a lock.
type expiry struct{ nanoseconds atomic.Int64 }

func (e *expiry) at() clock   { return clock(e.nanoseconds.Load()) }
func (e *expiry) set(c clock) { e.nanoseconds.Store(int64(c)) }
