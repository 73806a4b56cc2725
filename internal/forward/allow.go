package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// localhost is the one name that may lead to this machine's loopback.
const localhost = "localhost"

// Allow lists what may be reached from here. The zero value is nothing. It is a flag, which may be repeated, and may have several entries with
// commas between them:
//
//	localhost:22       that port of this machine, by the name or by 127.0.0.1 and ::1
//	nas.lan:*          every port of that host
//	*:443, *:*         that port of every host but this machine's loopback, or all of them
//	22                 localhost:22
//	udp/localhost:53   UDP; all others are TCP
//
// A name is compared as it was asked for, before it is resolved.
type Allow []entry

type entry struct {
	udp  bool
	host string // "*": all
	port uint16 // zero: all
}

func (e entry) String() string {
	port := "*"
	if e.port != 0 {
		port = strconv.Itoa(int(e.port))
	}
	text := net.JoinHostPort(e.host, port)
	if e.udp {
		text = UDPPrefix + text
	}
	return text
}

// String lists the entries.
func (a *Allow) String() string {
	texts := make([]string, 0, len(*a))
	for _, e := range *a {
		texts = append(texts, e.String())
	}
	return strings.Join(texts, ", ")
}

// Set adds entries.
func (a *Allow) Set(value string) error {
	for field := range strings.SplitSeq(value, ",") {
		e, err := parseEntry(strings.TrimSpace(field))
		if err != nil {
			return err
		}
		if !slices.Contains(*a, e) {
			*a = append(*a, e)
		}
	}
	return nil
}

func parseEntry(text string) (e entry, err error) {
	rest, isUDP := strings.CutPrefix(text, UDPPrefix)
	if !isUDP {
		rest = strings.TrimPrefix(rest, TCPPrefix)
	}
	e.udp = isUDP
	parts, err := split(rest)
	if err != nil {
		return entry{}, err
	}
	if len(parts) == 1 { // a port alone
		if _, err := parsePort(parts[0]); err != nil {
			return entry{}, fmt.Errorf("%q is not HOST:PORT; write it like localhost:22, or localhost:* for every port", text)
		}
		parts = []string{localhost, parts[0]}
	}
	if len(parts) != 2 {
		return entry{}, fmt.Errorf("%q is not HOST:PORT; write it like localhost:22", text)
	}
	e.host = parts[0]
	if e.host != "*" {
		if e.host, err = parseHost(e.host); err != nil {
			return entry{}, err
		}
	}
	if parts[1] != "*" {
		e.port, err = parsePort(parts[1])
	}
	return e, err
}

// permits reports whether d may be reached.
func (a Allow) permits(udp bool, d Destination) bool {
	return slices.ContainsFunc(a, func(e entry) bool {
		return e.udp == udp && (e.port == 0 || e.port == d.Port) && e.covers(d.Host)
	})
}

