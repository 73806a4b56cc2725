package turnserver

import (
	"net/netip"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/auth"
)

// allocation is a relayed transport address held for one client (RFC 8656 §3.2). It lives from Allocate until a
// Refresh with lifetime 0, its expiry, its greatest age, the end of its session, its user or its stream, or Close.
type allocation struct {
	// Static after construction.
	shard         *shard
	client        client
	grant         auth.Grant
	key           [16]byte
	transactionID [stun.TransactionIDSize]byte // of the Allocate that made it
	lifetime      time.Duration                // that the Allocate was granted
	address       *relayAddress
	sock          relaySocket
	local         endpoint // the relayed address as bound here
	external      endpoint // the same as peers see it
	born          clock

	// Guarded by shard.mu.
	expires     clock
	permissions []*permission
	flows       []*flow
}

// permission returns the permission for ip, live or not. The caller holds shard.mu. Allocations have a handful of
// permissions, where a scan is faster than a map, and smaller.
func (a *allocation) permission(ip [16]byte) *permission {
	for _, p := range a.permissions {
		if p.ip == ip {
			return p
		}
	}
	return nil
}

// permits reports whether ip has a live permission. The caller holds shard.mu.
func (a *allocation) permits(ip [16]byte, now clock) bool {
	p := a.permission(ip)
	return p != nil && now < p.expires
}

func (a *allocation) hasFlowTo(ip [16]byte) bool {
	for _, f := range a.flows {
		if f.peer.endpoint.ip == ip {
			return true
		}
	}
	return false
}

// owner is who an allocation's quota is counted for: the session, else the user.
func owner(g *auth.Grant) string {
	if g.Kind == auth.GrantSession {
		return "session:" + g.Session
	}
	return "user:" + g.User
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
	a.sock.close(a)
	a.shard.srv.quota.give(owner(&a.grant))
	if a.client.stream != nil {
		a.client.stream.allocationEnded()
	}
}
