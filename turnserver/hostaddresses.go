package turnserver

import (
	"errors"
	"net"
	"net/netip"
	"syscall"

	"turnpike/turnserver/peerpolicy"
	"turnpike/turnserver/wire"
)

// readOwnHost lists the addresses of this host's interfaces. A relay reaches nothing there but live relayed addresses:
// other programs on this host may trust connections from it.
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
	s.ownHost.Store(&own)
}

// isOwnHost reports whether ip, or an IPv4 address inside it, is one of this host's.
func (s *Server) isOwnHost(ip netip.Addr) bool { return s.ownHost.Load().Reaches(ip) }

// DefaultRelayAddresses returns the source address of the default route, for each address family: the address that the
// world sees. Without a default route it falls back to the first global unicast address of an interface that is up.
func DefaultRelayAddresses() ([]netip.Addr, error) {
	var out []netip.Addr
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
	if len(out) > 0 {
		return out, nil
	}
	return firstGlobalUnicast()
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