// covers reports whether the entry speaks of a host. Every host is none whose address leads back to this machine.
func (e entry) covers(host string) bool {
	addr, err := netip.ParseAddr(host)
	isAddr := err == nil
	switch e.host {
	case host:
		return true
	case localhost:
		return isAddr && (addr == netip.IPv6Loopback() || addr == netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	case "*":
		return host != localhost && (!isAddr || isElsewhere(addr))
	}
	return false
}

// isElsewhere reports whether an address can be of another machine. Link-local ones, and some others, are those of a cloud's own services.
func isElsewhere(addr netip.Addr) bool {
	addr = inner(addr)
	switch addr.String() {
	case "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254": // Azure's, Alibaba's, Amazon's, Google's
		return false
	}
	return addr.IsValid() && !addr.IsLoopback() && !addr.IsUnspecified() && !addr.IsMulticast() && !addr.IsLinkLocalUnicast() &&
		!(addr.Is4() && addr.As4()[0] == 0) && addr != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// inner is the IPv4 address inside of an IPv6 one.
func inner(addr netip.Addr) netip.Addr {
	addr = addr.WithZone("").Unmap()
	if b := addr.As16(); addr.Is6() && slices.Equal(b[:12], make([]byte, 12)) && !addr.IsLoopback() && !addr.IsUnspecified() {
		return netip.AddrFrom4([4]byte(b[12:])) // IPv4-compatible
	} else if nat64 := []byte{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}; addr.Is6() && slices.Equal(b[:12], nat64) {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

// lookup finds the addresses of a name. It is net.Resolver's LookupNetIP.
type lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

// maxAddresses bounds how many addresses of a name are tried.
const maxAddresses = 8

// resolve returns the addresses of a host that was permitted. It is resolved once: what is judged is what is connected to. A name of somebody
// else's must not lead to what only this machine reaches.
func resolve(ctx context.Context, look lookup, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil // permitted as it stands
	}
	if host == localhost {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	addrs, err := look(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	here := 0
	usable := slices.DeleteFunc(addrs, func(addr netip.Addr) bool {
		if !isElsewhere(addr) {
			here++
			return true
		}
		return false
	})
	if len(usable) == 0 && here > 0 {
		return nil, fmt.Errorf("%s leads to an address that only this machine reaches; allow localhost or the address itself", host)
	}
	if len(usable) == 0 {
		return nil, errors.New("no such host")
	}
	return usable[:min(len(usable), maxAddresses)], nil
}

// AllowRemote lists where others may have this machine listen: [udp/][BIND:]PORT, as -R has it. PORT may be "*", every port from 1024 on.
type AllowRemote []remoteEntry

type remoteEntry struct {
	udp  bool
	bind string
	port uint16 // zero: every unprivileged one
}

func (e remoteEntry) String() string {
	text := "*"
	if e.port != 0 {
		text = strconv.Itoa(int(e.port))
	}
	if e.bind != "" {
		text = net.JoinHostPort(e.bind, text)
	}
	if e.udp {
		text = UDPPrefix + text
	}
	return text
}

// String lists the entries.
func (a *AllowRemote) String() string {
	texts := make([]string, 0, len(*a))
	for _, e := range *a {
		texts = append(texts, e.String())
	}
	return strings.Join(texts, ", ")
}

// Set adds entries.
func (a *AllowRemote) Set(value string) error {
	for field := range strings.SplitSeq(value, ",") {
		text := strings.TrimSpace(field)
		every := text == "*" || text == UDPPrefix+"*"
		rest, before := strings.CutSuffix(text, ":*")
		switch {
		case every:
			rest = strings.TrimSuffix(text, "*") + "0"
		case before:
			rest += ":0"
		}
		s, parts, err := begin(rest)
		if err == nil && len(parts) > 2 {
			err = fmt.Errorf("%q is not [BIND:]PORT, such as 8080", text)
		}
		if err == nil {
			err = s.listens(parts)
		}
		if err == nil && s.Port == 0 && !every && !before {
			err = fmt.Errorf("%q has no port; write a number, or \"*\" for every one from 1024 on", text)
		}
		if err != nil {
			return err
		}
		*a = append(*a, remoteEntry{s.UDP, s.Bind, s.Port})
	}
	return nil
}

// permits reports whether somebody may have this machine listen there.
func (a AllowRemote) permits(s Spec) bool {
	return slices.ContainsFunc(a, func(e remoteEntry) bool {
		return e.udp == s.UDP && (e.bind == "*" || e.bind == s.Bind) && (e.port == s.Port && s.Port != 0 || e.port == 0 && (s.Port == 0 || s.Port >= 1024))
	})
}

// resolver is resolve, or ownNetwork.
type resolver func(ctx context.Context, look lookup, host string) ([]netip.Addr, error)

// ownNetwork resolves a host that this machine's own user has named: it may lead anywhere.
func ownNetwork(ctx context.Context, look lookup, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := look(ctx, "ip", host)
	return addrs[:min(len(addrs), maxAddresses)], err
}
