package turnserver

import (
	"errors"
	"iter"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/tokenbucket"
	"example.org/turnpike/turnserver/wire"
)

// allocation is a relayed transport address that the server holds for one client, or two, one of each family (RFC 8656
// §3.2). It lives from Allocate until a Refresh with lifetime 0, its expiry, its greatest age, the end of its session,
// user or connection, or Close.
type allocation struct {
	// Static after construction.
	shard         *shard
	grant         auth.Grant
	account       *account
	listed        int     // among those of its owner; guarded by owned.mu
	budget        *budget // its own; the account's stands beside it
	keys          auth.Keys
	transactionID [stun.TransactionIDSize]byte // of the Allocate that made it
	granted       uint32                       // seconds that the Allocate was granted
	extras        *extras                      // nil for most
	born          clock

	first relayed // the only one, unless there are extras

	// Written under shard.mu, read without.
	home        atomic.Pointer[home] // changes if the client moves (mobility.go)
	permissions atomic.Pointer[[]*permission]
	due         expiry // no flow and no permission ends before; the sweep looks at the allocation then

	// Guarded by shard.mu.
	flows []*flow
	told  bool // the queue has had one of its flows, which may have left flows since

	requests tokenbucket.Atomic // that change something

	conversationsFullUntil expiry // until then shard.converse tries no more flows without a channel; it alone uses this

	// Every goroutine that relays adds to them.
	traffic [2]traffic       // by direction
	dropped [3]atomic.Uint64 // by the index of allocationDrops

	active activity // guarded by Server.activityMu
}

// extras are fields that few allocations need.
type extras struct {
	second *relayed // of the other family, or nil
	mobile *mobile  // nil: its client cannot move

	// Of the answer to the Allocate.
	token   *reservationToken // of the port that was reserved with it, or nil
	refused wire.Family       // the client asked for it and could not have it, and why; or 0
	why     stun.ErrorCode
}

// relayed is one relayed transport address of an allocation.
type relayed struct {
	relayPort // static after construction

	// Written under shard.mu, read without.
	over    atomic.Bool
	expires expiry
}

// relayedTo returns the relayed address from which the client talks to peers of e's family, if the allocation ever had
// one.
func (a *allocation) relayedTo(e *wire.Endpoint) *relayed {
	if a.extras == nil || a.extras.second == nil || a.first.local.Is4() == e.Is4() {
		return &a.first
	}
	return a.extras.second
}

// relayedOf returns the relayed address of a family, or nil if there is none any more.
func (a *allocation) relayedOf(f wire.Family) *relayed {
	for r := range a.live() {
		if r.address.fits(f) {
			return r
		}
	}
	return nil
}

// live yields the relayed addresses that have not ended.
func (a *allocation) live() iter.Seq[*relayed] {
	return func(yield func(*relayed) bool) {
		if !a.first.over.Load() && !yield(&a.first) {
			return
		}
		if a.extras != nil && a.extras.second != nil && !a.extras.second.over.Load() {
			yield(a.extras.second)
		}
	}
}

// expires is when the last of the relayed addresses does.
func (a *allocation) expires() (last clock) {
	for r := range a.live() {
		last = max(last, r.expires.at())
	}
	return last
}

// traffic counts the packets that an allocation got to relay.
type traffic struct{ packets, bytes atomic.Uint64 }

func (t *traffic) count(size int) {
	t.packets.Add(1)
	t.bytes.Add(uint64(size))
}

// permitted lists the permissions, live or not.
func (a *allocation) permitted() []*permission {
	if list := a.permissions.Load(); list != nil {
		return *list
	}
	return nil
}

// permission returns the permission for ip, live or not. An allocation has a handful of permissions: a scan is faster
// than a map, and the list is smaller.
func (a *allocation) permission(ip [16]byte) *permission {
	for _, p := range a.permitted() {
		if p.ip == ip {
			return p
		}
	}
	return nil
}

// lookAt makes the sweep look at the allocation at a time, or before. The caller holds shard.mu.
func (a *allocation) lookAt(c clock) { a.due.set(min(a.due.at(), c)) }

// forget removes the permissions that match. The caller holds shard.mu.
func (a *allocation) forget(match func(*permission) bool) {
	if list := a.permitted(); slices.ContainsFunc(list, match) {
		list = slices.DeleteFunc(slices.Clone(list), match) // readers may be in the old one
		a.permissions.Store(&list)
	}
}

