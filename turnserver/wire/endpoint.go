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

func EndpointOf(ap netip.AddrPort) Endpoint {
	return Endpoint{IP: ap.Addr().As16(), Port: ap.Port()}
}

// mappedPrefix begins the IPv4-mapped form.
var mappedPrefix = [12]byte{10: 0xFF, 11: 0xFF}

func (e *Endpoint) Is4() bool { return [12]byte(e.IP[:12]) == mappedPrefix }

func (e Endpoint) Family() Family {
	if e.Is4() {
		return IPv4
	}
	return IPv6
}

func (e Endpoint) Addr() netip.Addr         { return netip.AddrFrom16(e.IP).Unmap() }
func (e Endpoint) AddrPort() netip.AddrPort { return netip.AddrPortFrom(e.Addr(), e.Port) }

// Protocol is the transport between client and server, the fifth part of a five-tuple.
type Protocol uint8

const (
	UDP Protocol = iota + 1
	TCP
	TLS
	DTLS
	ProtocolCount
)

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

// FiveTuple names an allocation (RFC 8656 §3.2). local is the address that the client sent to, which on a listener with an
// unspecified address is not the listener's own.
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

func Unmapped(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// WithoutZone is the address as a five-tuple holds it.
func WithoutZone(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().WithZone(""), ap.Port())
}
