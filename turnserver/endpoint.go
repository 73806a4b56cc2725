package turnserver

import (
	"net"
	"net/netip"
)

// endpoint is an IP address and a port as plain bytes, so that flow keys hash fast and hold no pointers.
// IPv4 addresses stand in their IPv4-mapped form. Zones are not kept: no relayed flow is link-local.
type endpoint struct {
	ip   [16]byte
	port uint16
}

func endpointOf(ap netip.AddrPort) endpoint {
	return endpoint{ip: ap.Addr().As16(), port: ap.Port()}
}

// mappedPrefix begins the IPv4-mapped form.
var mappedPrefix = [12]byte{10: 0xFF, 11: 0xFF}

func (e *endpoint) is4() bool { return [12]byte(e.ip[:12]) == mappedPrefix }

func (e endpoint) family() family {
	if e.is4() {
		return familyIPv4
	}
	return familyIPv6
}

func (e endpoint) addr() netip.Addr         { return netip.AddrFrom16(e.ip).Unmap() }
func (e endpoint) addrPort() netip.AddrPort { return netip.AddrPortFrom(e.addr(), e.port) }

// protocol is the transport between client and server, the fifth part of a five-tuple.
type protocol uint8

const (
	protoUDP protocol = iota + 1
	protoTCP
	protoTLS
	protoDTLS
	protoCount
)

func protocols() []protocol { return []protocol{protoUDP, protoTCP, protoTLS, protoDTLS} }

func (p protocol) String() string {
	switch p {
	case protoUDP:
		return "udp"
	case protoTCP:
		return "tcp"
	case protoTLS:
		return "tls"
	case protoDTLS:
		return "dtls"
	default:
		return "unknown"
	}
}

// secured reports whether the transport is TLS or DTLS.
func (p protocol) secured() bool { return p == protoTLS || p == protoDTLS }

// fiveTuple names an allocation (RFC 8656 §3.2). local is the address that the client sent to, which on a listener with an
// unspecified address is not the listener's own.
type fiveTuple struct {
	client, local endpoint
	proto         protocol
}

// canonical gives an address the one form in which addresses are compared: IPv4-mapped unwrapped, no zone.
func canonical(ip netip.Addr) netip.Addr {
	return ip.Unmap().WithZone("")
}

// addrPortOf takes the address out of what package net reports.
func addrPortOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.UDPAddr:
		return unmapped(a.AddrPort())
	case *net.TCPAddr:
		return unmapped(a.AddrPort())
	default:
		ap, err := netip.ParseAddrPort(a.String())
		if err != nil {
			return netip.AddrPort{}
		}
		return unmapped(ap)
	}
}

func unmapped(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
