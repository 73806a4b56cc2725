//go:build linux && (amd64 || arm64)

package offload

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attachment is the program at the ingress of one interface.
type attachment interface{ Close() error }

// attachMethod attaches the program to an interface.
type attachMethod struct {
	attach func(*ebpf.Program, netlink.Link) (attachment, error)
	mortal bool // the attached program may outlive the process
}

// tcx is the way since Linux 6.6. The attachment is a descriptor, and ends with the process however that ends. The
// program comes after those of other people, so that theirs decide first.
func tcx() attachMethod {
	return attachMethod{attach: func(program *ebpf.Program, to netlink.Link) (attachment, error) {
		return link.AttachTCX(link.TCXOptions{Interface: to.Attrs().Index, Program: program, Attach: ebpf.AttachTCXIngress})
	}}
}

// filter is the way before that: a filter in the interface's clsact queueing discipline. It stays if the process is
// killed. So its program forwards only while a heart beats (watcher), and the next process removes the filters of dead
// ones. A filter's owner holds a claim: a socket in the abstract namespace, named after the filter's handle. Like the
// filter it belongs to the network namespace, and unlike that it ends with the process. A process's number would not do,
// as the first process of every container has the same.
func filter() attachMethod { return attachMethod{attach: attachFilter, mortal: true} }

const (
	filterName     = "turnpike_forward"
	filterPriority = 3478
)

// filterAttachment is a filter that this process added.
type filterAttachment struct {
	filter *netlink.BpfFilter
	qdisc  *netlink.Clsact // nil if this process has not made it
	claim  int             // a descriptor
}

// claim claims a filter's handle. It fails with EADDRINUSE while another has it.
func claim(handle uint32) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@turnpike-filter-%08x", handle)}); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

// claimAny claims a handle that nobody has.
func claimAny() (fd int, handle uint32, err error) {
	for range 8 {
		handle = 1 + uint32(rand.Int32N(math.MaxInt32))
		if fd, err = claim(handle); !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return fd, handle, err
}

func attachFilter(program *ebpf.Program, to netlink.Link) (attachment, error) {
	index := to.Attrs().Index
	a := &filterAttachment{qdisc: &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}}
	switch err := netlink.QdiscAdd(a.qdisc); {
	case errors.Is(err, unix.EEXIST):
		a.qdisc = nil
	case err != nil:
		return nil, fmt.Errorf("add the clsact queueing discipline: %w", err)
	}
	removeOrphans(to)
	fd, handle, err := claimAny()
	if err != nil {
		return nil, fmt.Errorf("claim a filter: %w", err)
	}
	a.claim = fd
	a.filter = &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Protocol: unix.ETH_P_ALL,
			Priority: filterPriority, Handle: handle,
		},
		Fd: program.FD(), Name: filterName, DirectAction: true,
	}
	if err := netlink.FilterAdd(a.filter); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("add a filter: %w", err)
	}
	return a, nil
}

// removeOrphans removes the filters of processes that were killed.
func removeOrphans(from netlink.Link) {
	filters, err := netlink.FilterList(from, netlink.HANDLE_MIN_INGRESS)
	if err != nil {
		return
	}
	for _, f := range filters {
		b, ok := f.(*netlink.BpfFilter)
		if !ok || b.Priority != filterPriority || !strings.HasPrefix(b.Name, filterName) {
			continue
		}
		if fd, err := claim(b.Handle); err == nil { // its owner holds it no longer
			_ = netlink.FilterDel(b)
			_ = unix.Close(fd)
		}
	}
}

// Close removes the filter, and the queueing discipline if nobody uses that any more.
func (a *filterAttachment) Close() error {
	err := netlink.FilterDel(a.filter)
	_ = unix.Close(a.claim)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
		err = nil // it went with the interface, or with the queueing discipline
	}
	if a.qdisc == nil || err != nil {
		return err
	}
	l, linkErr := netlink.LinkByIndex(a.qdisc.LinkIndex)
	if linkErr != nil {
		return nil // the interface is gone
	}
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		if others, err := netlink.FilterList(l, parent); err != nil || len(others) > 0 {
			return nil
		}
	}
	_ = netlink.QdiscDel(a.qdisc)
	return nil
}

// attacher keeps the program attached to the interfaces that packets come to. It belongs to one goroutine at a time.
type attacher struct {
	program   *ebpf.Program
	addresses []netip.Addr
	method    attachMethod
	attached  map[int]attachment // by the interface's number
	failed    map[int]bool       // interfaces for which sync has returned an error
}

// sync attaches to interfaces that have come, and detaches from those that have gone. It returns errors that are new.
func (a *attacher) sync() error {
	links, err := a.wanted()
	if err != nil {
		return err
	}
	for index, at := range a.attached {
		if !slices.ContainsFunc(links, func(l netlink.Link) bool { return l.Attrs().Index == index }) {
			_ = at.Close() // an interface that is gone has taken it along
			delete(a.attached, index)
		}
	}
	var errs []error
	for _, l := range links {
		index := l.Attrs().Index
		if a.attached[index] != nil {
			continue
		}
		at, err := a.method.attach(a.program, l)
		switch {
		case err == nil:
			a.attached[index] = at
			delete(a.failed, index)
		case !a.failed[index]:
			a.failed[index] = true
			errs = append(errs, fmt.Errorf("attach to %s: %w", l.Attrs().Name, err))
		}
	}
	return errors.Join(errs...)
}

// wanted lists the interfaces that carry the addresses. An address may be on no interface that packets from outside
// come by: on the loopback interface or a dummy, as with anycast. It may also stand for all addresses. Then wanted
// lists every interface that has an address.
func (a *attacher) wanted() ([]netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	var addressed, carrying []netlink.Link
	found := make(map[netip.Addr]bool)
	for _, l := range links {
		attrs := l.Attrs()
		if !framed(attrs) || attrs.Flags&net.FlagUp == 0 {
			continue
		}
		list, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil || len(list) == 0 {
			continue // it is gone, or has none
		}
		outside := attrs.Flags&net.FlagLoopback == 0 && l.Type() != "dummy"
		if outside {
			addressed = append(addressed, l)
		}
		carries := false
		for _, have := range list {
			ip, _ := netip.AddrFromSlice(have.IP)
			ip = ip.Unmap()
			if slices.Contains(a.addresses, ip) && (outside || ip.IsLoopback()) {
				carries, found[ip] = true, true
			}
		}
		if carries {
			carrying = append(carrying, l)
		}
	}
	if slices.ContainsFunc(a.addresses, func(ip netip.Addr) bool { return !found[ip] && !ip.IsLoopback() }) {
		for _, l := range carrying {
			if l.Attrs().Flags&net.FlagLoopback != 0 {
				addressed = append(addressed, l)
			}
		}
		return addressed, nil
	}
	return carrying, nil
}

func (a *attacher) close() {
	for index, at := range a.attached {
		_ = at.Close()
		delete(a.attached, index)
	}
}
