package turnserver

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/auth"
)

// Lifetimes of an allocation (RFC 8656 §7.2). A client that asks for less than the default gets the default, since RFC 8656 §7.2
// wants no shorter ones.
const (
	defaultLifetime = 10 * time.Minute
	maxLifetime     = time.Hour
)

// transportUDP is REQUESTED-TRANSPORT's value for UDP: its IANA protocol number.
const transportUDP = 17

// allocate answers an Allocate request (RFC 8656 §7.2).
func (r *request) allocate() {
	if r.alloc != nil {
		r.allocateAgain()
		return
	}
	transport, ok := r.m.Attributes.Get(stun.AttrRequestedTransport)
	if !ok || len(transport.Value) != 4 {
		r.fail(stun.CodeBadRequest)
		return
	}
	if transport.Value[0] != transportUDP {
		r.fail(stun.CodeUnsupportedTransProto)
		return
	}
	want, ok := r.requestedFamily()
	if !ok {
		return
	}
	lifetime, ok := r.lifetime()
	if !ok {
		return
	}
	address := r.w.srv.relayAddressFor(want)
	if address == nil {
		r.fail(stun.CodeAddrFamilyNotSupported)
		return
	}
	if !r.w.srv.mayAllocate(&r.grant) {
		r.fail(stun.CodeForbidden)
		return
	}
	if r.w.srv.draining.Load() && r.tryAlternate() {
		return
	}
	if a, code := r.w.srv.newAllocation(r, address, max(lifetime, defaultLifetime)); a != nil {
		r.granted(a, a.lifetime)
	} else {
		r.fail(code)
	}
}

// allocateAgain answers an Allocate on a five-tuple that has an allocation: a retransmission is answered as it was.
func (r *request) allocateAgain() {
	a := r.alloc
	if a.transactionID == r.m.TransactionID && r.isOwner(a) {
		r.granted(a, a.lifetime)
		return
	}
	r.fail(stun.CodeAllocMismatch)
}

func (r *request) granted(a *allocation, lifetime time.Duration) {
	r.begin(stun.ClassSuccessResponse)
	r.addAddress(stun.AttrXORRelayedAddress, a.external)
	r.addAddress(stun.AttrXORMappedAddress, r.c.tuple.client)
	r.addUint32(stun.AttrLifetime, uint32(lifetime/time.Second))
	if software := r.w.srv.cfg.Software; software != "" {
		r.w.res.Add(stun.AttrSoftware, []byte(software))
	}
	r.send()
}

// requestedFamily reads REQUESTED-ADDRESS-FAMILY, which is IPv4 unless said otherwise, or answers 440.
func (r *request) requestedFamily() (family, bool) {
	a, ok := r.m.Attributes.Get(stun.AttrRequestedAddressFamily)
	if !ok {
		return familyIPv4, true
	}
	if len(a.Value) != 4 {
		r.fail(stun.CodeBadRequest)
		return 0, false
	}
	switch f := family(a.Value[0]); f {
	case familyIPv4, familyIPv6:
		return f, true
	default:
		r.fail(stun.CodeAddrFamilyNotSupported)
		return 0, false
	}
}

// lifetime reads LIFETIME, up to the greatest, or answers 400.
func (r *request) lifetime() (time.Duration, bool) {
	a, ok := r.m.Attributes.Get(stun.AttrLifetime)
	if !ok {
		return defaultLifetime, true
	}
	if len(a.Value) != 4 {
		r.fail(stun.CodeBadRequest)
		return 0, false
	}
	return min(time.Duration(binary.BigEndian.Uint32(a.Value))*time.Second, maxLifetime), true
}

// refresh answers a Refresh request (RFC 8656 §8.2).
func (r *request) refresh() {
	a, srv := r.alloc, r.w.srv
	lifetime, ok := r.lifetime()
	if !ok {
		return
	}
	if r.m.Contains(stun.AttrRequestedAddressFamily) {
		want, ok := r.requestedFamily()
		if !ok {
			return
		}
		if !a.address.fits(want) {
			r.fail(stun.CodePeerAddrFamilyMismatch)
			return
		}
	}
	if lifetime == 0 {
		a.end()
	} else {
		now := srv.now()
		end := a.born.add(srv.cfg.Limits.AllocationMaxAge)
		expires := min(now.add(max(lifetime, defaultLifetime)), end)
		lifetime = max(time.Duration(expires-now), 0)
		if !a.shard.refresh(a, now, expires) {
			r.fail(stun.CodeAllocMismatch)
			return
		}
	}
	r.begin(stun.ClassSuccessResponse)
	r.addUint32(stun.AttrLifetime, uint32(lifetime/time.Second))
	r.send()
}

// mayAllocate asks signaling whether a session's credential may still make allocations.
func (s *Server) mayAllocate(g *auth.Grant) bool {
	return g.Kind != auth.GrantSession || s.cfg.Scope == nil || s.cfg.Scope.SessionLive(g.Session)
}

func (s *Server) relayAddressFor(want family) *relayAddress {
	for _, r := range s.relays {
		if r.fits(want) {
			return r
		}
	}
	return nil
}

// loopFor returns the loop that is to read the relayed socket that a request asks for: the one that serves the client, or for
// a client on a stream one of all; nil if there are none.
func (s *Server) loopFor(r *request) *loop {
	if r.w.loop != nil || len(s.relayLoops) == 0 {
		return r.w.loop
	}
	return s.relayLoops[s.nextLoop.Add(1)%uint32(len(s.relayLoops))]
}

// newAllocation makes an allocation and starts reading its relayed socket, or says which error to answer with.
func (s *Server) newAllocation(r *request, address *relayAddress, lifetime time.Duration) (*allocation, stun.ErrorCode) {
	if s.draining.Load() {
		return nil, stun.CodeInsufficientCapacity
	}
	limits := &s.cfg.Limits
	holder, stands := s.quota.take(&r.grant, r.c, limits)
	switch stands {
	case ownerLimit, addressLimit:
		return nil, stun.CodeAllocQuotaReached
	case totalLimit:
		s.warnFull("turn: the limit of allocations is reached; raise limits.allocations if this host can carry more")
		return nil, stun.CodeInsufficientCapacity
	}
	bind := openRelayConn
	if l := s.loopFor(r); l != nil {
		bind = l.openRelay
	}
	sock, local, err := address.open(bind)
	if err != nil {
		s.quota.give(holder, r.c)
		if errors.Is(err, errPortsTaken) {
			s.warnFull("turn: every relay port is taken; widen turn.relay_ports", "address", address.local)
		} else {
			s.warnFull("turn: no relayed socket could be opened", "address", address.local, "error", err)
		}
		return nil, stun.CodeInsufficientCapacity
	}
	now := s.now()
	a := &allocation{
		shard: r.w.shard, client: *r.c, grant: r.grant, holder: holder, keys: r.keys,
		transactionID: r.m.TransactionID, lifetime: min(lifetime, limits.AllocationMaxAge),
		address: address, sock: sock, local: local, external: local, born: now,
	}
	a.external.ip = address.external.As16()
	a.expires = now.add(a.lifetime)
	// Only once it is in the shard can others end it, which takes back what comes before.
	address.publish(a)
	if a.client.conn != nil {
		a.client.conn.allocationMade()
	}
	a.shard.insert(a)
	s.counters.allocations.Add(1)
	sock.start(a)
	if s.isClosed() || !s.mayAllocate(&a.grant) {
		a.end() // ended meanwhile, before those who end allocations could see this one
		return nil, stun.CodeForbidden
	}
	return a, 0
}
