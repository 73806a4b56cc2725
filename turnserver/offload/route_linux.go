//go:build linux && (amd64 || arm64)

package offload

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// router asks the kernel's routing table. One goroutine at a time may use it.
type router struct {
	handle *netlink.Handle
	get    func(net.IP, *netlink.RouteGetOptions) ([]netlink.Route, error) // handle's; tests set another
	framed map[int]bool                                                    // of interfaces, by their numbers
}

func newRouter() (*router, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	return &router{h, h.RouteGetWithOptions, make(map[int]bool)}, nil
}

func (r *router) close() { r.handle.Close() }

// interfaceOf returns the number of the interface by which packets from one address to another leave, or 0 if the
// program cannot send them there. The program itself looks the neighbour up, for each packet. An error says that the
// kernel did not tell.
func (r *router) interfaceOf(from, to netip.Addr) (uint32, error) {
	routes, err := r.get(net.IP(to.AsSlice()), &netlink.RouteGetOptions{SrcAddr: net.IP(from.AsSlice())})
	if err != nil && !unreachable(err) {
		return 0, fmt.Errorf("look up the route from %v to %v: %w", from, to, err)
	}
	if err != nil || len(routes) != 1 {
		return 0, nil
	}
	route := &routes[0]
	if route.Type != unix.RTN_UNICAST && route.Type != unix.RTN_LOCAL || route.Encap != nil {
		return 0, nil
	}
	takes, known := r.framed[route.LinkIndex]
	if !known {
		link, err := r.handle.LinkByIndex(route.LinkIndex)
		var gone netlink.LinkNotFoundError
		if errors.As(err, &gone) {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("look up interface %d: %w", route.LinkIndex, err)
		}
		takes = framed(link.Attrs())
		r.framed[route.LinkIndex] = takes // the kernel reuses a number only after billions of others
	}
	if !takes {
		return 0, nil
	}
	return uint32(route.LinkIndex), nil
}

// unreachable reports whether an error is the kernel's answer that there is no route, or none from that address.
func unreachable(err error) bool {
	for _, answer := range []unix.Errno{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL, unix.EADDRNOTAVAIL, unix.ENODEV} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// framed reports whether an interface's packets have Ethernet headers. Packets of tunnels have none.
func framed(l *netlink.LinkAttrs) bool { return l.EncapType == "ether" || l.EncapType == "loopback" }

// reroute asks for every flow's interface again, and updates the entries where the answer has changed. A flow keeps its
// interface where the kernel does not tell.
func (p *Path) reroute(r *router) error {
	type path struct{ from, to address }
	type change struct {
		key     Key
		ifindex uint32
	}
	answers := make(map[path]uint32)
	var changes []change
	var errs []error
	p.unrouted.Store(false)
	err := p.scan(func(key Key, f *forwardFlow) {
		if f.Flags&flowHop != 0 {
			return
		}
		way := path{f.From, f.To}
		ifindex, asked := answers[way]
		if !asked {
			var err error
			if ifindex, err = r.interfaceOf(addrOf(f.From), addrOf(f.To)); err != nil {
				ifindex = f.Ifindex
				p.unrouted.Store(true)
				if errs == nil {
					errs = append(errs, err)
				}
			}
			answers[way] = ifindex
		}
		if ifindex == 0 {
			p.unrouted.Store(true)
		}
		if ifindex != f.Ifindex {
			changes = append(changes, change{key, ifindex})
		}
	})
	p.change(func() {
		for _, c := range changes {
			var f forwardFlow
			if s := p.entryFor(c.key); s.entries.Lookup(s.key, &f) == nil && f.Flags&flowHop == 0 {
				f.Ifindex = c.ifindex
				err = errors.Join(err, s.entries.Update(s.key, &f, ebpf.UpdateExist))
			}
		}
	})
	return errors.Join(append(errs, err)...)
}
