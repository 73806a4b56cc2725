package turnserver

import (
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"example.org/turnpike/turnserver/wire"
)

// shard owns the allocations of the clients of one loop and the table of their flows. On streams and on the portable
// path it owns those of one listener's clients. Requests and the sweep change it under mu. The packet path reads it
// without a lock: maps and expiries are made for that, and an allocation's permissions are replaced, not changed.
//
// mu is taken after Server.mu, after mobility.mu or alone, never with another shard's, and never across a system call.
// flowQueue.mu is taken after it.
type shard struct {
	// Static after construction.
	srv         *Server
	allocations partedMap[wire.FiveTuple, *allocation]
	flows       flowTable // guests' flows stand in fromClient alone, and their own shard tells the sink of them

	// guests are allocations of other shards whose clients have moved here. Each is written under its own shard's mu.
	guests *xsync.Map[wire.FiveTuple, *allocation]

	mu sync.Mutex // held to change an allocation that is in the shard
}

func newShard(srv *Server) *shard {
	s := &shard{srv: srv, allocations: newPartedMap[wire.FiveTuple, *allocation](partOf), flows: newFlowTable(srv.flowQueue)}
	if srv.mobility != nil {
		s.guests = xsync.NewMap[wire.FiveTuple, *allocation]()
	}
	return s
}

// clock is a point in time, in nanoseconds since the server was made; it never goes back.
type clock int64

const never clock = math.MaxInt64

func (c clock) plus(d time.Duration) clock { return c + clock(d) }

const (
	permissionLifetime = 5 * time.Minute  // RFC 8656 §9
	channelLifetime    = 10 * time.Minute // RFC 8656 §12
)

// find returns the allocation on a five-tuple whose packets come here, or nil.
func (s *shard) find(t wire.FiveTuple) *allocation {
	a, _ := s.allocations.Load(t)
	if a == nil && s.guests != nil {
		a, _ = s.guests.Load(t)
	}
	return a
}

// has reports whether an allocation of this shard lives. The caller holds mu.
func (s *shard) has(a *allocation) bool {
	found, _ := s.allocations.Load(a.home.Load().tuple)
	return found == a
}

func (s *shard) insert(a *allocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allocations.Store(a.home.Load().tuple, a)
}

// remove takes out a relayed address with its flows and permissions, and with the last relayed address the allocation.
// If only is nil it takes out all. It returns the relayed addresses that it took out itself, whether the last was among
// them, and whether the sink may still forward flows of them.
func (s *shard) remove(a *allocation, only *relayed) (ended [2]*relayed, last, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.has(a) || only != nil && only.over.Load() {
		return ended, false, false
	}
	last = true
	for r := range a.live() {
		if only == nil || r == only {
			r.over.Store(true)
			ended[1], ended[0] = ended[0], r
		} else {
			last = false
		}
	}
	ends := func(e wire.Endpoint) bool { return last || e.Is4() == only.local.Is4() }
	a.flows = slices.DeleteFunc(a.flows, func(f *flow) bool {
		if !ends(f.peer.endpoint) {
			return false
		}
		s.removeFlow(f)
		return true
	})
	a.forget(func(p *permission) bool { return ends(wire.Endpoint{IP: p.ip}) })
	if last {
		s.removeTuple(a.home.Load())
	}
	return ended, last, a.told
}

// outcome is the outcome of a request to change an allocation.
type outcome uint8

const (
	outcomeDone         outcome = iota
	outcomeConflict             // the channel has another peer, or the peer another channel
	outcomeFull                 // the allocation has as many permissions, or pending connections, as it may
	outcomeChannelsFull         // the allocation has as many channels as it may
	outcomeEnded                // the allocation has ended meanwhile
	outcomeFamilyEnded          // the allocation's relayed address of the peer's family has ended
)

