package turnserver

import (
	"net/netip"
)

// peerPolicy says which addresses a relay may send to, whoever asks.
type peerPolicy struct {
	allow, deny []netip.Prefix
	ranges      []deniedRange
}

func newPeerPolicy(allow, deny []netip.Prefix) *peerPolicy {
	return &peerPolicy{allow: canonicalPrefixes(allow), deny: canonicalPrefixes(deny), ranges: deniedRanges()}
}

// canonicalPrefixes unwraps prefixes in IPv4-mapped form, which would contain no canonical address.
func canonicalPrefixes(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		if out[i] = p; p.Addr().Is4In6() && p.Bits() >= 96 {
			out[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	return out
}

// deniedRange is a range that no relay reaches unless allow_peers opens it.
type deniedRange struct {
	prefix netip.Prefix
	reason reason
}

// deniedRanges follow the IANA special-purpose address registries (RFC 6890).
func deniedRanges() []deniedRange {
	list := []struct {
		cidr   string
		reason reason
	}{
		{"0.0.0.0/8", denyUnspecified},
		{"127.0.0.0/8", denyLoopback},
		{"169.254.0.0/16", denyLinkLocal}, // among them the clouds' metadata service
		{"10.0.0.0/8", denyPrivate},
		{"172.16.0.0/12", denyPrivate},
		{"192.168.0.0/16", denyPrivate},
		{"100.64.0.0/10", denyPrivate}, // carrier-grade NAT
		{"224.0.0.0/4", denyMulticast},
		{"255.255.255.255/32", denyMulticast},
		{"192.0.0.0/24", denyReserved},
		{"192.0.2.0/24", denyReserved}, // documentation, and the next two of that kind
		{"198.51.100.0/24", denyReserved},
		{"203.0.113.0/24", denyReserved},
		{"192.88.99.0/24", denyReserved}, // 6to4 relay anycast
		{"198.18.0.0/15", denyReserved},  // benchmarking
		{"240.0.0.0/4", denyReserved},

		{"::/128", denyUnspecified},
		{"::1/128", denyLoopback},
		{"fe80::/10", denyLinkLocal},
		{"fc00::/7", denyPrivate},
		{"fec0::/10", denyPrivate}, // site-local, deprecated
		{"ff00::/8", denyMulticast},
		{"64:ff9b:1::/48", denyPrivate}, // local-use NAT64: what stands behind it is the network's secret
		{"100::/64", denyReserved},      // discard-only
		{"2001:2::/48", denyReserved},   // benchmarking
		{"2001:10::/28", denyReserved},  // ORCHID
		{"2001:db8::/32", denyReserved}, // documentation
		{"3fff::/20", denyReserved},     // documentation
		{"5f00::/16", denyReserved},     // SRv6 SIDs
	}
	out := make([]deniedRange, len(list))
	for i, r := range list {
		out[i] = deniedRange{netip.MustParsePrefix(r.cidr), r.reason}
	}
	return out
}

// judge reports whether a relay may send to ip, which is canonical, and if not, why.
// An IPv6 address that carries IPv4 addresses is judged by each of them, too.
func (p *peerPolicy) judge(ip netip.Addr) (reason, bool) {
	if r, ok := p.judgeOne(ip); !ok {
		return r, false
	}
	embedded, n := embeddedIPv4(ip)
	for _, v4 := range embedded[:n] {
		if r, ok := p.judgeOne(v4); !ok {
			return r, false
		}
	}
	return 0, true
}

func (p *peerPolicy) judgeOne(ip netip.Addr) (reason, bool) {
	if containsAddr(p.deny, ip) {
		return denyConfigured, false
	}
	if containsAddr(p.allow, ip) {
		return 0, true
	}
	for _, d := range p.ranges {
		if d.prefix.Contains(ip) {
			return d.reason, false
		}
	}
	return 0, true
}

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
