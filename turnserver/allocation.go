package turnserver

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/auth"
)

// allocation is a relayed transport address held for one client (RFC 8656 §3.2). It lives from Allocate until a
// Refresh with lifetime 0, its expiry, its greatest age, the end of its session, its user or its connection, or Close.
type allocation struct {
	// Static after construction.
	shard         *shard
	client        client
	grant         auth.Grant
	holder        *holder
	keys          auth.Keys
	transactionID [stun.TransactionIDSize]byte // of the Allocate that made it
	lifetime      time.Duration                // that the Allocate was granted
	address       *relayAddress
	sock          relaySocket
	local         endpoint // the relayed address as bound here
	external      endpoint // the same as peers see it
	born          clock

	// Written under shard.mu, read without.
	permissions atomic.Pointer[[]*permission]

	// Guarded by shard.mu.
	expires clock
	flows   []*flow

	// Whoever relays adds to them.
	traffic [2]traffic // by direction
	rates   [2]bucket
	dropped [3]atomic.Uint64 // by the index of allocationDrops
}

// traffic counts what an allocation was handed to relay.
type traffic struct{ packets, bytes atomic.Uint64 }

func (t *traffic) add(size int) {
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

// permission returns the permission for ip, live or not. Allocations have a handful of permissions, where a scan is faster than a
// map, and smaller.
func (a *allocation) permission(ip [16]byte) *permission {
	for _, p := range a.permitted() {
		if p.ip == ip {
			return p
		}
	}
	return nil
}

// permits reports whether ip has a live permission.
func (a *allocation) permits(ip [16]byte, now clock) bool {
	p := a.permission(ip)
	return p != nil && now < p.expires.at()
}

// appendFlowsThrough appends the flows that a permission lets through, for a sink if there is one. The caller holds shard.mu.
func (a *allocation) appendFlowsThrough(flows []*flow, p *permission) []*flow {
	if a.shard.flows.sink == nil {
		return flows
	}
	for _, f := range a.flows {
		if f.permission == p {
			flows = append(flows, f)
		}
	}
	return flows
}

// hasFlowTo reports whether a channel is bound to ip. The caller holds shard.mu.
func (a *allocation) hasFlowTo(ip [16]byte) bool {
	for _, f := range a.flows {
		if f.peer.endpoint.ip == ip {
			return true
		}
	}
	return false
}

// destination is a peer with what sending to it needs.
type destination struct {
	endpoint endpoint
	addr     netip.AddrPort
	own      *relayAddress // set if the peer's IP address is one of this node's relay addresses
}

func (s *Server) destinationOf(e endpoint) destination {
	ap := e.addrPort()
	return destination{endpoint: e, addr: ap, own: s.relayAddressOf(ap.Addr())}
}

// reaches reports whether sending to d could succeed: a port of our own relay addresses must be live.
func (d *destination) reaches() bool {
	return d.own == nil || d.own.holder(d.endpoint.port) != nil
}

// end takes the allocation out of service and waits for nothing. It is safe to call more than once.
func (a *allocation) end() {
	if !a.shard.remove(a) {
		return
	}
	a.address.withdraw(a.local.port) // whoever relays to it from now on is told that nobody is there
	a.sock.close(a)
	a.shard.srv.quota.give(a.holder, &a.client)
	if a.client.conn != nil {
		a.client.conn.allocationEnded()
	}
}
