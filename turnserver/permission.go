package turnserver

import (
	"encoding/binary"

	"github.com/pion/stun/v3"

	"turnpike/auth"
	"turnpike/turnserver/peerpolicy"
	"turnpike/turnserver/wire"
)

// createPermission answers a CreatePermission request (RFC 8656 §10.2): all of its peers, or none.
func (r *request) createPermission() {
	w := r.w
	w.ips = w.ips[:0]
	limit := w.srv.cfg.Limits.PermissionsPerAllocation
	for _, attr := range r.m.Attributes {
		if attr.Type != stun.AttrXORPeerAddress {
			continue
		}
		peer, ok := wire.ParseXORAddress(attr.Value, r.m.TransactionID[:])
		if !ok {
			r.fail(stun.CodeBadRequest)
			return
		}
		if code := w.srv.admit(r.alloc, peer); code != 0 {
			r.fail(code)
			return
		}
		if w.ips = append(w.ips, peer.IP); len(w.ips) > limit {
			r.answer(full) // before there are thousands to judge and compare
			return
		}
	}
	if len(w.ips) == 0 {
		r.fail(stun.CodeBadRequest)
		return
	}
	r.answer(r.alloc.shard.permit(r.alloc, w.ips, w.srv.now(), limit))
}

// channelBind answers a ChannelBind request (RFC 8656 §12.2).
func (r *request) channelBind() {
	srv := r.w.srv
	number, ok := r.m.Attributes.Get(stun.AttrChannelNumber)
	address, haveAddress := r.m.Attributes.Get(stun.AttrXORPeerAddress)
	if !ok || len(number.Value) != 4 || !haveAddress {
		r.fail(stun.CodeBadRequest)
		return
	}
	channel := binary.BigEndian.Uint16(number.Value)
	peer, ok := wire.ParseXORAddress(address.Value, r.m.TransactionID[:])
	if !ok || channel < wire.MinChannel || channel > wire.MaxChannel {
		r.fail(stun.CodeBadRequest)
		return
	}
	if code := srv.admit(r.alloc, peer); code != 0 {
		r.fail(code)
		return
	}
	if r.alloc.relaysTCP() {
		r.fail(stun.CodeForbidden)
		return
	}
	d := srv.destinationOf(peer)
	if !d.reaches() {
		srv.counters.drop(denyOwnHost)
		r.fail(stun.CodeForbidden)
		return
	}
	r.answer(r.alloc.shard.bind(r.alloc, channel, d, srv.now(), &srv.cfg.Limits))
}

// answer answers a request that has nothing to say but whether it was done.
func (r *request) answer(o outcome) {
	switch o {
	case done:
		r.begin(stun.ClassSuccessResponse)
		r.send()
	case conflict:
		r.fail(stun.CodeBadRequest)
	case full:
		r.w.srv.counters.drop(limitPermissions)
		r.fail(stun.CodeInsufficientCapacity)
	case crowded:
		r.w.srv.counters.drop(limitChannels)
		r.fail(stun.CodeInsufficientCapacity)
	case gone:
		r.fail(stun.CodeAllocMismatch)
	case halved:
		r.fail(stun.CodePeerAddrFamilyMismatch)
	}
}

// admit judges a peer address for an allocation, and returns the error code if it may not be sent to.
func (s *Server) admit(a *allocation, peer wire.Endpoint) stun.ErrorCode {
	ip := peer.Addr()
	if a.relayedOf(peer.Family()) == nil {
		s.counters.drop(denyFamily)
		return stun.CodePeerAddrFamilyMismatch
	}
	// Relay addresses of this node are admitted to everyone: permissions carry no port, and where a packet goes,
	// the port is checked to be a live relayed address.
	if relayAddressOf(s.relays, ip) != nil {
		return 0
	}
	if s.isOwnHost(ip) {
		s.counters.drop(denyOwnHost)
		return stun.CodeForbidden
	}
	if why := s.policy.Judge(ip); why != peerpolicy.Allowed {
		s.counters.drop(denialReason(why))
		return stun.CodeForbidden
	}
	if !s.inScope(a, peer) {
		s.counters.drop(denyScope)
		return stun.CodeForbidden
	}
	return 0
}

// denialReason is what is counted when the peer policy denies an address.
func denialReason(why peerpolicy.Reason) reason {
	return [...]reason{
		peerpolicy.Unspecified: denyUnspecified, peerpolicy.Loopback: denyLoopback, peerpolicy.LinkLocal: denyLinkLocal,
		peerpolicy.Private: denyPrivate, peerpolicy.Multicast: denyMulticast, peerpolicy.Reserved: denyReserved,
		peerpolicy.Configured: denyConfigured,
	}[why]
}

// inScope narrows what was minted by signaling. A permission that is live may be refreshed without asking: clients refresh all of
// theirs in one request, and that must not fail because one room mate has left.
func (s *Server) inScope(a *allocation, peer wire.Endpoint) bool {
	switch a.grant.Kind {
	case auth.GrantREST:
		return true
	case auth.GrantSession:
		return a.permits(peer.IP, s.now()) || s.cfg.Scope != nil && s.cfg.Scope.MayRelay(a.grant.Session, peer.Addr())
	default:
		return false
	}
}
