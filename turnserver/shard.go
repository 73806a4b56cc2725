package turnserver

import (
	"sync"
	"time"
)

// shard owns the allocations of the clients of one loop, or on the portable path and on streams of one listener, and the
// table of their flows.
// Requests and the sweep change it under mu; the packet path reads it under the read half.
// mu is taken after Server.mu or alone, never with another shard's, and never across a system call.
type shard struct {
	srv *Server

	mu          sync.RWMutex
	allocations map[fiveTuple]*allocation
	flows       flowTable
}

func newShard(srv *Server) *shard {
	return &shard{
		srv:         srv,
		allocations: make(map[fiveTuple]*allocation),
		flows:       flowTable{up: make(map[upKey]*flow), down: make(map[downKey]*flow)},
	}
}

// flowTable says in one look-up what becomes of a packet on a bound channel, in either direction. It is the seam between
// deciding and forwarding: bind and unbind alone change it, forwarding only reads it.
type flowTable struct {
	up   map[upKey]*flow
	down map[downKey]*flow
}

type upKey struct {
	tuple   fiveTuple
	channel uint16
}

type downKey struct {
	relayed, peer endpoint // the relayed address in its local form
}

// flow is a channel binding (RFC 8656 §12).
type flow struct {
	// Static after construction.
	alloc   *allocation
	channel uint16
	peer    destination

	// Guarded by shard.mu.
	permission *permission
	expires    clock
}

// live reports whether the flow carries data now: a channel needs a permission as well (RFC 8656 §12.6, §12.7).
func (f *flow) live(now clock) bool { return now < f.expires && now < f.permission.expires }

// permission lets one peer IP address through (RFC 8656 §9).
type permission struct {
	ip      [16]byte
	expires clock
}

// clock is a point in time, in nanoseconds since the server was made; it never goes back.
type clock int64

func (c clock) add(d time.Duration) clock { return c + clock(d) }

const (
	permissionLifetime = 5 * time.Minute  // RFC 8656 §9
	channelLifetime    = 10 * time.Minute // RFC 8656 §12
)

// find returns the allocation on a five-tuple, or nil.
func (s *shard) find(t fiveTuple) *allocation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.allocations[t]
}

func (s *shard) insert(a *allocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allocations[a.client.tuple] = a
}

// remove takes an allocation with all its flows out, and reports false if that was done before.
func (s *shard) remove(a *allocation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allocations[a.client.tuple] != a {
		return false
	}
	delete(s.allocations, a.client.tuple)
	for _, f := range a.flows {
		s.unbind(f)
	}
	a.flows, a.permissions = nil, nil
	return true
}

// outcome is what became of a request to change an allocation.
type outcome uint8

const (
	done     outcome = iota
	conflict         // the channel has another peer, or the peer another channel
	full             // the allocation has as many channels or permissions as it may
	gone             // the allocation ended meanwhile
)

// permit makes or refreshes permissions, all or none of them; none if the allocation would have more than limit.
func (s *shard) permit(a *allocation, ips [][16]byte, now clock, limit int) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allocations[a.client.tuple] != a {
		return gone
	}
	missing := 0
	for i, ip := range ips {
		if a.permission(ip) == nil && !containsIP(ips[:i], ip) {
			missing++
		}
	}
	if len(a.permissions)+missing > limit {
		return full
	}
	for _, ip := range ips {
		s.grant(a, ip, now)
	}
	return done
}

func containsIP(ips [][16]byte, ip [16]byte) bool {
	for _, i := range ips {
		if i == ip {
			return true
		}
	}
	return false
}

// grant makes or refreshes one permission. The caller holds mu.
func (s *shard) grant(a *allocation, ip [16]byte, now clock) *permission {
	p := a.permission(ip)
	if p == nil {
		p = &permission{ip: ip}
		a.permissions = append(a.permissions, p)
	}
	p.expires = now.add(permissionLifetime)
	return p
}

// bind binds or refreshes a channel, with the permission for its peer.
func (s *shard) bind(a *allocation, channel uint16, peer destination, now clock, limits *Limits) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allocations[a.client.tuple] != a {
		return gone
	}
	var found *flow
	for _, f := range a.flows {
		if (f.channel == channel) != (f.peer.endpoint == peer.endpoint) {
			return conflict
		}
		if f.channel == channel {
			found = f
		}
	}
	tooMany := found == nil && len(a.flows) >= limits.ChannelsPerAllocation ||
		a.permission(peer.endpoint.ip) == nil && len(a.permissions) >= limits.PermissionsPerAllocation
	if tooMany {
		return full
	}
	p := s.grant(a, peer.endpoint.ip, now)
	if found == nil {
		found = &flow{alloc: a, channel: channel, peer: peer, permission: p}
		a.flows = append(a.flows, found)
		s.flows.up[upKey{a.client.tuple, channel}] = found
		s.flows.down[downKey{a.local, peer.endpoint}] = found
	}
	found.expires = now.add(channelLifetime)
	return done
}

// unbind takes a flow out of the table, not out of its allocation. The caller holds mu.
func (s *shard) unbind(f *flow) {
	delete(s.flows.up, upKey{f.alloc.client.tuple, f.channel})
	delete(s.flows.down, downKey{f.alloc.local, f.peer.endpoint})
}

// refresh moves an allocation's expiry, which it reports false for if the allocation is gone, or the sweep may have listed it as expired.
func (s *shard) refresh(a *allocation, now, expires clock) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allocations[a.client.tuple] != a || now >= a.expires {
		return false
	}
	a.expires = expires
	return true
}

// sweep removes what has expired: channels and permissions here, and lists the allocations for the caller to end.
func (s *shard) sweep(now clock) (ended []*allocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.allocations {
		if now >= a.expires {
			ended = append(ended, a)
			continue
		}
		s.sweepAllocation(a, now)
	}
	return ended
}

func (s *shard) sweepAllocation(a *allocation, now clock) {
	kept := a.flows[:0]
	for _, f := range a.flows {
		if now < f.expires {
			kept = append(kept, f)
			continue
		}
		s.unbind(f)
	}
	clear(a.flows[len(kept):])
	a.flows = kept

	permissions := a.permissions[:0]
	for _, p := range a.permissions {
		// A flow keeps its permission, expired or not, so that a later CreatePermission revives the flow.
		if now < p.expires || a.hasFlowTo(p.ip) {
			permissions = append(permissions, p)
		}
	}
	clear(a.permissions[len(permissions):])
	a.permissions = permissions
}

// owned lists the allocations that match, for the caller to end.
func (s *shard) owned(match func(*allocation) bool) (out []*allocation) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, a := range s.allocations {
		if match(a) {
			out = append(out, a)
		}
	}
	return out
}
