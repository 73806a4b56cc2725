package path

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/turn/v5"
)

const (
	// maxHosts bounds the addresses of this machine that the other side hears of, of each family.
	maxHosts = 8
	// maxServers bounds the UDP servers that are asked.
	maxServers = 4
	// streamsAfter is how long a relay over UDP may take before those over TCP and TLS are tried as well. Each is an
	// allocation that the server has to keep.
	streamsAfter = 500 * time.Millisecond
	// patience is how much longer one may take if a server has answered over UDP.
	patience = 3 * time.Second
	// gatherTimeout ends what has not answered.
	gatherTimeout = 10 * time.Second
)

// gather finds this side's candidates of one generation.
func (p *Path) gather(ctx context.Context, generation int, ufrag string) {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	p.answered.Store(false)
	say := p.teller(ctx, ufrag)
	if !p.config.RelayOnly {
		p.addHosts(say)
	}
	p.mu.Lock()
	urls := p.urls
	p.mu.Unlock()
	all := parse(urls, p.config.Logger)

	var (
		group   sync.WaitGroup
		relays  atomic.Int32 // That were found by UDP.
		udpDone = make(chan struct{})
	)
	found := func(r *relay) {
		relays.Add(1)
		p.addRelay(r, say)
	}
	group.Go(func() {
		defer close(udpDone)
		p.gatherUDP(ctx, all, found, func(a netip.AddrPort) { p.addMapped(a, say) })
	})
	group.Go(func() {
		waitFor(ctx, udpDone, streamsAfter)
		if p.answered.Load() { // UDP works, so that a relay over it comes.
			waitFor(ctx, udpDone, patience)
		}
		if relays.Load() == 0 && ctx.Err() == nil {
			p.gatherStreams(ctx, all, func(r *relay) { p.addRelay(r, say) })
		}
	})
	group.Wait()
	say("")
	p.mu.Lock()
	p.gatheredIn = generation
	p.mu.Unlock()
	p.closeStaleServers()
}

func waitFor(ctx context.Context, done <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	case <-ctx.Done():
	}
}

// teller tells the other side of each candidate once, as long as the generation lasts.
func (p *Path) teller(ctx context.Context, ufrag string) func(line string) {
	var mu sync.Mutex
	said := map[string]bool{}
	return func(line string) {
		mu.Lock()
		again := said[line]
		said[line] = true
		mu.Unlock()
		if !again && (line == "" || ctx.Err() == nil) && p.ctx.Err() == nil {
			p.config.Candidate(Candidate{Line: line, Ufrag: ufrag})
		}
	}
}

// addHosts gives ICE the socket, once for each family, and tells the other side of every address of this machine.
func (p *Path) addHosts(say func(string)) {
	addresses, _ := hostAddresses()
	var told [2]int
	for _, a := range addresses {
		f := family(a)
		if told[f]++; told[f] > maxHosts {
			continue
		}
		if f == 1 && !p.socket.v6 {
			continue
		}
		c, err := ice.NewCandidateHost(&ice.CandidateHostConfig{Network: "udp", Address: a.String(), Port: p.socket.port(), Component: ice.ComponentRTP})
		if err != nil {
			continue
		}
		if told[f] == 1 {
			conn := newICEConn(netip.AddrPortFrom(a, uint16(p.socket.port())), func(b []byte, to netip.AddrPort) { _, _ = p.socket.writeTo(b, to) }, p.wake)
			p.hosts[f].Store(conn)
			p.add(c, conn, nil)
		}
		say("candidate:" + c.Marshal())
	}
}

// add gives ICE a local candidate.
func (p *Path) add(c ice.Candidate, conn *iceConn, r *relay) bool {
	p.mu.Lock()
	p.locals[c.ID()] = r
	p.mu.Unlock()
	if err := p.agent.AddVirtualCandidate(c, conn); err != nil {
		_ = conn.Close()
		return false
	}
	return true
}

// addMapped tells the other side of the public address of the socket. For ICE on this side that is the socket again.
func (p *Path) addMapped(a netip.AddrPort, say func(string)) {
	p.answered.Store(true)
	if p.config.RelayOnly {
		return
	}
	c, err := ice.NewCandidateServerReflexive(&ice.CandidateServerReflexiveConfig{
		Network: "udp", Address: a.Addr().String(), Port: int(a.Port()), Component: ice.ComponentRTP, RelAddr: unspecified(a), RelPort: 9,
	})
	if err == nil {
		say("candidate:" + c.Marshal())
	}
}

