package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// DiscoveryPair is two addresses of a family and two ports, by which a client finds out what NAT it is behind.
type DiscoveryPair struct {
	Local    [2]netip.Addr
	External [2]netip.Addr // as the world sees them: equal to Local unless a 1:1 NAT stands in front
	Ports    [2]uint16
}

// discovery returns a pair for each family that has two addresses, or says why two addresses make no pair.
func (c *Config) discovery() (pairs []DiscoveryPair, bad []error) {
	port := c.TURN.NATDiscoveryPort
	if port == 0 {
		return nil, nil
	}
	const name = "turn.nat_discovery_port"
	if port > 65535 {
		return nil, []error{c.Errorf(name, "%d is not a port; use one like 3479, or 0 for none", port)}
	}
	for _, is4 := range []bool{true, false} {
		pair, err := c.discoveryPair(is4)
		switch {
		case err != nil:
			bad = append(bad, err)
		case pair != nil:
			pairs = append(pairs, *pair)
		}
	}
	if len(pairs) == 0 && len(bad) == 0 {
		bad = append(bad, c.Errorf(name, `needs two addresses of this machine in turn.listen, of one family and with the same port; `+
			`write them out instead of 0.0.0.0 or [::], like turn.listen = ["udp://203.0.113.9:3478", "udp://203.0.113.10:3478", "tcp://203.0.113.9:3478"], or set it to 0`))
	}
	return pairs, bad
}

// discoveryPair makes a pair of the UDP listeners of a family. Fewer than two make none.
func (c *Config) discoveryPair(is4 bool) (*DiscoveryPair, error) {
	type entry struct {
		index int
		addr  netip.AddrPort
	}
	var found []entry
	for i, l := range c.TURN.Listen {
		if l.Network == "udp" && l.Addr.Addr().Is4() == is4 {
			found = append(found, entry{i, l.Addr})
		}
	}
	if len(found) < 2 {
		return nil, nil
	}
	refuse := func(e entry, format string, args ...any) error {
		return c.Errorf(fmt.Sprintf("turn.listen[%d]", e.index), "%q "+format, append([]any{"udp://" + e.addr.String()}, args...)...)
	}
	for i, e := range found {
		switch {
		case e.addr.Addr().IsUnspecified():
			return nil, refuse(e, "stands for every address, and turn.nat_discovery_port needs two in particular; write out two of this machine")
		case i == 2:
			return nil, refuse(e, "is the third UDP listener of its family, and turn.nat_discovery_port needs exactly two; remove one")
		case e.addr.Port() == 0:
			return nil, refuse(e, "has no port of its own, which turn.nat_discovery_port needs; write one, like 3478")
		case int(e.addr.Port()) == c.TURN.NATDiscoveryPort:
			return nil, refuse(e, "has the port of turn.nat_discovery_port, which must be another; choose another there, like 3479")
		}
	}
	first, second := found[0].addr, found[1].addr
	switch {
	case first.Addr() == second.Addr():
		return nil, refuse(found[1], "has the address of %q, and turn.nat_discovery_port needs two; write another address of this machine", "udp://"+first.String())
	case first.Port() != second.Port():
		return nil, refuse(found[1], "has another port than %q, and turn.nat_discovery_port needs the same on both; write %d", "udp://"+first.String(), first.Port())
	}
	pair := &DiscoveryPair{
		Local: [2]netip.Addr{first.Addr(), second.Addr()}, External: [2]netip.Addr{first.Addr(), second.Addr()},
		Ports: [2]uint16{first.Port(), uint16(c.TURN.NATDiscoveryPort)},
	}
	return pair, c.discoveryExternal(pair)
}

// discoveryExternal sets the external addresses of a pair behind a 1:1 NAT. Both addresses must have one, or neither.
func (c *Config) discoveryExternal(pair *DiscoveryPair) error {
	const key = "turn.external_addresses"
	for i, local := range pair.Local {
		if name, ok := c.TURN.ExternalNames[local]; ok {
			return c.Errorf(key, "has the name %q for %q, and turn.nat_discovery_port needs an address that stays; write it instead", name, local)
		}
		if external, ok := c.TURN.ExternalAddresses[local]; ok {
			pair.External[i] = external
		}
	}
	for i, local := range pair.Local {
		if _, ok := c.TURN.ExternalAddresses[local]; !ok && pair.External[1-i] != pair.Local[1-i] {
			return c.Errorf(key, "has %q, but not %q, which turn.nat_discovery_port tells clients too; write the address that the world sees instead of it", pair.Local[1-i], local)
		}
	}
	if pair.External[0] == pair.External[1] {
		return c.Errorf(key, "has %q for both %q and %q, and turn.nat_discovery_port needs two; write another for one of them",
			pair.External[0], pair.Local[0], pair.Local[1])
	}
	return nil
}

// Discovery returns the pairs of addresses that turn.nat_discovery_port serves.
func (c *Config) Discovery() []DiscoveryPair {
	pairs, _ := c.discovery() // Load has refused bad ones
	return pairs
}

// DiscoveryListeners returns the listeners that turn.nat_discovery_port opens besides turn.listen.
func (c *Config) DiscoveryListeners() (out []Listener) {
	for _, p := range c.Discovery() {
		for _, local := range p.Local {
			out = append(out, Listener{Network: "udp", Addr: netip.AddrPortFrom(local, p.Ports[1])})
		}
	}
	return out
}

// InDiscovery reports whether turn.nat_discovery_port may tell clients of a local address.
func (c *Config) InDiscovery(local netip.Addr) bool {
	return c.TURN.NATDiscoveryPort != 0 && slices.ContainsFunc(c.TURN.Listen, func(l Listener) bool {
		return l.Network == "udp" && l.Addr.Addr() == local
	})
}