// permit makes or refreshes permissions, all or none of them. It makes none if the allocation would then have more than
// limit. No address comes twice.
func (s *shard) permit(a *allocation, ips [][16]byte, now clock, limit int) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.has(a) {
		return outcomeEnded
	}
	missing := 0
	for _, ip := range ips {
		if a.relayedOf(wire.Endpoint{IP: ip}.Family()) == nil {
			return outcomeFamilyEnded
		}
		if a.permission(ip) == nil {
			missing++
		}
	}
	if len(a.permitted())+missing > limit {
		return outcomeFull
	}
	for _, ip := range ips {
		a.changeFlowsThrough(s.grant(a, ip, now))
	}
	return outcomeDone
}

// grant makes or refreshes one permission. The caller holds mu.
func (s *shard) grant(a *allocation, ip [16]byte, now clock) *permission {
	p := a.permission(ip)
	if p != nil {
		p.expires.set(now.plus(permissionLifetime))
		return p
	}
	p = &permission{ip: ip}
	p.expires.set(now.plus(permissionLifetime))
	a.lookAt(p.expires.at())
	// Readers of the old list do not see beyond its end.
	list := append(a.permitted(), p)
	a.permissions.Store(&list)
	return p
}

// bind binds or refreshes a channel, with the permission for its peer.
func (s *shard) bind(a *allocation, channel uint16, peer destination, now clock, limits *Limits) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.has(a) {
		return outcomeEnded
	}
	if a.relayedOf(peer.endpoint.Family()) == nil {
		return outcomeFamilyEnded
	}
	var found *flow
	for _, f := range a.flows {
		if f.channel != 0 && (f.channel == channel) != (f.peer.endpoint == peer.endpoint) {
			return outcomeConflict
		}
		if f.channel == channel {
			found = f
		}
	}
	switch {
	case found == nil && a.channels() >= limits.ChannelsPerAllocation:
		return outcomeChannelsFull
	case a.permission(peer.endpoint.IP) == nil && len(a.permitted()) >= limits.PermissionsPerAllocation:
		return outcomeFull
	}
	p := s.grant(a, peer.endpoint.IP, now)
	if found != nil {
		found.expires.set(now.plus(channelLifetime))
	} else {
		s.startFlow(&flow{alloc: a, home: a.home.Load(), channel: channel, peer: peer, permission: p}, now.plus(channelLifetime))
	}
	a.changeFlowsThrough(p) // other flows to the same address live longer with the permission
	return outcomeDone
}

// startFlow begins a flow. It ends the earlier flow to the same peer, if there is one. The caller holds mu.
func (s *shard) startFlow(f *flow, expires clock) {
	f.expires.set(expires)
	a := f.alloc
	a.lookAt(f.end())
	if before := a.flowTo(f.peer.endpoint); before != nil {
		s.removeFlow(before)
		a.flows = slices.DeleteFunc(a.flows, func(f *flow) bool { return f == before })
	}
	a.flows = append(a.flows, f)
	s.putFlow(f)
}

// putFlow enters a flow in the table. The caller holds mu.
func (s *shard) putFlow(f *flow) {
	s.flows.queue.change(f)
	s.flows.fromPeer.Store(f.peerKey(), f)
	if f.channel == 0 {
		return
	}
	s.flows.fromClient.Store(f.clientKey(), f)
	if via := f.home.via; via != nil {
		via.flows.fromClient.Store(f.clientKey(), f)
	}
}

// removeFlow takes a flow out of the table, not out of its allocation. The caller holds mu.
func (s *shard) removeFlow(f *flow) {
	s.flows.queue.end(f)
	s.flows.fromClient.Delete(f.clientKey())
	s.flows.fromPeer.Delete(f.peerKey())
	if via := f.home.via; via != nil {
		via.flows.fromClient.Delete(f.clientKey())
	}
}

// removeTuple keeps an allocation from being found on a five-tuple any longer. The caller holds mu.
func (s *shard) removeTuple(h *home) {
	s.allocations.Delete(h.tuple)
	if h.via != nil {
		h.via.guests.Delete(h.tuple)
	}
}

