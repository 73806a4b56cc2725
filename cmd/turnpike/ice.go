package main

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"turnpike/auth"
	"turnpike/signal/wire"
	"turnpike/turnserver"
)

// iceServers makes the iceServers of RTCPeerConnection for whoever asks. It is not changed once made.
type iceServers struct {
	publicHost string                // empty: the host that the client reached us by
	open       []turnserver.Listener // those really open, ports resolved
	relays     []netip.Addr          // local addresses that we relay from
}

// list returns a STUN and a TURN server for the client of r. Each address has both, over what is open: one UDP and one
// TCP listener, the first of each that the client can reach.
func (s *iceServers) list(r *http.Request, cred auth.Credential) []wire.ICEServer {
	var stun, turn []string
	for _, network := range []string{"udp", "tcp"} {
		hostport := s.reach(network, hostOnly(r.Host))
		if hostport == "" {
			continue
		}
		if network == "udp" {
			stun = append(stun, "stun:"+hostport)
		}
		turn = append(turn, "turn:"+hostport+"?transport="+network)
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

// reach returns the host and port of the first listener of network that a client can use, which came to us by host; it is
// empty if there is none.
func (s *iceServers) reach(network, host string) string {
	if s.publicHost != "" {
		host = s.publicHost
	}
	for _, l := range s.open {
		if l.Network != network {
			continue
		}
		if h := s.hostFor(l.Addr.Addr(), host); h != "" {
			return net.JoinHostPort(h, strconv.Itoa(int(l.Addr.Port())))
		}
	}
	return ""
}

// hostFor returns the host by which a client that reached us by host reaches a listener on addr, empty if it cannot. A
// client on this machine gets an address of the network instead of a loopback one: its browser's ICE sockets are bound
// to the network's addresses, and those cannot send to 127.0.0.1.
func (s *iceServers) hostFor(addr netip.Addr, host string) string {
	if s.publicHost == "" && (host == "" || loopbackHost(host)) {
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
	if addr.IsLoopback() && (err != nil || !literal.Unmap().IsLoopback()) {
		return "" // open to this machine only, and the client came from elsewhere
	}
	return host
}
