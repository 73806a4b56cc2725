//go:build linux && (amd64 || arm64)

package offload

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// needKernel skips t where the program cannot be loaded. In CI, that is a failure.
func needKernel(t testing.TB) {
	t.Helper()
	p, err := newPath(1, 0, false)
	if err == nil {
		err = p.Close()
	}
	if err == nil && os.Geteuid() != 0 {
		err = os.ErrPermission
	}
	if err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("offload: %v, and CI must not skip this test", err)
	}
	t.Skipf("offload: %v", err)
}

// rig is a path that is attached to nothing, in a network namespace of its own. Tests hand packets to the program.
type rig struct {
	*Path
	t   testing.TB
	out int // an interface with an MTU of outMTU, where all routes lead
}

const (
	outMTU    = 1500
	rigMeters = 8
)

// Hosts of the rig, in both families.
type hosts struct {
	client, listener, relay, peer      netip.Addr
	client2, relay2, external, unknown netip.Addr
}

func family(v6 bool) hosts {
	if v6 {
		a := netip.MustParseAddr
		return hosts{a("2a11::1"), a("2a11::10"), a("2a11::20"), a("2a12::7"), a("2a11::2"), a("2a11::20"), a("2a11::30"), a("2a13::1")}
	}
	a := netip.MustParseAddr
	return hosts{a("9.0.2.1"), a("9.0.113.10"), a("9.0.113.20"), a("9.51.100.7"), a("9.0.2.2"), a("9.0.113.20"), a("9.0.113.30"), a("9.60.0.1")}
}

// newRig makes the namespace for the calling goroutine, which keeps its thread until it ends, and takes it along.
func newRig(t testing.TB) *rig {
	t.Helper()
	needKernel(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "out", MTU: outMTU}, PeerName: "far"}
	must(t, netlink.LinkAdd(veth))
	link, err := netlink.LinkByName("out")
	must(t, err)
	for _, name := range []string{"lo", "out", "far"} {
		l, err := netlink.LinkByName(name)
		must(t, err)
		must(t, netlink.LinkSetUp(l))
	}
	for _, v6 := range []bool{false, true} {
		h := family(v6)
		for _, ip := range []netip.Addr{h.listener, h.relay} {
			addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())}, Flags: unix.IFA_F_NODAD}
			must(t, netlink.AddrAdd(link, addr))
		}
		everywhere := &net.IPNet{IP: make(net.IP, h.peer.BitLen()/8), Mask: net.CIDRMask(0, h.peer.BitLen())}
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: everywhere}))
	}
	p, err := newPath(512, rigMeters, false)
	must(t, err)
	r := &rig{Path: p, t: t, out: link.Attrs().Index}
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

// newLoopbackRig makes a rig whose flows leave by the loopback interface of wherever it is used, from any thread.
func newLoopbackRig(t testing.TB) *rig {
	t.Helper()
	needKernel(t)
	p, err := newPath(512, rigMeters, false)
	must(t, err)
	r := &rig{Path: p, t: t, out: 1}
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// flow is a flow between the rig's hosts: the client's family may differ from the relayed one.
func (r *rig) flow(clientV6, relayV6 bool) Flow {
	c, p := family(clientV6), family(relayV6)
	return Flow{
		Client: netip.AddrPortFrom(c.client, 40001), Local: netip.AddrPortFrom(c.listener, 3478), Channel: 0x4123,
		Relayed: netip.AddrPortFrom(p.relay, 50001), Peer: netip.AddrPortFrom(p.peer, 6001),
		Expires: time.Now().Add(time.Hour),
	}
}

// eachWay runs a test for flows with a channel, and for those of indications.
func eachWay(t *testing.T, test func(t *testing.T, set func(...*Flow))) {
	t.Run("channels", func(t *testing.T) { test(t, func(...*Flow) {}) })
	t.Run("indications", func(t *testing.T) {
		test(t, func(flows ...*Flow) {
			for _, f := range flows {
				f.Channel = 0
			}
		})
	})
}

// hop is a pair of flows between two clients of the node.
func (r *rig) hop(v6, v6second bool) (one, two Flow) {
	a, b, relays := family(v6), family(v6second), family(v6)
	one = Flow{
		Client: netip.AddrPortFrom(a.client, 40001), Local: netip.AddrPortFrom(a.listener, 3478), Channel: 0x4001,
		Relayed: netip.AddrPortFrom(relays.relay, 50001), External: netip.AddrPortFrom(relays.external, 50001),
		Peer: netip.AddrPortFrom(relays.external, 50002), PeerRelay: netip.AddrPortFrom(relays.relay, 50002),
		Expires: time.Now().Add(time.Hour),
	}
	two = Flow{
		Client: netip.AddrPortFrom(b.client2, 40002), Local: netip.AddrPortFrom(b.listener, 3478), Channel: 0x4fff,
		Relayed: one.PeerRelay, External: one.Peer, Peer: one.External, PeerRelay: one.Relayed,
		Expires: one.Expires,
	}
	return one, two
}

// confirmed puts flows whose both directions have been seen.
func (r *rig) confirmed(flows ...Flow) {
	r.t.Helper()
	for _, f := range flows {
		must(r.t, r.Put(f))
		for _, key := range []Key{f.Up(), f.Down()} {
			r.change(key, func(e *forwardFlow) { e.Confirmed, e.Seen, e.Ifindex = 1, 1, uint32(r.out) })
		}
	}
}

// change rewrites an entry.
func (r *rig) change(key Key, how func(*forwardFlow)) {
	r.t.Helper()
	var e forwardFlow
	s := r.entryFor(key)
	must(r.t, s.entries.Lookup(s.key, &e))
	how(&e)
	must(r.t, s.entries.Put(s.key, &e))
}

// Verdicts of the program.
const (
	pass    = 0xffffffff // TC_ACT_UNSPEC
	drop    = 2          // TC_ACT_SHOT
	forward = 7          // TC_ACT_REDIRECT
)

// run hands a frame to the program, and returns the verdict and the frame that it made.
func (r *rig) run(frame []byte) (verdict uint32, out []byte) {
	r.t.Helper()
	verdict, out, err := r.objects.Forward.Test(frame)
	must(r.t, err)
	return verdict, out
}
