//go:build linux

package netlab

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Kind is the NAT or firewall between a host and the public segment. The names
// are the short old ones of RFC 3489; the comments use the terms of RFC 4787.
type Kind int

const (
	// Public has no NAT.
	Public Kind = iota
	// FullCone: endpoint-independent mapping, endpoint-independent filtering.
	FullCone
	// AddressRestricted: endpoint-independent mapping, address-dependent filtering.
	AddressRestricted
	// PortRestricted: endpoint-independent mapping, address and port-dependent filtering.
	PortRestricted
	// Symmetric: address and port-dependent mapping with random ports, address
	// and port-dependent filtering.
	Symmetric
	// UDPBlocked lets only TCP out. It maps ports as Symmetric does.
	UDPBlocked
	// Only443 lets only TCP to port 443 out. It maps ports as Symmetric does.
	Only443
	// CGNAT is PortRestricted at home, behind a carrier's NAT that is Symmetric: see [Lab.Carrier].
	CGNAT
	// IPv6Only has no NAT, and no IPv4.
	IPv6Only
)

func (k Kind) String() string {
	names := [...]string{"public", "full cone", "address-restricted", "port-restricted", "symmetric", "UDP blocked", "only 443", "CGNAT", "IPv6 only"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return names[k]
}

// ruleset returns the rules that nft loads in the router of a host. They use three
// properties of Linux:
//
//   - By default masquerade keeps the port of the one host inside, whatever the
//     destination: endpoint-independent mapping. With the flag random it takes a
//     random port for every flow: address and port-dependent mapping.
//   - Only a flow that connection tracking knows passes, both ways: address and
//     port-dependent filtering.
//   - Outbound packets fill a set, which tells the inbound packets that a wider
//     filtering lets through. The rule for them sends them to the host with dnat.
//
// The input hook drops all other inbound packets without an answer. An answer would
// confirm the flow in connection tracking, and the host's next packet to the same
// peer would get another port. Hole punching would then fail by a race that real
// NATs of these kinds do not have.
func ruleset(kind Kind, host netip.Addr) string {
	// A mapping lives for at least two minutes after the last packet out (RFC 4787 REQ-5).
	const timeout = "timeout 2m;"
	var set, fill, admit string
	masquerade, out := "masquerade", "accept"
	switch kind {
	case FullCone:
		set = "set mapped { type inet_service; flags dynamic,timeout; " + timeout + " }"
		fill = `iifname "lan" oifname "wan" meta l4proto udp update @mapped { udp sport }`
		admit = "udp dport @mapped"
	case AddressRestricted:
		set = "set mapped { type ipv4_addr . inet_service; flags dynamic,timeout; " + timeout + " }"
		fill = `iifname "lan" oifname "wan" meta l4proto udp update @mapped { ip daddr . udp sport }`
		admit = "ip saddr . udp dport @mapped"
	case PortRestricted:
	case Symmetric:
		masquerade = "masquerade random,fully-random"
	case UDPBlocked:
		masquerade = "masquerade random,fully-random"
		out = "meta l4proto tcp accept"
	case Only443:
		masquerade = "masquerade random,fully-random"
		out = "tcp dport 443 accept"
	}
	if admit != "" {
		admit = fmt.Sprintf(`iifname "wan" %s dnat to %s`, admit, host)
	}
	return strings.NewReplacer(
		"SET", set, "FILL", fill, "ADMIT", admit, "MASQUERADE", masquerade, "OUT", out,
	).Replace(`
table ip lab {
	SET
	chain inbound {
		type nat hook prerouting priority dstnat
		ADMIT
	}
	chain outbound {
		type nat hook postrouting priority srcnat
		oifname "wan" MASQUERADE
	}
	chain itself {
		type filter hook input priority filter; policy drop
		iifname { "lo", "lan" } accept
	}
	chain through {
		type filter hook forward priority filter; policy drop
		FILL
		ct state established,related accept
		ct status dnat accept
		iifname "lan" oifname "wan" OUT
	}
}
`)
}
