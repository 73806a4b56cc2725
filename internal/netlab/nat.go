//go:build linux

package netlab

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Kind is what stands between a host and the public segment. The old names
// (RFC 3489) are shorter; the comments say it in the words of RFC 4787.
type Kind int

const (
	// Public is no NAT at all.
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
	// UDPBlocked lets TCP out and nothing else, from ports as Symmetric has them.
	UDPBlocked
	// Only443 lets TCP to port 443 out and nothing else.
	Only443
)

func (k Kind) String() string {
	names := [...]string{"public", "full cone", "address-restricted", "port-restricted", "symmetric", "UDP blocked", "only 443"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return names[k]
}

// ruleset is what nft loads in the router of a host. Three properties of Linux are used:
//
//   - masquerade keeps the port of the one host inside, whatever the destination,
//     which is endpoint-independent mapping; told so, it takes a random one for every
//     flow, which is address and port-dependent mapping;
//   - a flow that connection tracking knows passes both ways, and nothing else
//     does: address and port-dependent filtering;
//   - a set that outbound packets fill tells which inbound packets a wider
//     filtering lets through, and those are sent to the host with dnat.
//
// What is not let in is dropped at the input hook without an answer. An answer would
// confirm the flow in connection tracking, and the host's own packet to the
// same peer, a moment later, would get another port: hole punching would fail
// by a race that real NATs of these kinds do not have.
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
