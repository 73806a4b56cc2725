package turnserver

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/offload"
	"example.org/turnpike/turnserver/wire"
)

// OffloadMode says whether the kernel forwards established flows of clients over UDP: channels, and peers that a client
// sends indications to.
type OffloadMode uint8

const (
	OffloadOff     OffloadMode = iota
	OffloadAuto                // where the system and the process's privileges allow it
	OffloadRequire             // Start fails where they do not
)

// offloader is the flowSink that forwards flows in the kernel. flowQueue tells it of them. The kernel's counts go to
// the allocation when its flow ends, and until then to every snapshot.
type offloader struct {
	// Static after construction.
	srv    *Server
	path   *offload.Path
	meters *meterPool
	most   int // flows

	// Owned by flowQueue.run.
	flows   int                // that the kernel forwards
	waiting map[*flow]struct{} // for room

	mu   sync.Mutex
	last offload.Totals // as read last; they stay once path is closed
}

// The kernel's table of flows has room for flowsAnAllocation times as many as there may be allocations, since most
// clients talk to few peers, and for leastFlows at least.
const (
	flowsAnAllocation = 4
	leastFlows        = 4096
)

func flowsFor(l *Limits) int { return max(flowsAnAllocation*l.Allocations, leastFlows) }

func newOffloader(srv *Server, path *offload.Path, most, meters int) *offloader {
	return &offloader{srv: srv, path: path, meters: newMeterPool(srv, path, meters), most: most, waiting: make(map[*flow]struct{})}
}

// openOffloader begins to forward in the kernel, if Config wants that and the system can. It is called before there are
// shards.
func (s *Server) openOffloader() error {
	if s.cfg.Offload == OffloadOff {
		return nil
	}
	most, meters := flowsFor(&s.cfg.Limits), metersFor(&s.cfg.Limits)
	path, err := offload.Open(offload.Config{Addresses: s.packetAddresses(), MaxFlows: most, Meters: meters, Log: s.log, Fault: func() { s.counters.count(failedOffload) }})
	switch {
	case err == nil:
		if path.Paused() == "" { // else it has said so
			s.log.Info("turn: established flows are forwarded in the kernel")
		}
		s.offloader = newOffloader(s, path, most, meters)
		s.bandwidth.offloader = s.offloader
		s.flowQueue = newFlowQueue(s.offloader)
		return nil
	case s.cfg.Offload == OffloadRequire:
		return &OffloadError{Err: err}
	default:
		s.offloadFailure = err
		s.log.Info("turn: relaying without help of the kernel", "reason", err)
		return nil
	}
}

