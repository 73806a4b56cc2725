package turnserver

import (
	"encoding/binary"
	"slices"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/peerpolicy"
	"example.org/turnpike/turnserver/wire"
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
		if slices.Contains(w.ips, peer.IP) {
			continue
		}
		if code := w.srv.judgePeer(r.alloc, peer); code != 0 {
			r.fail(code)
			return
		}
		if w.ips = append(w.ips, peer.IP); len(w.ips) > limit {
			r.answerOutcome(outcomeFull) // before the server judges and compares thousands
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
	if !d.reaches() && !r.alloc.opensHost(&peer) {
		srv.counters.count(denyOwnHost)
		r.fail(stun.CodeForbidden)
		return
	}
	r.answerOutcome(r.alloc.shard.bind(r.alloc, channel, d, srv.now(), &srv.cfg.Limits))
}

// answerOutcome answers a request whose answer says only whether the server did it.
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

// judgePeer judges a peer address for an allocation. It returns an error code if the allocation may not send there,
// else 0.
func (s *Server) judgePeer(a *allocation, peer wire.Endpoint) stun.ErrorCode {
	ip := peer.Addr()
	if a.relayedOf(peer.Family()) == nil {
		s.counters.count(denyFamily)
		return stun.CodePeerAddrFamilyMismatch
	}
	// Relay addresses of this node are open to everyone: permissions carry no port, and each packet's port must be that
	// of a live relayed address, or one that the operator opens.
	if s.isRelayAddress(ip) {
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

// denialReason returns the reason to count when the peer policy denies an address.
func denialReason(why peerpolicy.Reason) reason {
	return [...]reason{
		peerpolicy.Unspecified: denyUnspecified, peerpolicy.Loopback: denyLoopback, peerpolicy.LinkLocal: denyLinkLocal,
		peerpolicy.Private: denyPrivate, peerpolicy.Multicast: denyMulticast, peerpolicy.Reserved: denyReserved,
		peerpolicy.Configured: denyConfigured,
	}[why]
}

// isClient reports whether a peer has the address that the client itself comes from. A session may send UDP there: the client
// reaches its own address without a relay, too. So `turnpike check` finds out whether a firewall closes the relay ports.
func (a *allocation) isClient(peer wire.Endpoint) bool {
	return !a.relaysTCP() && wire.EndpointOf(a.home.Load().remote).IP == peer.IP
}

// inScope narrows the credentials that signaling mints. A client may refresh a live permission without asking: it
// refreshes all of its permissions in one request, which must not fail because one room mate has left.
func (s *Server) inScope(a *allocation, peer wire.Endpoint) bool {
	switch a.grant.Kind {
	case auth.GrantREST:
		return true
	case auth.GrantSession:
		return a.permits(peer.IP, s.now()) || a.isClient(peer) || s.cfg.Scope != nil && s.cfg.Scope.MayRelay(a.grant.Session, peer.Addr())
	default:
		return false
	}
}
