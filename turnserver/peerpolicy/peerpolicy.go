// Package peerpolicy says which addresses a relay may send to. It is the same for every user.
//
// An address has many forms: IPv4-mapped, or carried inside an IPv6 address that a gateway unpacks. So Judge first
// brings an address into its canonical form, and then judges it and every IPv4 address inside it: by the prefixes that
// the operator denies, by those that the operator allows, and at last by the ranges that are no part of the public
// Internet.
package peerpolicy

import "net/netip"

// Reason says why a relay may not send to an address.
type Reason uint8

const (
	Allowed     Reason = iota // it may
	Unspecified               // from here to Reserved: the range that the address is in
	Loopback
	LinkLocal
	Private
	Multicast
	Reserved
	Configured // the operator denies it
)

// Policy says which addresses a relay may send to. It does not change.
type Policy struct {
	allow, deny []netip.Prefix
	ranges      []deniedRange
}

// New makes a policy. Of prefixes that allow and deny both contain an address, deny wins.
func New(allow, deny []netip.Prefix) *Policy {
	return &Policy{allow: canonicalPrefixes(allow), deny: canonicalPrefixes(deny), ranges: deniedRanges()}
}

// canonicalPrefixes unwraps prefixes in IPv4-mapped form. As they are, they would contain no canonical address.
func canonicalPrefixes(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		if out[i] = p; p.Addr().Is4In6() && p.Bits() >= 96 {
			out[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	return out
}

// deniedRange is a range that no relay reaches unless the operator allows it.
type deniedRange struct {
	prefix netip.Prefix
	reason Reason
}

// deniedRanges follow the IANA special-purpose address registries (RFC 6890).
func deniedRanges() []deniedRange {
	list := []struct {
		cidr   string
		reason Reason
	}{
		{"0.0.0.0/8", Unspecified},
		{"127.0.0.0/8", Loopback},
		{"169.254.0.0/16", LinkLocal},   // among them the clouds' metadata service
		{"168.63.129.16/32", LinkLocal}, // Azure's services for its machines, which each of them reaches
		{"161.26.0.0/16", Private},      // services of IBM's cloud, which only its machines reach: DNS, NTP, mirrors; and the next, its storage and interfaces
		{"166.8.0.0/14", Private},
		{"10.0.0.0/8", Private},
		{"172.16.0.0/12", Private},
		{"192.168.0.0/16", Private},
		{"100.64.0.0/10", Private}, // carrier-grade NAT
		{"224.0.0.0/4", Multicast},
		{"255.255.255.255/32", Multicast},
		{"192.0.0.0/24", Reserved}, // among them Oracle's metadata service
		{"192.0.2.0/24", Reserved}, // documentation, and the next two of that kind
		{"198.51.100.0/24", Reserved},
		{"203.0.113.0/24", Reserved},
		{"192.31.196.0/24", Reserved}, // AS112, anycast that swallows questions about private addresses; twice
		{"192.175.48.0/24", Reserved},
		{"192.52.193.0/24", Reserved}, // AMT, anycast to the nearest gateway of multicast
		{"192.88.99.0/24", Reserved},  // 6to4 relay anycast
		{"198.18.0.0/15", Reserved},   // benchmarking
		{"240.0.0.0/4", Reserved},

		{"::/128", Unspecified},
		{"::1/128", Loopback},
		{"fe80::/10", LinkLocal},
		{"fc00::/7", Private},
		{"fec0::/10", Private}, // site-local, deprecated
		{"ff00::/8", Multicast},
		{"64:ff9b:1::/48", Private},   // local-use NAT64: what stands behind it is the network's secret
		{"100::/64", Reserved},        // discard-only
		{"100:0:0:1::/64", Reserved},  // dummy prefix
		{"2001:1::/32", Reserved},     // anycast to the nearest server of a protocol, TURN among them
		{"2001:2::/48", Reserved},     // benchmarking
		{"2001:3::/32", Reserved},     // AMT
		{"2001:4:112::/48", Reserved}, // AS112; twice
		{"2620:4f:8000::/48", Reserved},
		{"2001:10::/28", Reserved},  // ORCHID
		{"2001:20::/28", Reserved},  // ORCHIDv2
		{"2001:30::/28", Reserved},  // remote identification of drones
		{"2001:db8::/32", Reserved}, // documentation
		{"3fff::/20", Reserved},     // documentation
		{"5f00::/16", Reserved},     // SRv6 SIDs
	}
	out := make([]deniedRange, len(list))
	for i, r := range list {
		out[i] = deniedRange{netip.MustParsePrefix(r.cidr), r.reason}
	}
	return out
}

// Judge reports whether a relay may send to ip: Allowed, or why it may not.
func (p *Policy) Judge(ip netip.Addr) Reason {
	ip = canonical(ip)
	if why := p.judgeOne(ip); why != Allowed {
		return why
	}
	embedded, n := embeddedIPv4(ip)
	for _, v4 := range embedded[:n] {
		if why := p.judgeOne(v4); why != Allowed {
			return why
		}
	}
	return Allowed
}

// Names reports whether a relay may send to ip because the operator allows just this address, not as one of a range.
func (p *Policy) Names(ip netip.Addr) bool {
	ip = canonical(ip)
	for _, allowed := range p.allow {
		if allowed.IsSingleIP() && allowed.Addr() == ip {
			return p.Judge(ip) == Allowed
		}
	}
	return false
}

func (p *Policy) judgeOne(ip netip.Addr) Reason {
	if containsAddr(p.deny, ip) {
		return Configured
	}
	if containsAddr(p.allow, ip) {
		return Allowed
	}
	for _, d := range p.ranges {
		if d.prefix.Contains(ip) {
			return d.reason
		}
	}
	return Allowed
}

// Addresses is a set of addresses, in their canonical form.
type Addresses map[netip.Addr]bool

// Add adds an address in any form.
func (a Addresses) Add(ip netip.Addr) { a[canonical(ip)] = true }

// Reaches reports whether a packet to ip could reach one of the addresses: ip itself, or an IPv4 address inside it.
func (a Addresses) Reaches(ip netip.Addr) bool {
	ip = canonical(ip)
	if a[ip] {
		return true
	}
	embedded, n := embeddedIPv4(ip)
	for _, v4 := range embedded[:n] {
		if a[v4] {
			return true
		}
	}
	return false
}

// canonical gives an address the one form in which addresses are compared: IPv4-mapped unwrapped, no zone.
func canonical(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

func containsAddr(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// embeddedIPv4 lists the IPv4 addresses to which a network could deliver what is sent to ip.
func embeddedIPv4(ip netip.Addr) (found [2]netip.Addr, n int) {
	if !ip.Is6() {
		return found, 0
	}
	b := ip.As16()
	v4 := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(b[at : at+4])) }
	switch {
	case ip == netip.IPv6Unspecified() || ip == netip.IPv6Loopback(): // no IPv4-compatible ones
	case [12]byte(b[:12]) == [12]byte{}, // IPv4-compatible, ::a.b.c.d (RFC 4291 §2.5.5.1)
		[12]byte(b[:12]) == [12]byte{8: 0xff, 9: 0xff}: // IPv4-translated, ::ffff:0:a.b.c.d (RFC 2765 §2.1)
		found[0], n = v4(12), 1
	case [12]byte(b[:12]) == [12]byte{0x00, 0x64, 0xff, 0x9b}: // NAT64 (RFC 6052 §2.1)
		found[0], n = v4(12), 1
	case b[0] == 0x20 && b[1] == 0x02: // 6to4 (RFC 3056 §2)
		found[0], n = v4(2), 1
	case [4]byte(b[:4]) == [4]byte{0x20, 0x01, 0x00, 0x00}: // Teredo (RFC 4380 §4): server, then client with its bits flipped
		found[0] = v4(4)
		found[1] = netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
		n = 2
	case [4]byte(b[8:12]) == [4]byte{0x00, 0x00, 0x5e, 0xfe}, // ISATAP (RFC 5214 §6.1)
		[4]byte(b[8:12]) == [4]byte{0x02, 0x00, 0x5e, 0xfe}:
		found[0], n = v4(12), 1
	}
	return found, n
}