// packetAddresses are the addresses that clients and peers send UDP to.
func (s *Server) packetAddresses() (all []netip.Addr) {
	for _, l := range s.cfg.Listen {
		if l.Network == "udp" {
			all = append(all, wire.Canonical(l.Addr.Addr()))
		}
	}
	for _, r := range s.relays.Load().udp {
		all = append(all, r.local)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// follow tells the kernel's path the addresses that clients and peers now send to. k may be nil.
func (k *offloader) follow(addresses []netip.Addr) {
	if k != nil {
		k.path.SetAddresses(addresses)
	}
}

// mayOffload reports whether the kernel may forward a flow.
func (f *flow) mayOffload() bool {
	tuple := &f.home.tuple
	return tuple.Protocol == wire.UDP && !tuple.Client.Addr().IsLinkLocalUnicast() // a five-tuple keeps no zone
}

// expirySlack is by how much the kernel's expiry of a flow may be early. So a client that refreshes all the time costs
// few system calls.
const expirySlack = time.Minute

// set implements flowSink.
func (k *offloader) set(f *flow) {
	if f.channel != 0 && !f.peer.reaches() {
		return // to another program on this host, or to nobody
	}
	lasts := f.lasts()
	if !f.offloaded.Load() {
		if !k.admit(f) {
			k.waiting[f] = struct{}{}
			return
		}
		delete(k.waiting, f)
	} else if early := lasts - f.below; early >= 0 && early < clock(expirySlack) {
		return
	}
	err := k.path.Put(k.flowOf(f, lasts))
	if err == nil {
		f.below = lasts
		return
	}
	k.remove(f)
	k.waiting[f] = struct{}{}
	k.srv.warnFull("turn: a flow is not offloaded", "error", err)
}

// fairShare is the part of the free room in the kernel's table that one user may have as much of as is free.
// So there is room for the next one, however much the others take.
const fairShare = 8

// admit counts a flow that the kernel is about to forward. It reports false if there is no room for it.
func (k *offloader) admit(f *flow) bool {
	free, account := k.most-k.flows, f.alloc.account
	switch {
	case free <= 0:
		k.srv.warnFull("turn: the kernel's table of flows is full, so the process relays the others; raise limits.allocations for a larger one", "flows", k.flows)
		return false
	case account.offloaded > free/fairShare || !k.meters.share(f.alloc):
		return false
	}
	k.flows++
	account.offloaded++
	f.offloaded.Store(true)
	return true
}

// remove implements flowSink.
func (k *offloader) remove(f *flow) {
	delete(k.waiting, f)
	if !f.offloaded.Load() {
		return
	}
	a := f.alloc
	inUp, inDown := k.path.Remove(keysOf(f))
	a.addOffloaded(clientToPeer, inUp)
	a.addOffloaded(peerToClient, inDown)
	f.offloaded.Store(false)
	k.flows--
	a.account.offloaded--
	k.meters.unshare(a)
}

// hasHeard implements flowSink.
func (k *offloader) hasHeard(f *flow) bool {
	_, down, ok := k.path.Usage(keysOf(f))
	return ok && (down.Packets > 0 || !down.Seen.IsZero()) // those of another relay here are not seen, but counted
}

// retriesAtOnce bounds how many flows are tried again at a time.
const retriesAtOnce = 1024

// retry implements flowSink. A map yields its keys from another place each time, so every flow gets its turn.
func (k *offloader) retry() {
	tried := 0
	for f := range k.waiting {
		if tried++; tried > retriesAtOnce {
			return
		}
		k.set(f)
	}
}

// waits implements flowSink.
func (k *offloader) waits() bool { return len(k.waiting) > 0 }

// flowOf describes a flow to the kernel.
func (k *offloader) flowOf(f *flow, lasts clock) offload.Flow {
	from := f.alloc.relayedTo(&f.peer.endpoint)
	out := keysOf(f)
	out.Expires = time.Now().Add(time.Duration(lasts - k.srv.now())) // by the monotonic clock
	out.UpMeters, out.DownMeters = k.metersOf(f.alloc, clientToPeer), k.metersOf(f.alloc, peerToClient)
	if own := f.peer.own; own != nil {
		out.PeerRelay = netip.AddrPortFrom(own.local, f.peer.endpoint.Port)
		out.External = from.external.AddrPort()
	}
	return out
}

// addOffloaded adds the traffic that the kernel has forwarded of a flow that has ended.
func (a *allocation) addOffloaded(d direction, u offload.Usage) {
	a.traffic[d].packets.Add(u.Packets)
	a.traffic[d].bytes.Add(u.Bytes)
	a.addDropped(dropBandwidth, u.Dropped)
}

// totals returns what the kernel has counted since Start; zeroes if k is nil.
func (k *offloader) totals() offload.Totals {
	if k == nil {
		return offload.Totals{}
	}
	now, err := k.path.Totals()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		return k.last
	}
	k.last = now
	return now
}

// offloadCounters lists the kernel's own counters. Packets that it forwarded count as relayed, too.
func offloadCounters(t offload.Totals) []Counter {
	const passed = "packets_not_offloaded" // they came to user space, though the kernel has their flow
	return []Counter{
		{Name: "packets_offloaded", Reason: "up", Value: t.PacketsUp},
		{Name: "packets_offloaded", Reason: "down", Value: t.PacketsDown},
		{Name: "offloaded_bytes", Reason: "up", Value: t.BytesUp},
		{Name: "offloaded_bytes", Reason: "down", Value: t.BytesDown},
		{Name: passed, Reason: "expired", Value: t.Expired},
		{Name: passed, Reason: "unconfirmed", Value: t.Unconfirmed},
		{Name: passed, Reason: "unrouted", Value: t.Unrouted},
		{Name: passed, Reason: "too_long", Value: t.TooLong},
		{Name: passed, Reason: "untypical", Value: t.Untypical},
		{Name: passed, Reason: "aggregated", Value: t.Aggregated},
	}
}

// offloadUsage is the traffic that the kernel has forwarded, by what packets show of their flow.
type offloadUsage map[offload.Key]offload.Usage

// usage reads the traffic of all flows that the kernel has now. It holds no lock of the server's.
func (k *offloader) usage() offloadUsage {
	if k == nil {
		return nil
	}
	all := make(offloadUsage, 2*k.path.Flows())
	err := k.path.Each(func(e offload.Entry) { all[e.Key] = e.Usage })
	if err != nil {
		k.srv.log.Warn("turn: what the kernel forwards is not in the list of allocations", "error", err)
	}
	return all
}

func (u offloadUsage) of(f *flow) (inUp, inDown offload.Usage) {
	keys := keysOf(f)
	return u[keys.Up()], u[keys.Down()]
}

// keysOf describes a flow to the kernel, as far as it shows in packets.
func keysOf(f *flow) offload.Flow {
	up, down := f.clientKey(), f.peerKey()
	return offload.Flow{
		Client: up.tuple.Client.AddrPort(), Local: up.tuple.Local.AddrPort(), Channel: up.channel,
		Relayed: down.relayed.AddrPort(), Peer: down.peer.AddrPort(),
	}
}

// OffloadStatus tells what the kernel forwards now.
type OffloadStatus struct {
	On     bool
	Flows  int    // channels and peers; the packets of other flows go through the process
	Reason string // why it is not on, or not now, though the configuration allows it; else empty
}

// Offload tells whether the kernel forwards flows, once Start has returned.
func (s *Server) Offload() OffloadStatus {
	switch {
	case s.offloader != nil:
		why := s.offloader.path.Paused()
		return OffloadStatus{On: why == "", Flows: s.offloader.path.Flows(), Reason: why}
	case s.offloadFailure != nil:
		return OffloadStatus{Reason: s.offloadFailure.Error()}
	}
	return OffloadStatus{}
}

// Offloads reports whether the kernel has forwarded packets of a present flow of the allocation at a relayed address.
// It reports found only to the allocation's owner.
func (s *Server) Offloads(relayed netip.AddrPort, who *auth.Grant) (offloads, found bool) {
	address := relayAddressOf(s.relays.Load().udp, wire.Canonical(relayed.Addr()))
	if address == nil {
		return false, false
	}
	a := address.allocationAt(relayed.Port())
	if a == nil || ownerOf(&a.grant) != ownerOf(who) {
		return false, false
	}
	if s.offloader == nil {
		return false, true
	}
	var flows []offload.Flow
	a.shard.mu.Lock()
	for _, f := range a.flows {
		if f.offloaded.Load() {
			flows = append(flows, keysOf(f))
		}
	}
	a.shard.mu.Unlock()
	for _, f := range flows {
		if inUp, inDown, ok := s.offloader.path.Usage(f); ok && inUp.Packets+inDown.Packets > 0 {
			return true, true
		}
	}
	return false, true
}

// close ends forwarding in the kernel. k may be nil.
func (k *offloader) close() {
	if k == nil {
		return
	}
	k.totals()
	if err := k.path.Close(); err != nil {
		k.srv.log.Warn("turn: end forwarding in the kernel", "error", err)
	}
}
