package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
)

// LocalPort is a port of this server: of a listener in turn.listen or http.listen.
type LocalPort struct {
	Network string // udp, tcp, tls or dtls
	Port    uint16
}

func (p LocalPort) String() string { return p.Network + ":" + strconv.Itoa(int(p.Port)) }

func (p LocalPort) compare(q LocalPort) int {
	return cmp.Or(int(p.Port)-int(q.Port), strings.Compare(p.Network, q.Network))
}

func parseLocalPort(s string) (LocalPort, error) {
	network, port, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || n == 0 || !slices.Contains([]string{"udp", "tcp", "tls", "dtls"}, network) {
		return LocalPort{}, fmt.Errorf("%q is not a port of this server; write it like %q, with udp, tcp, tls or dtls", s, "udp:3478")
	}
	return LocalPort{network, uint16(n)}, nil
}

// portPairs is a table from a port of this server to the one that clients reach it by; a variable or a flag writes
// udp:3478=13478,tcp:3478=13478.
type portPairs struct{ p *map[LocalPort]uint16 }

func (portPairs) several() {}

func (v portPairs) fromTOML(raw any) error {
	table, ok := raw.(map[string]any)
	if !ok {
		return fmt.Errorf(`%v is not a table; write it like { "udp:3478" = 13478 }`, quoteIfString(raw))
	}
	words := make(map[string]string, len(table))
	for local, public := range table {
		n, ok := public.(int64)
		if !ok {
			return &partError{"." + quote(local), fmt.Errorf("%v is not a port; write it like 13478, without quotes", quoteIfString(public))}
		}
		words[local] = strconv.FormatInt(n, 10)
	}
	return v.set(words)
}

func (v portPairs) fromText(s string) error {
	pairs := make(map[string]string)
	for _, pair := range splitList(s) {
		local, public, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q has no \"=\"; write it like udp:3478=13478", pair)
		}
		pairs[strings.TrimSpace(local)] = strings.TrimSpace(public)
	}
	return v.set(pairs)
}

func (v portPairs) set(pairs map[string]string) error {
	out := make(map[LocalPort]uint16, len(pairs))
	for _, word := range slices.Sorted(maps.Keys(pairs)) {
		local, err := parseLocalPort(word)
		if err != nil {
			return &partError{"." + quote(word), err}
		}
		public, err := strconv.ParseUint(pairs[word], 10, 16)
		if err != nil || public == 0 {
			return &partError{"." + quote(word), fmt.Errorf("%s is not a port; use one from 1 to 65535", pairs[word])}
		}
		out[local] = uint16(public)
	}
	*v.p = out
	return nil
}

func (v portPairs) String() string {
	pairs := make([]string, 0, len(*v.p))
	for _, local := range slices.SortedFunc(maps.Keys(*v.p), LocalPort.compare) {
		pairs = append(pairs, fmt.Sprintf("%q = %d", local, (*v.p)[local]))
	}
	if len(pairs) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(pairs, ", ") + " }"
}

// PublicPort returns the port by which clients from elsewhere reach a listener.
func (c *Config) PublicPort(network string, port uint16) uint16 {
	return cmp.Or(c.TURN.PublicPorts[LocalPort{network, port}], port)
}

// webNetwork is the network of the http listeners.
func (c *Config) webNetwork() string {
	if c.TLS.Mode == TLSOff {
		return "tcp"
	}
	return "tls"
}

// checkPublicPorts refuses ports that are none of this server's.
func (c *Config) checkPublicPorts() (bad []error) {
	has := map[LocalPort]bool{}
	for _, l := range c.TURN.Listen {
		has[LocalPort{l.Network, l.Addr.Port()}] = true
	}
	for _, addr := range c.HTTP.Listen {
		_, port, _ := net.SplitHostPort(addr)
		if local, err := parseLocalPort(c.webNetwork() + ":" + port); err == nil {
			has[local] = true
		}
	}
	for _, local := range slices.SortedFunc(maps.Keys(c.TURN.PublicPorts), LocalPort.compare) {
		switch name := "turn.public_ports." + quote(local.String()); {
		case !has[local]:
			bad = append(bad, c.publicPortError(name, "is no port of turn.listen or http.listen; write the port of this server on the left, and the one that clients reach it by on the right"))
		case local.Network == "udp" && c.TURN.NATDiscoveryPort != 0:
			bad = append(bad, c.publicPortError(name, "is another port outside, but turn.nat_discovery_port needs the same ports there; map them to the same, or set it to 0"))
		}
	}
	return bad
}

func (c *Config) publicPortError(name, problem string) error {
	return &keyError{source: c.sources["turn.public_ports"], key: name, err: fmt.Errorf("%s", problem)}
}
