//go:build linux && (amd64 || arm64)

package offload

import (
	"errors"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// router asks the kernel's routing table. One goroutine at a time may use it.
type router struct {
	handle *netlink.Handle
	framed map[int]bool // of interfaces, by their numbers
}

func newRouter() (*router, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	return &router{h, make(map[int]bool)}, nil
}

func (r *router) close() { r.handle.Close() }

// interfaceOf returns the number of the interface by which packets from one address to another leave, or 0 if the
// program cannot send them there. The program itself looks the neighbour up, for each packet.
func (r *router) interfaceOf(from, to netip.Addr) uint32 {
	routes, err := r.handle.RouteGetWithOptions(net.IP(to.AsSlice()), &netlink.RouteGetOptions{SrcAddr: net.IP(from.AsSlice())})
	if err != nil || len(routes) != 1 {
		return 0
	}
	route := &routes[0]
	if route.Type != unix.RTN_UNICAST && route.Type != unix.RTN_LOCAL || route.Encap != nil {
		return 0
	}
	takes, known := r.framed[route.LinkIndex]
	if !known {
		link, err := r.handle.LinkByIndex(route.LinkIndex)
		if err != nil {
			return 0
		}
		takes = framed(link.Attrs())
		r.framed[route.LinkIndex] = takes // the kernel reuses a number only after billions of others
	}
	if !takes {
		return 0
	}
	return uint32(route.LinkIndex)
}

// framed reports whether an interface's packets have Ethernet headers. Packets of tunnels have none.
func framed(l *netlink.LinkAttrs) bool { return l.EncapType == "ether" || l.EncapType == "loopback" }

// reroute asks for every flow's interface again, and updates the entries where the answer has changed.
func (p *Path) reroute(r *router) error {
	type path struct{ from, to address }
	type change struct {
		key     Key
		ifindex uint32
	}
	answers := make(map[path]uint32)
	var changes []change
	err := p.scan(func(key Key, f *forwardFlow) {
		if f.Flags&flowHop != 0 {
			return
		}
		way := path{f.From, f.To}
		ifindex, asked := answers[way]
		if !asked {
			ifindex = r.interfaceOf(addrOf(f.From), addrOf(f.To))
			answers[way] = ifindex
		}
		if ifindex != f.Ifindex {
			changes = append(changes, change{key, ifindex})
		}
	})
	for _, c := range changes {
		p.mu.Lock()
		var f forwardFlow
		if s := p.entryFor(c.key); s.entries.Lookup(s.key, &f) == nil && f.Flags&flowHop == 0 {
			f.Ifindex = c.ifindex
			err = errors.Join(err, s.entries.Update(s.key, &f, ebpf.UpdateExist))
		}
		p.mu.Unlock()
	}
	return err
}
