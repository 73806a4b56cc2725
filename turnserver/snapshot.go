package turnserver

import (
	"net/netip"
	"slices"
	"time"

	"example.org/turnpike/turnserver/wire"
)

// Allocation describes one allocation at the moment of a Snapshot.
type Allocation struct {
	Session     string           // for which its credential was minted, or empty
	User        string           // else the user
	Transport   string           // between client and server: "udp", "tcp", "tls" or "dtls"
	TCP         bool             // it relays TCP connections, not datagrams
	Client      netip.AddrPort   // zero while a client that can move has lost its connection
	Server      netip.AddrPort   // the address that the client sends to; likewise
	Relayed     []netip.AddrPort // one of each family at most
	Peers       []netip.Addr     // with a live permission
	Channels    []netip.AddrPort // peers with a live channel
	Offloaded   []OffloadedFlow  // its flows that the kernel forwards
	Connections []netip.AddrPort // peers with a TCP connection that carries data
	Pending     int              // connections that are being made, or wait for the client
	Up, Down    Traffic          // with what the kernel has forwarded
	Dropped     []Counter        // packets of this allocation, by reason, without counters that are zero
	Age         time.Duration
	ExpiresIn   time.Duration // unless it is refreshed
}

// OffloadedFlow is a channel, or a peer that the client sends indications to, with the traffic that the kernel has
// forwarded.
type OffloadedFlow struct {
	Peer     netip.AddrPort
	Up, Down Traffic
}

// Traffic is data relayed in one direction. For TCP, each write counts as a packet.
type Traffic struct{ Packets, Bytes uint64 }

// Snapshot lists the live allocations, in no order.
func (s *Server) Snapshot() []Allocation {
	s.mu.Lock()
	shards := s.shards
	s.mu.Unlock()
	var out []Allocation
	now, below := s.now(), s.offloader.usage()
	for _, sh := range shards {
		out = sh.appendSnapshot(out, now, below)
	}
	return out
}

// AllocationsByTransport counts the live allocations by the transport between client and server.
func (s *Server) AllocationsByTransport() map[string]int {
	s.mu.Lock()
	shards := s.shards
	s.mu.Unlock()
	by := make(map[string]int)
	for _, p := range wire.Protocols() {
		by[p.String()] = 0
	}
	for _, sh := range shards {
		for tuple := range sh.allocations.All() {
			by[tuple.Protocol.String()]++
		}
	}
	return by
}

// Entries counts the entries of the server's tables that grow with what clients make, by table. When all clients have gone, all are zero after
// a while.
func (s *Server) Entries() map[string]int {
	s.mu.Lock()
	shards := s.shards
	out := map[string]int{"streams": len(s.streams), "associations": len(s.associations)}
	s.mu.Unlock()
	for _, sh := range shards {
		out["allocations"] += sh.allocations.Size()
		out["flows_up"] += sh.flows.fromClient.Size()
		out["flows_down"] += sh.flows.fromPeer.Size()
		if sh.guests != nil {
			out["guests"] += sh.guests.Size()
		}
	}
	s.quota.countEntries(out)
	s.owned.mu.Lock()
	out["owners"] = len(s.owned.by)
	s.owned.mu.Unlock()
	s.reserved.mu.Lock()
	out["reservations"] = len(s.reserved.byToken) + len(s.reserved.countByOwner)
	s.reserved.mu.Unlock()
	s.peers.mu.Lock()
	out["peer_connections"] = s.peers.pending.Len() + len(s.peers.waiting) + len(s.peers.pendingByOwner) + len(s.peers.claimedByOwner) + len(s.peers.claimedByRange)
	s.peers.mu.Unlock()
	if m := s.mobility; m != nil {
		m.mu.Lock()
		out["tickets"] = len(m.tickets)
		m.mu.Unlock()
		out["arrivals"] = m.arrivals.Size()
	}
	return out
}

// PeerConnections counts TCP connections with peers. Pending ones are being made or wait for the client; open ones
// carry data.
func (s *Server) PeerConnections() (pending, open int) {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	return s.peers.pending.Len(), s.peers.claimed
}

// appendSnapshot locks the shard only for copying the list of one allocation's flows.
func (s *shard) appendSnapshot(out []Allocation, now clock, below offloadUsage) []Allocation {
	var flows []*flow
	for a := range s.each() {
		s.mu.Lock()
		lives := s.has(a)
		flows = append(flows[:0], a.flows...)
		s.mu.Unlock()
		if lives {
			out = append(out, a.snapshot(flows, now, below))
		}
	}
	return out
}

