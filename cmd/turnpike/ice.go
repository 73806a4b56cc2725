package main

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"turnpike/auth"
	"turnpike/internal/config"
	"turnpike/signal/wire"
	"turnpike/turnserver"
)

// iceServers makes the iceServers of RTCPeerConnection for whoever asks. It is not changed once made.
type iceServers struct {
	publicHost string                // empty: the host that the client reached us by
	open       []turnserver.Listener // those really open, ports resolved
	web        []turnserver.Listener // http listeners on which TURN is spoken too: "tcp" or "tls"
	relays     []netip.Addr          // local addresses that we relay from
}

// list returns a STUN and a TURN server for a client that reached us by host, a Host header: one address for each way that there is, since browsers try all and
// complain of more than four. UDP, TCP, and for networks that let nothing else out TLS, on port 443 if we are there. DTLS is
// not among them, as no browser speaks it.
func (s *iceServers) list(host string, cred auth.Credential) []wire.ICEServer {
	host = hostOnly(host)
	var stun, turn []string
	if udp := s.reach(s.open, "udp", host); len(udp) > 0 {
		stun = append(stun, "stun:"+udp[0])
		turn = append(turn, "turn:"+udp[0]+"?transport=udp")
	}
	if tcp := append(s.reach(s.open, "tcp", host), s.reach(s.web, "tcp", host)...); len(tcp) > 0 {
		turn = append(turn, "turn:"+tcp[0]+"?transport=tcp")
	}
	if tls := append(s.reach(s.web, "tls", host), s.reach(s.open, "tls", host)...); len(tls) > 0 {
		best := max(0, slices.IndexFunc(tls, func(hostport string) bool { return strings.HasSuffix(hostport, ":443") }))
		turn = append(turn, "turns:"+tls[best]+"?transport=tcp")
	}
	servers := make([]wire.ICEServer, 0, 2)
	if len(stun) > 0 {
		servers = append(servers, wire.ICEServer{URLs: stun})
	}
	if len(turn) > 0 {
		servers = append(servers, wire.ICEServer{URLs: turn, Username: cred.Username, Credential: cred.Password})
	}
	return servers
}

// reach returns the host and port of each listener of network that a client can use, which came to us by host.
func (s *iceServers) reach(listeners []turnserver.Listener, network, host string) (out []string) {
	if s.publicHost != "" {
		host = s.publicHost
	}
	for _, l := range listeners {
		if l.Network != network {
			continue
		}
		h := s.hostFor(l.Addr.Addr(), host)
		if h == "" || network == "tls" && h != host { // the certificate is for host
			continue
		}
		out = append(out, net.JoinHostPort(h, strconv.Itoa(int(l.Addr.Port()))))
	}
	return out
}

// hostFor returns the host by which a client that reached us by host reaches a listener on addr, empty if it cannot. A
// client on this machine gets an address of the network instead of a loopback one: its browser's ICE sockets are bound
// to the network's addresses, and those cannot send to 127.0.0.1.
func (s *iceServers) hostFor(addr netip.Addr, host string) string {
	if s.publicHost == "" && (host == "" || config.LoopbackHost(host)) {
		if !addr.IsUnspecified() {
			return addr.String()
		}
		for _, relay := range s.relays {
			if relay.Is4() == addr.Is4() {
				return relay.String()
			}
		}
		return ""
	}
	literal, err := netip.ParseAddr(host)
	if err == nil && literal.Unmap().Is4() != addr.Is4() {
		return "" // the address is of one family and the listener of the other
	}
	if addr.IsLoopback() && !config.LoopbackHost(host) {
		return "" // open to this machine only, and the client came from elsewhere
	}
	return host
}
