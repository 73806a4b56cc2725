package turnserver

import (
	"cmp"
	"hash/maphash"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"example.org/turnpike/turnserver/hostwatch"
	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// relaySet is the relay addresses of a server at one time. It is replaced, and never changed. An address that the server
// should use no more stays in the set, and new allocations do not get it. Its relays go on while the host has it.
type relaySet struct {
	places   []*relayPlace
	udp, tcp []*relayAddress // of places; a server without TCP relaying has no tcp

	offers [2][2][]*relayAddress // those for new allocations: UDP and TCP, IPv4 and IPv6
	known  [2]bool               // IPv4 and IPv6: the server has, or had, an address of that family
}

// relayPlace is an address with its ports for each transport.
type relayPlace struct {
	// Static after construction.
	RelayAddress
	udp, tcp *relayAddress // tcp may be nil

	// Owned by Server.followRelays, once there are readers.
	offered      bool
	missing      bool  // the host does not have the address now,
	missingSince clock // since then
}

// goneAfter is how long the relays of an address go on after the host has lost it. DHCP and a restart of the network
// bring most addresses back within seconds, and the sockets with them.
const goneAfter = 10 * time.Second

func familyIndex(f wire.Family) int {
	if f == wire.IPv6 {
		return 1
	}
	return 0
}

func transportIndex(tcp bool) int {
	if tcp {
		return 1
	}
	return 0
}

// newRelaySet makes a set of places. known are the families that earlier sets had.
func newRelaySet(places []*relayPlace, known [2]bool) *relaySet {
	s := &relaySet{places: places, known: known}
	add := func(p *relayPlace, r *relayAddress, tcp bool, list *[]*relayAddress) {
		if r == nil {
			return
		}
		*list = append(*list, r)
		for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
			if r.fits(f) {
				s.known[familyIndex(f)] = true
				if offers := &s.offers[transportIndex(tcp)][familyIndex(f)]; p.offered {
					*offers = append(*offers, r)
				}
			}
		}
	}
	for _, p := range places {
		add(p, p.udp, false, &s.udp)
		add(p, p.tcp, true, &s.tcp)
	}
	return s
}

// offered returns the addresses of a family that new allocations may have relayed addresses at.
func (s *relaySet) offered(tcp bool, f wire.Family) []*relayAddress {
	return s.offers[transportIndex(tcp)][familyIndex(f)]
}

// lacks reports whether the server relays a family, but has no address of it now.
func (s *relaySet) lacks(tcp bool, f wire.Family) bool {
	return s.known[familyIndex(f)] && len(s.offered(tcp, f)) == 0
}

// ready reports whether the set has an address for new allocations.
func (s *relaySet) ready() bool {
	return len(s.offered(false, wire.IPv4))+len(s.offered(false, wire.IPv6)) > 0
}

// relaysFor returns the addresses of a family that a holder's relayed address may be at, in the order to try them. All that a holder has
// are at one address while there is room, as peers expect of a host (RFC 4787 REQ-2), and stay there when other addresses come or go.
func (s *Server) relaysFor(who holder, tcp bool, family wire.Family) []*relayAddress {
	type place struct {
		who holder
		at  netip.Addr
	}
	offered := slices.Clone(s.relays.Load().offered(tcp, family))
	weight := func(r *relayAddress) uint64 { return maphash.Comparable(s.relaySeed, place{who, r.local}) }
	slices.SortFunc(offered, func(a, b *relayAddress) int { return cmp.Compare(weight(a), weight(b)) })
	return offered
}

// relaysTCP reports whether the server relays TCP.
func (s *Server) relaysTCP() bool { return udpio.PortSharing && !s.cfg.NoTCPRelaying }

func (s *Server) newRelayPlace(r RelayAddress) *relayPlace {
	r = r.canonical()
	p := &relayPlace{RelayAddress: r, udp: newRelayAddress("udp", r, s.cfg.MinPort, s.cfg.MaxPort), offered: true}
	if s.relaysTCP() {
		p.tcp = newRelayAddress("tcp", r, s.cfg.MinPort, s.cfg.MaxPort)
	}
	return p
}

