package turnserver

import (
	"net/netip"

	"turnpike/turnserver/udpio"
	"turnpike/turnserver/wire"
)

// relaySet is the relay addresses of a server at one time. It is replaced, and never changed.
type relaySet struct {
	udp, tcp []*relayAddress // the same addresses; those without TCP relaying have no tcp
}

// of returns the relay addresses of a transport.
func (s *relaySet) of(tcp bool) []*relayAddress {
	if tcp {
		return s.tcp
	}
	return s.udp
}

// offered returns the addresses of a family that new allocations may have relayed addresses at.
func (s *relaySet) offered(tcp bool, family wire.Family) (out []*relayAddress) {
	for _, r := range s.of(tcp) {
		if r.fits(family) {
			out = append(out, r)
		}
	}
	return out
}

// relaysTCP reports whether the server relays TCP.
func (s *Server) relaysTCP() bool { return udpio.PortSharing && !s.cfg.NoTCPRelaying }

// newRelaySet makes the relay addresses of Config.
func (s *Server) newRelaySet() *relaySet {
	set := new(relaySet)
	for _, r := range s.cfg.Relay {
		set.udp = append(set.udp, newRelayAddress("udp", r, s.cfg.MinPort, s.cfg.MaxPort))
		if s.relaysTCP() {
			set.tcp = append(set.tcp, newRelayAddress("tcp", r, s.cfg.MinPort, s.cfg.MaxPort))
		}
	}
	return set
}

// isRelayAddress reports whether ip is the local or external form of a relay address.
func (s *Server) isRelayAddress(ip netip.Addr) bool {
	return relayAddressOf(s.relays.Load().udp, ip) != nil
}
