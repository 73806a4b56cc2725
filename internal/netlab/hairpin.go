//go:build linux

package netlab

import (
	"net/netip"
	"strings"
)

// Hairpin has the NAT of a host turn UDP around that comes from inside for its public address (RFC 4787 §6): it gets the NAT's address as
// its source, and goes back in to the host. Other NATs of this package drop it.
func (l *Lab) Hairpin(h *Host) {
	l.t.Helper()
	if h.router == "" {
		l.t.Fatalf("netlab: %s is %v, and has no NAT", h.name, h.kind)
	}
	l.nft(h.router, strings.NewReplacer("PUBLIC", h.public.String(), "HOST", h.addr.String()).Replace(`
table ip hairpin {
	chain inbound {
		type nat hook prerouting priority dstnat - 1
		iifname "lan" ip daddr PUBLIC meta l4proto udp dnat to HOST
	}
	chain outbound {
		type nat hook postrouting priority srcnat - 1
		iifname "lan" oifname "lan" snat to PUBLIC
	}
}
`))
}

// Router is the NAT in front of a host as a host of its own, for programs that run there. Its address is the inside one.
func (l *Lab) Router(h *Host) *Host {
	l.t.Helper()
	if h.router == "" {
		l.t.Fatalf("netlab: %s is %v, and has no NAT", h.name, h.kind)
	}
	var inside netip.Addr
	for _, field := range strings.Fields(l.output(h.netns, "ip", "-4", "route", "show", "default")) {
		if a, err := netip.ParseAddr(field); err == nil {
			inside = a
			break
		}
	}
	if !inside.IsValid() {
		l.t.Fatalf("netlab: %s has no default route", h.name)
	}
	r := &Host{lab: l, name: h.name + "-router", netns: h.router, addr: inside, public: h.public, kind: Public}
	l.register(r)
	return r
}

// output runs a command in a namespace, and returns what it prints.
func (l *Lab) output(netns, name string, args ...string) string {
	l.t.Helper()
	cmd := (&Host{netns: netns}).Command(l.t.Context(), name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("netlab: %s: %v: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}
