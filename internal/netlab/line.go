//go:build linux

package netlab

import (
	"fmt"
	"net/netip"
)

// A Line is three hosts in a row. The middle one routes the packets of the outer ones, without NAT:
//
//	  left              middle              right
//	11.22.34.2 ── 11.22.34.1  11.22.35.1 ── 11.22.35.2
//	    eth0        eth0         eth1          eth0
//
// There is no bridge between them, so that a benchmark can compare the cost of a relay in the middle with that of routing.
type Line struct {
	Left, Middle, Right *Host
	ToRight             netip.Addr // of Middle; its Addr is the one to the left
}

// Line makes hosts named left, middle and right. They do not reach the public segment. A lab has at most one line.
func (l *Lab) Line() Line {
	l.t.Helper()
	host := func(name, addr string) *Host {
		h := &Host{lab: l, name: name, netns: l.namespace(name), addr: netip.MustParseAddr(addr), kind: Public}
		h.public = h.addr
		l.register(h)
		return h
	}
	line := Line{
		Left:    host("left", "11.22.34.2"),
		Middle:  host("middle", "11.22.34.1"),
		Right:   host("right", "11.22.35.2"),
		ToRight: netip.MustParseAddr("11.22.35.1"),
	}
	for _, side := range []struct {
		outer    *Host
		port     string // of the middle host
		neighbor netip.Addr
	}{{line.Left, "eth0", line.Middle.addr}, {line.Right, "eth1", line.ToRight}} {
		l.ip(line.Middle.netns,
			fmt.Sprintf("link add %s type veth peer name eth0 netns %s", side.port, side.outer.netns),
			fmt.Sprintf("link set %s up", side.port),
			fmt.Sprintf("addr add %s/24 dev %s", side.neighbor, side.port),
		)
		l.ip(side.outer.netns,
			"link set eth0 up",
			fmt.Sprintf("addr add %s/24 dev eth0", side.outer.addr),
			fmt.Sprintf("route add default via %s", side.neighbor),
		)
	}
	l.sysctl(line.Middle.netns, "net/ipv4/ip_forward", "1")
	return line
}
