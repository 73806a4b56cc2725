package probe

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"unicode"

	"github.com/libp2p/go-netroute"
)

// wayOut is the first step of this machine's packets to an address.
type wayOut struct {
	local   netip.Addr
	ifi     *net.Interface // nil: not known
	gateway netip.Addr     // the zero Addr: none, or not known
}

// wayTo asks the system for the way to an address. It sends nothing. The zero wayOut means that there is none.
func wayTo(to netip.Addr) (w wayOut) {
	if w.local = sourceFor(to); !w.local.IsValid() {
		return wayOut{}
	}
	router, err := netroute.New()
	if err != nil {
		return w
	}
	ifi, gateway, _, err := router.Route(net.IP(to.AsSlice()))
	if err != nil {
		return w
	}
	w.ifi = ifi
	if addr, ok := netip.AddrFromSlice(gateway); ok && !addr.IsUnspecified() {
		w.gateway = addr.Unmap()
	}
	return w
}

// findPortMapping asks the router on a way what it offers to programs that want a port. It maps nothing.
func findPortMapping(ctx context.Context, w wayOut) (out PortMapping) {
	all := []*Mapper{&out.UPnP, &out.NATPMP, &out.PCP}
	why := ""
	switch {
	case !w.local.IsValid():
		why = "this machine has no way out over IPv4"
	case w.local.IsLoopback():
		why = "the server is on this machine, and no router stands between"
	case !w.gateway.IsValid():
		why = "no router stands on the way to the server"
	}
	if why != "" {
		for _, m := range all {
			m.Why = why
		}
		return out
	}
	at := netip.AddrPortFrom(w.gateway, mapperPort)
	var group sync.WaitGroup
	group.Go(func() { out.UPnP = findUPnP(ctx, w.ifi, w.local, w.gateway) })
	group.Go(func() { out.NATPMP = findNATPMP(ctx, at) })
	group.Go(func() { out.PCP = findPCP(ctx, at, w.local) })
	group.Wait()
	return out
}

// outside returns the router's own address outside, as it says; the zero Addr if it says none.
func (p PortMapping) outside() netip.Addr {
	for _, m := range []Mapper{p.NATPMP, p.UPnP} {
		if m.External.IsValid() {
			return m.External
		}
	}
	return netip.Addr{}
}

// printable is a text of a stranger on one line of a terminal.
func printable(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r):
			return -1
		}
		return r
	}, s)
	if s = oneLine(s); len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
