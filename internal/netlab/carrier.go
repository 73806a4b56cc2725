//go:build linux

package netlab

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Carrier is the NAT of a provider, with the home NATs of its customers behind it:
//
//	    the public segment
//	          │ wan
//	     11.22.33.5
//	  the carrier's NAT            see carrierRules
//	     100.64.5.1                to each customer
//	   ┌──────┴──────┐
//	   │ customer1   │ customer2   no bridge: customers do not reach each other by these addresses
//	   │ wan         │ wan
//	100.64.5.2    100.64.5.3       shared address space (RFC 6598)
//	alice's NAT   bob's NAT
//	   │             │
//	 alice          bob
type Carrier struct {
	lab       *Lab
	netns     string
	kind      Kind
	public    netip.Addr
	inside    netip.Addr
	customers int
}

// Carrier makes a carrier's NAT. Its kind is FullCone, PortRestricted or Symmetric. With hairpins, its customers reach each
// other at their public addresses (RFC 4787 §6), which a symmetric NAT does not offer.
func (l *Lab) Carrier(name string, kind Kind, hairpins bool) *Carrier {
	l.t.Helper()
	if kind != FullCone && kind != PortRestricted && (kind != Symmetric || hairpins) {
		l.t.Fatalf("netlab: no carrier's NAT is %v, with hairpins: %v", kind, hairpins)
	}
	c := &Carrier{lab: l, netns: l.namespace(name), kind: kind}
	c.public = l.uplink(c.netns)
	n := c.public.As4()[3]
	c.inside = netip.AddrFrom4([4]byte{100, 64, n, 1})
	l.ip(c.netns, "route add unreachable 100.64.0.0/10") // of other carriers
	l.sysctl(c.netns, "net/ipv4/ip_forward", "1")
	l.nft(c.netns, carrierRules(kind, c.public, hairpins))
	return c
}

// Public returns the address that others see of all customers.
func (c *Carrier) Public() netip.Addr { return c.public }

// Behind makes a host behind a home NAT of the given kind behind the carrier's.
func (c *Carrier) Behind(kind Kind, name string) *Host {
	l := c.lab
	l.t.Helper()
	if kind == Public || kind == CGNAT || kind == IPv6Only {
		l.t.Fatalf("netlab: no home NAT is %v", kind)
	}
	h := &Host{lab: l, name: name, netns: l.namespace(name)}
	l.putBehindNAT(h, kind, name+"-nat", c)
	l.register(h)
	return h
}

// connect joins the NAT of a customer to the carrier's.
func (c *Carrier) connect(router string) {
	c.lab.t.Helper()
	c.customers++
	port := fmt.Sprintf("customer%d", c.customers)
	addr := c.inside.As4()
	addr[3] += byte(c.customers)
	wan := netip.AddrFrom4(addr)
	c.lab.ip(c.netns,
		fmt.Sprintf("link add %s type veth peer name wan netns %s", port, router),
		fmt.Sprintf("link set %s up", port),
		fmt.Sprintf("addr add %s peer %s dev %s", c.inside, wan, port),
	)
	c.lab.ip(router,
		"link set wan up",
		fmt.Sprintf("addr add %s peer %s dev wan", wan, c.inside),
		fmt.Sprintf("route add default via %s", c.inside),
	)
	c.lab.denyPrivate(router)
}

// carrierRules returns the rules that nft loads in a carrier's router. Like those of a home NAT (see ruleset), they let
// masquerade keep the ports, or draw random ones. Several customers need a map of what each outer port leads to. It is
// filled behind masquerade, from where it is seen which port that has taken.
func carrierRules(kind Kind, public netip.Addr, hairpins bool) string {
	masquerade, admit, turn := "masquerade", "", ""
	switch kind {
	case FullCone:
		admit = `iifname "wan" dnat ip to udp dport map @mapped`
	case Symmetric:
		masquerade = "masquerade random,fully-random"
	}
	if hairpins {
		turn = fmt.Sprintf(`iifname "customer*" ip daddr %s dnat ip to udp dport map @mapped`, public)
	}
	return strings.NewReplacer("PUBLIC", public.String(), "MASQUERADE", masquerade, "ADMIT", admit, "TURN", turn).Replace(`
table ip carrier {
	map mapped { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 2m; }
	chain inbound {
		type nat hook prerouting priority dstnat
		ADMIT
		TURN
	}
	chain outbound {
		type nat hook postrouting priority srcnat
		oifname "wan" MASQUERADE
		iifname "customer*" oifname "customer*" ct status dnat snat to PUBLIC
	}
	chain remember {
		type filter hook postrouting priority srcnat + 1
		oifname "wan" meta l4proto udp update @mapped { udp sport : ct original ip saddr . ct original proto-src }
	}
	chain itself {
		type filter hook input priority filter; policy drop
		iifname "lo" accept
	}
	chain through {
		type filter hook forward priority filter; policy drop
		ct state established,related accept
		ct status dnat accept
		iifname "customer*" oifname "wan" accept
	}
}
`)
}