// permits reports whether ip has a live permission.
func (a *allocation) permits(ip [16]byte, now clock) bool {
	p := a.permission(ip)
	return p != nil && now < p.expires.at()
}

// changeFlowsThrough tells the sink of the flows that a permission lets through. The caller holds shard.mu.
func (a *allocation) changeFlowsThrough(p *permission) {
	queue := a.shard.flows.queue
	if queue == nil {
		return
	}
	for _, f := range a.flows {
		if f.permission == p {
			queue.change(f)
		}
	}
}

// changeFlowsOutliving tells the sink of the flows from a relayed address that live on after end. The caller holds
// shard.mu.
func (a *allocation) changeFlowsOutliving(r *relayed, end clock) {
	queue := a.shard.flows.queue
	if queue == nil {
		return
	}
	for _, f := range a.flows {
		if a.relayedTo(&f.peer.endpoint) == r && f.until() > end {
			queue.change(f)
		}
	}
}

// channels counts the bound channels. The caller holds shard.mu.
func (a *allocation) channels() (n int) {
	for _, f := range a.flows {
		if f.channel != 0 {
			n++
		}
	}
	return n
}

// flowTo returns the flow to a peer, or nil. The caller holds shard.mu.
func (a *allocation) flowTo(peer wire.Endpoint) *flow {
	for _, f := range a.flows {
		if f.peer.endpoint == peer {
			return f
		}
	}
	return nil
}

// hasChannelTo reports whether a channel is bound to ip. The caller holds shard.mu.
func (a *allocation) hasChannelTo(ip [16]byte) bool {
	for _, f := range a.flows {
		if f.channel != 0 && f.peer.endpoint.IP == ip {
			return true
		}
	}
	return false
}

// destination is a peer, in the forms that sending to it needs.
type destination struct {
	endpoint wire.Endpoint
	addr     netip.AddrPort // where to send: behind a 1:1 NAT, a program of this host is at the local address
	own      *relayAddress  // set if the peer's IP address is one of this node's relay addresses
}

func (s *Server) destinationOf(e wire.Endpoint) destination {
	return destinationAmong(s.relays.Load().udp, e)
}

func destinationAmong(relays []*relayAddress, e wire.Endpoint) destination {
	ap := e.AddrPort()
	own := relayAddressOf(relays, ap.Addr())
	if own != nil {
		ap = netip.AddrPortFrom(own.local, ap.Port())
	}
	return destination{endpoint: e, addr: ap, own: own}
}

// relay returns the live allocation of this node that d is a relayed address of, or nil.
func (d *destination) relay() *allocation {
	if d.own == nil {
		return nil
	}
	return d.own.allocationAt(d.endpoint.Port)
}

// reaches reports whether d is another host, or a live relayed address.
func (d *destination) reaches() bool { return d.own == nil || d.relay() != nil }

// errEndedMeanwhile means that others have ended the allocation, or the server. That is no fault of the host.
var errEndedMeanwhile = errors.New("it has ended meanwhile")

// start begins to read the relayed sockets. If it cannot, the caller ends the allocation.
func (a *allocation) start() error {
	for r := range a.live() {
		if r.tcp != nil {
			r.tcp.start(a)
		} else if err := r.datagrams.start(a, r); err != nil {
			return err
		}
	}
	return nil
}

// end takes the allocation out of service and waits for nothing. It is safe to call more than once.
func (a *allocation) end() { a.endRelayed(nil) }

// endRelayed does the same with one relayed address, and with the allocation if that was the last. nil stands for all
// of them.
func (a *allocation) endRelayed(only *relayed) {
	ended, last, told := a.shard.remove(a, only)
	for _, r := range ended {
		if r == nil {
			continue
		}
		r.address.withdraw(r.local.Port) // from now on, packets that others relay to it count as sent to nobody
		if told {
			a.shard.flows.queue.afterEnded(r.close) // nobody else gets the port while the kernel still forwards from it
		} else {
			r.close()
		}
	}
	if !last {
		return
	}
	srv, home := a.shard.srv, a.home.Load()
	srv.mobility.forget(a)
	srv.owned.remove(a)
	srv.quota.leaveBudget(a.account, a.budget)
	srv.quota.uncountAllocation(a.account, &a.grant, &home.client, srv.now())
	if home.conn != nil {
		home.conn.allocationEnded()
	}
}
