package wire

import (
	"net"
	"net/netip"
)

// Endpoint is an IP address and a port as plain bytes, so that flow keys hash fast and hold no pointers.
// IPv4 addresses stand in their IPv4-mapped form. Zones are not kept: no relayed flow is link-local.
type Endpoint struct {
	IP   [16]byte
	Port uint16
}

// EndpointOf is an address without its zone.
func EndpointOf(ap netip.AddrPort) Endpoint {
	return Endpoint{IP: ap.Addr().As16(), Port: ap.Port()}
}

// mappedPrefix begins the IPv4-mapped form.
var mappedPrefix = [12]byte{10: 0xFF, 11: 0xFF}

// Is4 reports whether e is an IPv4 address.
func (e *Endpoint) Is4() bool { return [12]byte(e.IP[:12]) == mappedPrefix }

// Family is the address family of e.
func (e Endpoint) Family() Family {
	if e.Is4() {
		return IPv4
	}
	return IPv6
}

// Addr is the IP address of e, not IPv4-mapped.
func (e Endpoint) Addr() netip.Addr { return netip.AddrFrom16(e.IP).Unmap() }

// AddrPort is e, not IPv4-mapped.
func (e Endpoint) AddrPort() netip.AddrPort { return netip.AddrPortFrom(e.Addr(), e.Port) }

// Protocol is the transport between client and server, the fifth part of a five-tuple.
type Protocol uint8

// The transports. ProtocolCount is one more than the last.
const (
	UDP Protocol = iota + 1
	TCP
	TLS
	DTLS
	ProtocolCount
)

// Protocols lists the transports.
func Protocols() []Protocol { return []Protocol{UDP, TCP, TLS, DTLS} }

func (p Protocol) String() string {
	switch p {
	case UDP:
		return "udp"
	case TCP:
		return "tcp"
	case TLS:
		return "tls"
	case DTLS:
		return "dtls"
	default:
		return "unknown"
	}
}

// Secured reports whether the transport is TLS or DTLS.
func (p Protocol) Secured() bool { return p == TLS || p == DTLS }

// FiveTuple names an allocation (RFC 8656 §3.2). Local is the address that the client sent to, and not the listener's
// own where that is unspecified.
type FiveTuple struct {
	Client, Local Endpoint
	Protocol      Protocol
}

// Canonical gives an address the one form in which addresses are compared: IPv4-mapped unwrapped, no zone.
func Canonical(ip netip.Addr) netip.Addr {
	return ip.Unmap().WithZone("")
}

// AddrPortOf takes the address out of what package net reports.
func AddrPortOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.UDPAddr:
		return Unmapped(a.AddrPort())
	case *net.TCPAddr:
		return Unmapped(a.AddrPort())
	default:
		ap, err := netip.ParseAddrPort(a.String())
		if err != nil {
			return netip.AddrPort{}
		}
		return Unmapped(ap)
	}
}

// Unmapped is the address with IPv4-mapped unwrapped.
func Unmapped(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// WithoutZone is the address as a five-tuple holds it.
func WithoutZone(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().WithZone(""), ap.Port())
}
