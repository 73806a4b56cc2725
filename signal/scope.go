package signal

import (
	"net/netip"
	"slices"
	"strings"

	"turnpike/signal/wire"
)

// maxScope bounds the addresses that a session's relays may reach.
const maxScope = 64

// scope is the set of addresses that a session's room mates have signalled as their candidates. The session's TURN
// credential may reach them, at any port, besides live relayed addresses: a peer behind a symmetric NAT comes from
// ports that nobody signalled. Guarded by Server.mu.
type scope struct{ addrs []netip.Addr }

// note adds addresses and reports how many did not fit.
func (sc *scope) note(addrs []netip.Addr) (ignored int) {
	for _, addr := range addrs {
		switch {
		case slices.Contains(sc.addrs, addr):
		case len(sc.addrs) < maxScope:
			sc.addrs = append(sc.addrs, addr)
		default:
			ignored++
		}
	}
	return ignored
}

// MayRelay reports whether the relays of a session may send to ip. It stays true after the mate that signalled ip has
// left, and after the session's connection was lost: clients refresh all permissions in one request, which is granted
// or denied as a whole. A bye ends it.
func (srv *Server) MayRelay(session string, ip netip.Addr) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	sc := srv.lingering.values[session]
	if s := srv.sessions[session]; s != nil {
		sc = s.scope
	}
	return slices.Contains(sc.addrs, ip.Unmap())
}

// SessionLive reports whether a session may still make allocations.
func (srv *Server) SessionLive(session string) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.sessions[session] != nil
}

// payloadAddrs finds the addresses of the candidates in a signal, and counts the candidates that have host names.
func payloadAddrs(p *wire.Payload) (addrs []netip.Addr, names int) {
	for text := range p.Texts() {
		more, hosts := candidateAddrs(text)
		addrs, names = append(addrs, more...), names+hosts
	}
	return addrs, names
}

// candidateAddrs finds the connection addresses, in canonical form, of the candidates in text, which is an SDP or one
// candidate attribute. It counts host names, mostly of mDNS: they grant nothing.
func candidateAddrs(text string) (addrs []netip.Addr, names int) {
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(line, "a=")
		if !strings.HasPrefix(line, "candidate:") {
			continue
		}
		// RFC 8839 §5.1: foundation component transport priority address port ...
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		addr, err := netip.ParseAddr(fields[4])
		if err != nil || addr.Zone() != "" {
			names++
			continue
		}
		addrs = append(addrs, addr.Unmap())
	}
	return addrs, names
}
