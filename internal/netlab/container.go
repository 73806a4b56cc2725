//go:build linux

package netlab

import (
	"fmt"
	"net/netip"
	"strings"
)

// Container makes a host behind another one, as containers are on a bridge: its packets leave with the address of the other, and of
// what comes there only the published ports lead to it. With hides, those come with the address of the bridge, as where a program
// carries them.
func (l *Lab) Container(on *Host, name string, tcp, udp []uint16, hides bool) *Host {
	l.t.Helper()
	gateway := netip.MustParseAddr("172.18.0.1")
	h := &Host{lab: l, name: name, netns: l.namespace(name), router: on.netns, addr: gateway.Next(), public: on.addr, kind: PortRestricted}
	l.ip(on.netns, "link add bridge type veth peer name eth0 netns "+h.netns)
	l.ip(on.netns, "link set bridge up", fmt.Sprintf("addr add %s/24 dev bridge", gateway))
	l.ip(h.netns, "link set eth0 up", fmt.Sprintf("addr add %s/24 dev eth0", h.addr), fmt.Sprintf("route add default via %s", gateway))
	l.sysctl(on.netns, "net/ipv4/ip_forward", "1")
	l.sysctl(h.netns, "net/ipv4/ip_unprivileged_port_start", "0") // as engines of containers have it
	var publish strings.Builder
	for protocol, ports := range map[string][]uint16{"tcp": tcp, "udp": udp} {
		for _, port := range ports {
			fmt.Fprintf(&publish, "ip daddr %s %s dport %d dnat to %s\n", on.addr, protocol, port, h.addr)
		}
	}
	hide := ""
	if hides {
		hide = `oifname "bridge" masquerade`
	}
	l.nft(on.netns, strings.NewReplacer("PUBLISH", publish.String(), "HIDE", hide).Replace(`
table ip container {
	chain inbound {
		type nat hook prerouting priority dstnat
		PUBLISH
	}
	chain outbound {
		type nat hook postrouting priority srcnat
		iifname "bridge" oifname "eth0" masquerade
		HIDE
	}
}
`))
	l.register(h)
	return h
}