// addRelay gives a relay to ICE and to the other side.
func (p *Path) addRelay(r *relay, say func(string)) {
	c, err := ice.NewCandidateRelay(&ice.CandidateRelayConfig{
		Network: "udp", Address: r.address.Addr().String(), Port: int(r.address.Port()), Component: ice.ComponentRTP,
		RelAddr: unspecified(r.address), RelPort: 9, RelayProtocol: r.protocol,
	})
	if err != nil {
		return
	}
	conn := newICEConn(r.address, r.sendCheck, p.wake)
	r.view.Store(conn)
	if p.add(c, conn, r) {
		say("candidate:" + c.Marshal())
	}
}

// unspecified stands for the related address, which is nobody's business.
func unspecified(a netip.AddrPort) string {
	if a.Addr().Is4() {
		return "0.0.0.0"
	}
	return "::"
}

// hostAddresses returns the addresses of this machine. Loopback is there only if nothing else is.
func hostAddresses() (addresses []netip.Addr, loopback bool) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, false
	}
	var loops []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		list, _ := i.Addrs()
		for _, x := range list {
			n, ok := x.(*net.IPNet)
			if !ok {
				continue
			}
			a, ok := netip.AddrFromSlice(n.IP)
			a = a.Unmap()
			switch {
			case !ok || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified():
			case a.IsLoopback():
				loops = append(loops, a)
			default:
				addresses = append(addresses, a)
			}
		}
	}
	if len(addresses) == 0 {
		return loops, true
	}
	return addresses, false
}

// gatherUDP asks each server for the public address, and those with credentials for a relay.
func (p *Path) gatherUDP(ctx context.Context, all []endpoint, found func(*relay), mapped func(netip.AddrPort)) {
	var group sync.WaitGroup
	asked := 0
	seen, unknown := map[netip.AddrPort]bool{}, map[string]bool{}
	for _, e := range all {
		if e.protocol != "udp" {
			continue
		}
		v4, v6, err := resolve(ctx, e.host)
		if err != nil && !unknown[e.host] && !errors.Is(ctx.Err(), context.Canceled) && p.config.Logger != nil {
			p.config.Logger.Warn("the name of a server was not found", "server", e.host, "error", err)
			unknown[e.host] = true
		}
		for f, a := range [2]netip.Addr{v4, v6} {
			at := netip.AddrPortFrom(a, e.port)
			if !a.IsValid() || seen[at] || asked >= maxServers || f == 1 && !p.socket.v6 {
				continue
			}
			seen[at] = true
			asked++
			s := p.serverAt(at)
			if s == nil {
				continue
			}
			// A host without IPv4 still needs a relay that hosts with IPv4 alone reach.
			family := turn.RequestedAddressFamilyIPv4
			if f == 1 && v4.IsValid() && routed(netip.AddrPortFrom(v4, e.port)) {
				family = turn.RequestedAddressFamilyIPv6
			}
			group.Go(func() {
				if err := s.gather(ctx, e.credential, family, found, mapped); err != nil && p.config.Logger != nil {
					p.config.Logger.Info("the server gave no relay over UDP", "server", e.host, "error", err)
				}
			})
		}
	}
	group.Wait()
}

// routed tells whether this host has an address to reach a from.
func routed(a netip.AddrPort) bool {
	c, err := net.Dial("udp", a.String())
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// serverAt returns the server at an address, which the socket's reader knows from now on.
func (p *Path) serverAt(a netip.AddrPort) *server {
	p.mu.Lock()
	if p.servers == nil { // closed
		p.mu.Unlock()
		return nil
	}
	s := p.servers[a]
	if s == nil {
		s = &server{path: p, address: a}
		p.servers[a] = s
	}
	s.asked = p.generation
	p.mu.Unlock()
	p.changeSources(func(*sources) {})
	return s
}

// closeStaleServers ends the allocations on servers that this generation has not asked: others have taken their place. That is clear
// once all were asked, and due once ICE has selected a pair of this generation.
func (p *Path) closeStaleServers() {
	p.mu.Lock()
	var stale []*server
	if p.settledIn == p.generation && p.gatheredIn == p.generation {
		for at, s := range p.servers {
			if s.asked < p.generation {
				delete(p.servers, at)
				stale = append(stale, s)
			}
		}
	}
	p.mu.Unlock()
	for _, s := range stale {
		s.close()
	}
	if len(stale) > 0 {
		p.changeSources(func(*sources) {})
	}
}

// resolve returns an address of each family that a host has.
func resolve(ctx context.Context, host string) (v4, v6 netip.Addr, err error) {
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return v4, v6, err
	}
	for _, a := range list {
		switch a = a.Unmap(); {
		case a.Is4() && !v4.IsValid():
			v4 = a
		case a.Is6() && !v6.IsValid():
			v6 = a
		}
	}
	return v4, v6, nil
}
