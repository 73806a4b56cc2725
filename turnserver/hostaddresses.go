package turnserver

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/peerpolicy"
	"example.org/turnpike/turnserver/wire"
)

// readOwnHost lists the addresses of this host's interfaces. A relay reaches nothing there but live relayed addresses, and
// ports that the operator opens: other programs on this host may trust connections from it.
func (s *Server) readOwnHost() {
	own := make(peerpolicy.Addresses)
	for _, r := range s.relays.Load().udp {
		own.Add(r.local)
		own.Add(r.external)
	}
	for _, p := range s.cfg.Discovery {
		for _, ip := range p.External {
			own.Add(ip)
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		if s.ownHost.Load() != nil {
			return // the last list is better than none
		}
		s.log.Warn("turn: cannot list the addresses of this host; set turn.deny_peers to keep relays off them", "error", err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own.Add(ip)
			}
		}
	}
	s.setOwnHost(own)
}

// setOwnHost replaces the list of this host's addresses.
func (s *Server) setOwnHost(own peerpolicy.Addresses) {
	before := s.ownHost.Swap(&own)
	if before != nil && !maps.Equal(*before, own) {
		s.revokeOwnHost()
		s.ownHostMoved.Store(true) // for the sweep: a request may have been judged by the former list, and end only now
	}
}

// revokeOwnHost ends what lets relays send to addresses that have come to this host. A client got its permission for
// such an address while it was another host's. So no packet need ask whether its peer is still another host.
func (s *Server) revokeOwnHost() {
	s.mu.Lock()
	shards := s.shards
	s.mu.Unlock()
	for _, sh := range shards {
		for _, a := range sh.allocations.All() {
			sh.revokeOwnHost(a)
		}
	}
	s.flowQueue.settle()
}

// revokeOwnHost removes an allocation's permissions and flows to addresses of this host. A flow to a relay address stays
// if it was made as such, since then each packet's port must be that of a live relayed address.
func (s *shard) revokeOwnHost(a *allocation) {
	denies := func(ip netip.Addr) bool { return s.srv.isOwnHost(ip) && !s.srv.isRelayAddress(ip) }
	moved := func(f *flow) bool { return f.peer.own == nil && s.srv.isOwnHost(f.peer.addr.Addr()) }
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.has(a) {
		return
	}
	a.flows = slices.DeleteFunc(a.flows, func(f *flow) bool {
		if !moved(f) {
			return false
		}
		s.removeFlow(f)
		return true
	})
	a.forget(func(p *permission) bool { return denies(wire.Endpoint{IP: p.ip}.Addr()) })
}

// opensHost reports whether a client may send to a port of a relay address that relays nothing: the port of another
// program on this host, such as an SFU. The operator must have named the address alone, since a range that contains it
// means other hosts. Credentials of signaling and our own listeners are excepted: a relay to our listener could become
// the client of another relay.
func (a *allocation) opensHost(peer *wire.Endpoint) bool {
	s := a.shard.srv
	return a.grant.Kind == auth.GrantREST && !a.relaysTCP() && s.policy.Names(peer.Addr()) && s.opensOwnPort(peer.Port) && !slices.Contains(s.listening, peer.Port)
}

// opensOwnPort reports whether the operator lets relays reach a port of this host, where an address is open to them.
func (s *Server) opensOwnPort(port uint16) bool {
	open := s.cfg.AllowOwnPorts
	return len(open) == 0 || slices.ContainsFunc(open, func(r PortRange) bool { return r.has(port) })
}

// listeningPorts lists the ports of our listeners of datagrams.
func (s *Server) listeningPorts() (ports []uint16) {
	for _, l := range s.Addrs() {
		if l.Network == "udp" || l.Network == "dtls" {
			ports = append(ports, l.Addr.Port())
		}
	}
	return ports
}

// isOwnHost reports whether ip, or an IPv4 address inside it, is one of this host's.
func (s *Server) isOwnHost(ip netip.Addr) bool { return s.ownHost.Load().Reaches(ip) }

// DefaultRelayAddresses returns RoutedAddresses. Without a default route it falls back to the first global unicast
// address of an interface that is up.
func DefaultRelayAddresses() ([]netip.Addr, error) {
	if out := RoutedAddresses(); len(out) > 0 {
		return out, nil
	}
	return firstGlobalUnicast()
}

// RoutedAddresses returns the source address of the default route, for each address family: the address that the world
// sees.
func RoutedAddresses() (out []netip.Addr) {
	for _, probe := range []struct{ network, address string }{
		// Connecting a UDP socket asks for the route and sends nothing.
		{"udp4", "1.1.1.1:9"},
		{"udp6", "[2606:4700:4700::1111]:9"},
	} {
		conn, err := net.Dial(probe.network, probe.address)
		if err != nil {
			continue
		}
		ip := wire.Canonical(wire.AddrPortOf(conn.LocalAddr()).Addr())
		_ = conn.Close()
		if ip.IsGlobalUnicast() {
			out = append(out, ip)
		}
	}
	return out
}

func firstGlobalUnicast() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || i.Name == "docker0" {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			if ip, ok := netip.AddrFromSlice(n.IP); ok && wire.Canonical(ip).IsGlobalUnicast() {
				return []netip.Addr{wire.Canonical(ip)}, nil
			}
		}
	}
	return nil, errors.New("this host has no default route and no global address")
}

// familyMissing reports whether a socket could not be opened because the host has no such address family.
func familyMissing(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