// rehome gives an allocation another home, together with its flows: a look-up finds each of them at every moment. It
// returns the old home. It reports false if the allocation has ended or the place is taken.
func (s *shard) rehome(a *allocation, to *home) (from *home, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, taken := s.allocations.Load(to.tuple)
	if !s.has(a) || taken || to.via != nil && to.via.find(to.tuple) != nil {
		return nil, false
	}
	from = a.home.Load()
	before := slices.Clone(a.flows)
	a.flows = a.flows[:0]
	for _, f := range before {
		if f.channel == 0 {
			s.removeFlow(f) // the client's next indication makes another
			continue
		}
		s.flows.queue.end(f)
		moved := &flow{alloc: a, home: to, channel: f.channel, peer: f.peer, permission: f.permission}
		moved.expires.set(f.expires.at())
		a.flows = append(a.flows, moved)
		s.putFlow(moved) // from the peer, it takes the place of f
	}
	clear(a.flows[len(a.flows):len(before)])
	s.allocations.Store(to.tuple, a)
	if to.via != nil {
		to.via.guests.Store(to.tuple, a)
	}
	a.home.Store(to) // from now on, data from peers go there
	s.removeTuple(from)
	for _, f := range before {
		s.flows.fromClient.Delete(f.clientKey())
		if from.via != nil {
			from.via.flows.fromClient.Delete(f.clientKey())
		}
	}
	return from, true
}

// shorten makes the allocation expire at end, unless it expires before.
func (s *shard) shorten(a *allocation, end clock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range a.live() {
		r.expires.set(min(r.expires.at(), end))
	}
}

// refresh moves the expiry of one relayed address, or of all if only is nil. It reports false if all of these have
// ended or expired, even if the sweep has not noticed that yet.
func (s *shard) refresh(a *allocation, only *relayed, now, expires clock) (refreshed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.has(a) {
		return false
	}
	for r := range a.live() {
		if (only == nil || r == only) && now < r.expires.at() {
			before := min(r.expires.at(), expires)
			r.expires.set(expires)
			a.changeFlowsOutliving(r, before)
			refreshed = true
		}
	}
	return refreshed
}

// expired is a relayed address that the sweep has found to have expired.
type expired struct {
	alloc   *allocation
	relayed *relayed
}

// sweep removes the channels and permissions that have expired. It returns the relayed addresses that have, for the
// caller to end. It locks the shard for one allocation at a time, and only if something of it is due, because the packet
// path waits for that lock.
func (s *shard) sweep(now clock) (ended []expired) {
	for a := range s.each() {
		for r := range a.live() {
			if now >= r.expires.at() {
				ended = append(ended, expired{a, r})
			}
		}
		if now >= a.due.at() {
			s.sweepAllocation(a, now)
		}
	}
	return ended
}

// sweepAllocation removes an allocation's expired flows and permissions.
func (s *shard) sweepAllocation(a *allocation, now clock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := never
	kept := a.flows[:0]
	for _, f := range a.flows {
		if !f.over(now) {
			kept = append(kept, f)
			next = min(next, f.end())
			continue
		}
		s.removeFlow(f)
	}
	clear(a.flows[len(kept):])
	a.flows = kept

	// A channel keeps its permission, expired or not, so that a later CreatePermission revives it.
	a.forget(func(p *permission) bool { return now >= p.expires.at() && !a.hasChannelTo(p.ip) })
	for _, p := range a.permitted() {
		if at := p.expires.at(); now < at {
			next = min(next, at)
		}
	}
	a.due.set(next)
}

// each yields the allocations of the shard without holding its lock. It yields none twice. It may miss one that begins, ends or moves meanwhile.
func (s *shard) each() iter.Seq[*allocation] {
	return func(yield func(*allocation) bool) {
		for tuple, a := range s.allocations.All() {
			if a.home.Load().tuple == tuple && !yield(a) {
				return
			}
		}
	}
}

// all lists the allocations and misses none. It holds the lock all the while, so it is for a shard whose service ends.
func (s *shard) all() (all []*allocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.allocations.All() {
		all = append(all, a)
	}
	return all
}
