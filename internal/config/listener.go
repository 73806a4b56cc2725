package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Listener is an entry of turn.listen.
type Listener struct {
	Network string // udp, tcp, tls or dtls
	Addr    netip.AddrPort
}

func (l Listener) String() string { return l.Network + "://" + l.Addr.String() }

// parseListener reads "udp://0.0.0.0:3478". Port 0 lets the system choose.
func parseListener(s string) (Listener, error) {
	network, rest, ok := strings.Cut(s, "://")
	addr, err := netip.ParseAddrPort(rest)
	if !ok || !slices.Contains([]string{"udp", "tcp", "tls", "dtls"}, network) || err != nil {
		return Listener{}, fmt.Errorf("%q is not a listener; write it like %q or %q, with udp, tcp, tls or dtls", s, "udp://0.0.0.0:3478", "tcp://[::]:3478")
	}
	return Listener{Network: network, Addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())}, nil
}

// PortRange is inclusive at both ends.
type PortRange struct{ Min, Max uint16 }

func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.Min, r.Max) }

// parsePorts takes one port, too.
func parsePorts(s string) (PortRange, error) {
	if port, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16); err == nil && port > 0 {
		return PortRange{uint16(port), uint16(port)}, nil
	}
	return parsePortRange(s)
}

func showPorts(r PortRange) string {
	if r.Min == r.Max {
		return strconv.Itoa(int(r.Min))
	}
	return r.String()
}

func parsePortRange(s string) (PortRange, error) {
	low, high, ok := strings.Cut(s, "-")
	first, err1 := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
	last, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
	if !ok || err1 != nil || err2 != nil || first == 0 {
		return PortRange{}, fmt.Errorf("%q is not a range of ports; write it like %q", s, "49152-65535")
	}
	if first > last {
		return PortRange{}, fmt.Errorf("%q ends before it begins; write %q", s, fmt.Sprintf("%d-%d", last, first))
	}
	return PortRange{uint16(first), uint16(last)}, nil
}