// setFirstRelays makes the relay addresses of Config.
func (s *Server) setFirstRelays() {
	places := make([]*relayPlace, len(s.cfg.Relay))
	for i, r := range s.cfg.Relay {
		places[i] = s.newRelayPlace(r)
	}
	s.relays.Store(newRelaySet(places, [2]bool{}))
}

// isRelayAddress reports whether ip is the local or external form of a relay address.
func (s *Server) isRelayAddress(ip netip.Addr) bool {
	return relayAddressOf(s.relays.Load().udp, ip) != nil
}

// RelayAddresses returns the addresses at which new allocations get relayed addresses now. It is empty while the host
// has none of them.
func (s *Server) RelayAddresses() []RelayAddress { return s.relays.Load().relayAddresses() }

// relayAddresses lists what the set offers.
func (s *relaySet) relayAddresses() (out []RelayAddress) {
	for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
		for _, r := range s.offered(false, f) {
			out = append(out, RelayAddress{Local: r.local, External: r.external})
		}
	}
	return out
}

// probeRelayAddress tells why no socket can be opened at an address, if none can.
func probeRelayAddress(local netip.Addr) error {
	probe, err := net.ListenUDP(udpNetwork(local), net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		return err
	}
	return probe.Close()
}

// LookAgain makes the server ask Config.FindRelays soon, as something has changed that it cannot see.
func (s *Server) LookAgain() {
	select {
	case s.lookAgain <- struct{}{}:
	default:
	}
}

const (
	hostInterval    = 10 * time.Second // how often the server looks at the host's addresses if it is told of no change
	missingInterval = time.Second      // the same while an address is missing
)

// followHost follows the addresses of the host until Close.
func (s *Server) followHost() {
	defer s.readers.Done()
	var watcher *hostwatch.Watcher
	var changes <-chan struct{} // receives nothing, unless there is a watcher
	var ended atomic.Bool       // there is none, or none any more
	watch := func() {
		ended.Store(false)
		w, err := hostwatch.New(func(err error) { s.watcherFailed(err); ended.Store(true) })
		if err != nil {
			s.watcherFailed(err)
			ended.Store(true)
			return
		}
		watcher, changes = w, w.Changes()
	}
	watch()
	var restUntil time.Time // constant changes of routes must not take all of the time
	timer := time.NewTimer(hostInterval)
	defer timer.Stop()
	for {
		select {
		case <-s.done:
			if watcher != nil {
				watcher.Close()
			}
			return
		case <-changes:
			if wait := time.Until(restUntil); wait > 0 {
				timer.Reset(wait)
				continue
			}
		case <-s.lookAgain:
		case <-timer.C:
		}
		if ended.Load() {
			watch()
		}
		begin := time.Now()
		s.followRelays()
		s.readOwnHost()
		s.faults.deaf.Store(s.isDeaf())
		restUntil = time.Now().Add(10 * time.Since(begin))
		interval := hostInterval
		if slices.ContainsFunc(s.relays.Load().places, func(p *relayPlace) bool { return p.missing }) {
			interval = missingInterval
		}
		timer.Reset(interval)
	}
}

// isDeaf reports whether the host has lost the addresses of all UDP listeners.
func (s *Server) isDeaf() (deaf bool) {
	for _, l := range s.Addrs() {
		if l.Network != "udp" {
			continue
		}
		if ip := wire.Canonical(l.Addr.Addr()); ip.IsUnspecified() || !familyMissing(s.probeRelay(ip)) {
			return false
		}
		deaf = true
	}
	return deaf
}

func (s *Server) watcherFailed(err error) {
	s.counters.count(failedHostWatch)
	s.warnFull("turn: changes of this host's addresses are noticed late", "error", err, "every", hostInterval)
}

