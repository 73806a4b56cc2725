package forward

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxHost is the greatest length of a host name, as DNS has it.
const maxHost = 253

// Destination is a host and a port. The host is a name in lower case, or an address in its canonical form.
type Destination struct {
	Host string
	Port uint16
}

// String is HOST:PORT, with the brackets of IPv6.
func (d Destination) String() string { return net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port))) }

// ParseDestination reads HOST:PORT. IPv6 needs brackets.
func ParseDestination(text string) (Destination, error) {
	parts, err := split(text)
	if err != nil {
		return Destination{}, err
	}
	if len(parts) != 2 {
		return Destination{}, fmt.Errorf("%q is not HOST:PORT", text)
	}
	return destination(parts[0], parts[1])
}

func destination(host, port string) (d Destination, err error) {
	if d.Host, err = parseHost(host); err != nil {
		return Destination{}, err
	}
	d.Port, err = parsePort(port)
	return d, err
}

// Spec is one forward: where its listener is, and where to connections go.
type Spec struct {
	UDP  bool
	Bind string // an address or a name; "" is this machine alone, "*" is every interface
	Port uint16 // zero is any free one
	To   Destination
}

// ParseSpec reads [udp/][BIND:]PORT:HOST:PORT, as ssh's -L and -R have it.
func ParseSpec(text string) (Spec, error) {
	s, parts, err := begin(text)
	if err != nil {
		return Spec{}, err
	}
	if len(parts) < 3 || len(parts) > 4 {
		return Spec{}, fmt.Errorf("%q is not [BIND:]PORT:HOST:PORT, such as 8080:localhost:80", text)
	}
	if err := s.listens(parts[:len(parts)-2]); err != nil {
		return Spec{}, err
	}
	s.To, err = destination(parts[len(parts)-2], parts[len(parts)-1])
	return s, err
}

// ParseDynamic reads [BIND:]PORT, as ssh's -D has it.
func ParseDynamic(text string) (Spec, error) {
	s, parts, err := begin(text)
	switch {
	case err != nil:
		return Spec{}, err
	case s.UDP:
		return Spec{}, errors.New("SOCKS5 listens on TCP, and carries UDP for programs that ask for it; leave out udp/")
	case len(parts) > 2:
		return Spec{}, fmt.Errorf("%q is not [BIND:]PORT, such as 1080", text)
	}
	return s, s.listens(parts)
}

// begin splits a specification at its colons.
func begin(text string) (s Spec, parts []string, err error) {
	rest, isUDP := strings.CutPrefix(text, UDPPrefix)
	s.UDP = isUDP
	if !isUDP {
		rest = strings.TrimPrefix(rest, TCPPrefix)
	}
	if strings.Contains(rest, "/") {
		return Spec{}, nil, fmt.Errorf("%q has a path in it; only TCP and udp/ ports can be forwarded", text)
	}
	parts, err = split(rest)
	return s, parts, err
}

// listens reads [BIND:]PORT.
func (s *Spec) listens(parts []string) (err error) {
	port := parts[0]
	if len(parts) == 2 {
		if s.Bind, err = parseBind(parts[0]); err != nil {
			return err
		}
		port = parts[1]
	}
	if port == "0" {
		return nil
	}
	s.Port, err = parsePort(port)
	return err
}

// parseBind reads the address of a listener. As with ssh, an empty one before a colon is every interface.
func parseBind(text string) (string, error) {
	switch text {
	case "", "*":
		return "*", nil
	case "localhost", "127.0.0.1":
		return "", nil
	}
	return parseHost(text)
}

// Listen is the address to listen on, for package net.
func (s Spec) Listen() string { return net.JoinHostPort(bindHost(s.Bind), strconv.Itoa(int(s.Port))) }

func bindHost(bind string) string {
	switch bind {
	case "":
		return "127.0.0.1"
	case "*":
		return ""
	}
	return bind
}

// split splits at the colons that are not in brackets, and takes the brackets away.
func split(text string) (parts []string, err error) {
	for rest := text; ; {
		part, after, more := "", "", false
		if inner, ok := strings.CutPrefix(rest, "["); ok {
			if part, after, ok = strings.Cut(inner, "]"); !ok {
				return nil, fmt.Errorf("%q has a bracket that does not end", text)
			}
			if addr, err := netip.ParseAddr(part); err != nil || !addr.Is6() {
				return nil, fmt.Errorf("%q has something in brackets that is no IPv6 address", text)
			}
			if after != "" && after[0] != ':' {
				return nil, fmt.Errorf("%q has something between a bracket and a colon", text)
			}
			after, more = strings.CutPrefix(after, ":")
		} else {
			part, after, more = strings.Cut(rest, ":")
		}
		parts = append(parts, part)
		switch {
		case len(parts) > 4:
			return nil, fmt.Errorf("%q has too many colons; IPv6 addresses need brackets: [::1]:80", text)
		case !more:
			return parts, nil
		}
		rest = after
	}
}

// parseHost returns a name or an address in the form that is compared.
func parseHost(text string) (string, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Unmap().String(), nil
	}
	host := strings.ToLower(strings.TrimSuffix(text, "."))
	if host == "" || len(host) > maxHost {
		return "", fmt.Errorf("%q is no host; write a name or an address", text)
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", fmt.Errorf("%q is no host; write a name or an address", text)
		}
	}
	// Resolvers of systems take 127.1, 0x7f000001 and 017700000001 for addresses: two spellings of one host would be compared as two.
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return "", fmt.Errorf("%q is neither a name nor an address in its usual form", text)
	}
	return host, nil
}

func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%q is no port; write a number from 1 to 65535", text)
	}
	return uint16(port), nil
}
