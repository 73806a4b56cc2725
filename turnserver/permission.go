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
		if code := w.srv.judgePeer(r.alloc, peer); code != 0 {
			r.fail(code)
			return
		}
		if w.ips = append(w.ips, peer.IP); len(w.ips) > limit {
			r.answerOutcome(outcomeFull) // before there are thousands to judge and compare
			return
		}
	}
	if len(w.ips) == 0 {
		r.fail(stun.CodeBadRequest)
		return
	}
	r.answerOutcome(r.alloc.shard.permit(r.alloc, w.ips, w.srv.now(), limit))
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
	if code := srv.judgePeer(r.alloc, peer); code != 0 {
		r.fail(code)
		return
	}
	if r.alloc.relaysTCP() {
		r.fail(stun.CodeForbidden)
		return
	}
	d := srv.destinationOf(peer)
	if !d.reaches() {
		srv.counters.count(denyOwnHost)
		r.fail(stun.CodeForbidden)
		return
	}
	r.answerOutcome(r.alloc.shard.bind(r.alloc, channel, d, srv.now(), &srv.cfg.Limits))
}

// answerOutcome answers a request that has nothing to say but whether it was done.
func (r *request) answerOutcome(o outcome) {
	switch o {
	case outcomeDone:
		r.startAnswer(stun.ClassSuccessResponse)
		r.sendAnswer()
	case outcomeConflict:
		r.fail(stun.CodeBadRequest)
	case outcomeFull:
		r.w.srv.counters.count(limitPermissions)
		r.fail(stun.CodeInsufficientCapacity)
	case outcomeChannelsFull:
		r.w.srv.counters.count(limitChannels)
		r.fail(stun.CodeInsufficientCapacity)
	case outcomeEnded:
		r.fail(stun.CodeAllocMismatch)
	case outcomeFamilyEnded:
		r.fail(stun.CodePeerAddrFamilyMismatch)
	}
}

// judgePeer judges a peer address for an allocation, and returns the error code if it may not be sent to.
func (s *Server) judgePeer(a *allocation, peer wire.Endpoint) stun.ErrorCode {
	ip := peer.Addr()
	if a.relayedOf(peer.Family()) == nil {
		s.counters.count(denyFamily)
		return stun.CodePeerAddrFamilyMismatch
	}
	// Relay addresses of this node are admitted to everyone: permissions carry no port, and where a packet goes,
	// the port is checked to be a live relayed address.
	if relayAddressOf(s.relays, ip) != nil {
		return 0
	}
	if s.isOwnHost(ip) {
		s.counters.count(denyOwnHost)
		return stun.CodeForbidden
	}
	if why := s.policy.Judge(ip); why != peerpolicy.Allowed {
		s.counters.count(denialReason(why))
		return stun.CodeForbidden
	}
	if !s.inScope(a, peer) {
		s.counters.count(denyScope)
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