// followRelays makes the relay addresses those that the host now has. It ends the relays at an address that is gone.
func (s *Server) followRelays() {
	wanted := s.cfg.Relay
	if s.cfg.FindRelays != nil {
		wanted = s.cfg.FindRelays()
	}
	was := s.relays.Load()
	var places, ended []*relayPlace
	changed := false
	for _, p := range was.places {
		wants, replaced := p.among(wanted)
		s.lookFor(p)
		if replaced || p.missing && s.now()-p.missingSince >= clock(goneAfter) {
			ended, changed = append(ended, p), true
			continue
		}
		if offered := wants && !p.missing; offered != p.offered {
			p.offered, changed = offered, true
		}
		places = append(places, p)
	}
	for _, r := range wanted {
		r = r.canonical()
		if !slices.ContainsFunc(places, func(p *relayPlace) bool { return p.RelayAddress == r || p.offered && r.sharesWith(p.RelayAddress) }) && s.probeRelay(r.Local) == nil {
			places, changed = append(places, s.newRelayPlace(r)), true
		}
	}
	if !changed {
		return
	}
	set := newRelaySet(places, was.known)
	s.relays.Store(set)
	s.offloader.follow(s.packetAddresses())
	s.tellOfRelays(was, set)
	for _, p := range ended {
		s.endPlace(p)
	}
}

// among reports whether a place is still wanted, and whether its local address now has another external one.
func (p *relayPlace) among(wanted []RelayAddress) (wants, replaced bool) {
	for _, r := range wanted {
		if r = r.canonical(); r.Local == p.Local {
			return r == p.RelayAddress, r != p.RelayAddress
		}
	}
	return false, false
}

// lookFor looks whether the host has a place's address.
func (s *Server) lookFor(p *relayPlace) {
	err := s.probeRelay(p.Local)
	missing := familyMissing(err)
	switch {
	case err != nil && !missing: // that says nothing about the address
	case missing && !p.missing:
		p.missing, p.missingSince = true, s.now()
	case !missing:
		p.missing = false
	}
}

// tellOfRelays logs and counts that new allocations get other addresses.
func (s *Server) tellOfRelays(was, is *relaySet) {
	if slices.Equal(was.relayAddresses(), is.relayAddresses()) {
		return
	}
	s.counters.relayChanges.Add(1)
	if !is.ready() {
		s.log.Error("turn: this host has none of its relay addresses; no client gets a relay until there is one again", "before", was.relayAddresses())
		return
	}
	s.log.Info("turn: the relay addresses have changed", "before", was.relayAddresses(), "now", is.relayAddresses())
}

// endPlace ends the relayed addresses at a place. An allocation that is being made there sees it (newAllocation).
func (s *Server) endPlace(p *relayPlace) {
	relays := []*relayAddress{p.udp}
	if p.tcp != nil {
		relays = append(relays, p.tcp)
	}
	n := 0
	for _, r := range relays {
		r.gone.Store(true)
		s.reserved.endMatching(func(reserved *reservation) bool { return reserved.port.address == r })
		for i := range r.slots {
			a := r.slots[i].Load()
			if a == nil || a == r.reserved {
				continue
			}
			if rel := a.relayedAt(r); rel != nil {
				s.counters.count(endAddressGone)
				n++
				a.endRelayed(rel)
			}
		}
	}
	s.log.Warn("turn: a relay address is gone, and the relays there have ended", "address", p.RelayAddress.String(), "relays", n)
}

// addressGone reports whether the host has lost an address that a has a relayed address at.
func (a *allocation) addressGone() bool {
	return a.first.address.gone.Load() || a.extras != nil && a.extras.second != nil && a.extras.second.address.gone.Load()
}

// relayedAt returns the relayed address that is at r and has not ended, or nil.
func (a *allocation) relayedAt(r *relayAddress) *relayed {
	for rel := range a.live() {
		if rel.address == r {
			return rel
		}
	}
	return nil
}
