package path

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// maxSources bounds the addresses that a peer may send from.
const maxSources = 64

// authenticated hears of each check of the peer, inside of ICE: from that address it may send.
func (p *Path) authenticated(_ *stun.Message, _, remote ice.Candidate, _ *ice.CandidatePair) bool {
	if a, ok := addressOf(remote.Address(), remote.Port()); ok && !p.socket.sources.Load().knows(a) {
		p.changeSources(func(s *sources) { s.peers[a] = struct{}{} })
	}
	return false
}

func addressOf(address string, port int) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(address)
	return netip.AddrPortFrom(a.Unmap(), uint16(port)), err == nil
}

// changeSources puts a changed copy in the place of the socket's sources.
func (p *Path) changeSources(change func(*sources)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.socket.sources.Load()
	s := &sources{servers: make(map[netip.AddrPort]*server, len(p.servers)), peers: map[netip.AddrPort]struct{}{}}
	for a, srv := range p.servers {
		s.servers[a] = srv
	}
	if len(old.peers) < maxSources {
		for a := range old.peers {
			s.peers[a] = struct{}{}
		}
	} else if r := p.socket.route.Load(); r != nil {
		s.peers[r.remote] = struct{}{}
	}
	change(s)
	p.socket.sources.Store(s)
}

// pair is a pair of candidates that works.
type pair struct {
	route    route
	relayed  bool
	priority uint64
	rtt      time.Duration
}

// pairs returns the selected pair, and the best of those that work. Each may be nil.
func (p *Path) pairs() (selected, best *pair) {
	remotes := map[string]ice.CandidateStats{}
	for _, c := range p.agent.GetRemoteCandidatesStats() {
		remotes[c.ID] = c
	}
	locals := map[string]ice.CandidateStats{}
	for _, c := range p.agent.GetLocalCandidatesStats() {
		locals[c.ID] = c
	}
	of := func(s ice.CandidatePairStats) *pair {
		p.mu.Lock()
		relay, known := p.locals[s.LocalCandidateID]
		p.mu.Unlock()
		remote, ok := remotes[s.RemoteCandidateID]
		at, valid := addressOf(remote.IP, remote.Port)
		if !known || !ok || !valid {
			return nil
		}
		relayed := relay != nil || remote.CandidateType == ice.CandidateTypeRelay
		priority := uint64(locals[s.LocalCandidateID].Priority) + uint64(remote.Priority)
		if !relayed {
			priority += 1 << 40
		}
		return &pair{route{at, relay}, relayed, priority, time.Duration(s.CurrentRoundTripTime * float64(time.Second))}
	}
	if s, ok := p.agent.GetSelectedCandidatePairStats(); ok {
		selected = of(s)
	}
	for _, s := range p.agent.GetCandidatePairsStats() {
		if s.State != ice.CandidatePairStateSucceeded {
			continue
		}
		if x := of(s); x != nil && (best == nil || x.priority > best.priority) {
			best = x
		}
	}
	return selected, best
}

// info describes a pair for people.
func (p *Path) info(x *pair) Info {
	i := Info{Relayed: x.relayed, Protocol: "udp", Remote: x.route.remote, RTT: x.rtt}
	to := x.route.remote
	if r := x.route.relay; r != nil {
		i.Protocol, i.Relay = r.protocol, r.host
		if r.stream != nil {
			if a, err := netip.ParseAddrPort(r.stream.LocalAddr().String()); err == nil {
				i.Local = canonical(a)
			}
			return i
		}
		to = r.server
	}
	// No packet is sent: connecting asks which address packets would leave from.
	var d net.Dialer
	if c, err := d.DialContext(context.Background(), "udp", to.String()); err == nil {
		at := canonical(c.LocalAddr().(*net.UDPAddr).AddrPort())
		_ = c.Close()
		i.Local = netip.AddrPortFrom(at.Addr(), uint16(p.socket.port()))
	}
	return i
}