// snapshot describes the allocation, which has these flows.
func (a *allocation) snapshot(flows []*flow, now clock, below offloadUsage) Allocation {
	tuple := &a.home.Load().tuple
	out := Allocation{
		Session: a.grant.Session, User: a.grant.User, Transport: tuple.Protocol.String(),
		Up: a.traffic[clientToPeer].read(), Down: a.traffic[peerToClient].read(),
		Age: time.Duration(now - a.born), ExpiresIn: max(0, time.Duration(a.expires()-now)),
	}
	if !stranded(tuple) {
		out.Client, out.Server = tuple.Client.AddrPort(), tuple.Local.AddrPort()
	}
	for r := range a.live() {
		out.Relayed = append(out.Relayed, r.external.AddrPort())
		if t := r.tcp; t != nil {
			connections, pending := a.shard.srv.peers.list(t)
			out.TCP, out.Connections, out.Pending = true, append(out.Connections, connections...), out.Pending+pending
		}
	}
	for _, p := range a.permitted() {
		if now < p.expires.at() {
			out.Peers = append(out.Peers, wire.Endpoint{IP: p.ip}.Addr())
		}
	}
	var overRate uint64 // in the kernel
	for _, f := range flows {
		if f.channel != 0 && f.live(now) {
			out.Channels = append(out.Channels, f.peer.endpoint.AddrPort())
		}
		if !f.offloaded.Load() {
			continue
		}
		inUp, inDown := below.of(f)
		c := OffloadedFlow{f.peer.endpoint.AddrPort(), Traffic{inUp.Packets, inUp.Bytes}, Traffic{inDown.Packets, inDown.Bytes}}
		out.Up.accumulate(c.Up)
		out.Down.accumulate(c.Down)
		overRate += inUp.Dropped + inDown.Dropped
		if f.live(now) {
			out.Offloaded = append(out.Offloaded, c)
		}
	}
	slices.SortFunc(out.Peers, netip.Addr.Compare)
	slices.SortFunc(out.Channels, netip.AddrPort.Compare)
	slices.SortFunc(out.Offloaded, func(a, b OffloadedFlow) int { return a.Peer.Compare(b.Peer) })
	slices.SortFunc(out.Connections, netip.AddrPort.Compare)
	labels := reasonLabels()
	for i, r := range allocationDrops() {
		n := a.dropped[i].Load()
		if r == dropBandwidth {
			n += overRate
		}
		if n > 0 {
			out.Dropped = append(out.Dropped, Counter{Name: labels[r].counter, Reason: labels[r].reason, Value: n})
		}
	}
	return out
}

func (t *traffic) read() Traffic { return Traffic{t.packets.Load(), t.bytes.Load()} }

func (t *Traffic) accumulate(more Traffic) {
	t.Packets += more.Packets
	t.Bytes += more.Bytes
}

// allocationDrops are the reasons that the server counts for each allocation, too.
func allocationDrops() [3]reason { return [...]reason{dropNoPermission, dropTooLarge, dropBandwidth} }

// countDropped counts a packet that this allocation does not relay.
func (a *allocation) countDropped(w *worker, r reason) {
	w.counters.count(r)
	a.addDropped(r, 1)
}

func (a *allocation) addDropped(r reason, n uint64) {
	for i, counted := range allocationDrops() {
		if counted == r {
			a.dropped[i].Add(n)
		}
	}
}

// activity is when an allocation was last seen to have relayed more than before.
type activity struct {
	packets, inKernel uint64 // that it had relayed by then
	at                clock  // 0: it was not looked at yet
}

// activityInterval is how often the server looks which allocations relay. The kernel is asked while it drains alone.
const activityInterval = 10 * time.Second

// Active counts the allocations that have relayed something within a time. It is exact to activityInterval. Where the
// kernel forwards, an allocation counts for that time after the first call.
func (s *Server) Active(within time.Duration) int {
	return s.lookForActivity(func(last activity, now clock) bool { return time.Duration(now-last.at) < within })
}

// lookForActivity looks which allocations have relayed something since it looked last, and counts those that match.
// Without match it asks nothing of the kernel.
func (s *Server) lookForActivity(match func(last activity, now clock) bool) (n int) {
	var below offloadUsage
	if match != nil {
		below = s.offloader.usage()
	}
	s.mu.Lock()
	shards := s.shards
	s.mu.Unlock()
	now := s.now()
	for _, sh := range shards {
		for _, a := range sh.allocations.All() {
			inKernel := a.inKernel(below)
			packets := a.traffic[clientToPeer].packets.Load() + a.traffic[peerToClient].packets.Load()
			s.activityMu.Lock()
			last := &a.active
			if last.at == 0 {
				last.at = a.born
			}
			if packets != last.packets || inKernel > last.inKernel {
				last.at = now
			}
			last.packets = packets
			if match != nil {
				last.inKernel = inKernel
			}
			if match != nil && match(*last, now) {
				n++
			}
			s.activityMu.Unlock()
		}
	}
	return n
}

// inKernel counts the packets that the kernel has forwarded of an allocation's present flows.
func (a *allocation) inKernel(below offloadUsage) (packets uint64) {
	if len(below) == 0 {
		return 0
	}
	a.shard.mu.Lock()
	defer a.shard.mu.Unlock()
	for _, f := range a.flows {
		if f.offloaded.Load() {
			inUp, inDown := below.of(f)
			packets += inUp.Packets + inDown.Packets
		}
	}
	return packets
}
