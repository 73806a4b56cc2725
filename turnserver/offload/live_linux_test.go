//go:build linux && (amd64 || arm64)

package offload

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"turnpike/internal/netlab"
)

// patience bounds what must happen. Nothing waits for it when all is well.
const patience = 10 * time.Second

// line is a client, a relay that is a path and nothing else, and a peer, each on a host of its own:
//
//	left ── middle ── right
//
// No socket is open in the middle: what arrives was forwarded by the program.
type line struct {
	netlab.Line
	t testing.TB
}

func newLine(t testing.TB) line {
	t.Helper()
	needKernel(t)
	l := line{netlab.New(t).Line(), t}
	for _, a := range []struct {
		host      *netlab.Host
		dev, addr string
	}{
		{l.Left, "eth0", "2a11:34::2/64"}, {l.Middle, "eth0", "2a11:34::1/64"},
		{l.Middle, "eth1", "2a11:35::1/64"}, {l.Right, "eth0", "2a11:35::2/64"},
	} {
		l.ip(a.host, "addr add "+a.addr+" nodad dev "+a.dev)
	}
	l.ip(l.Left, "route add ::/0 via 2a11:34::1")
	l.ip(l.Right, "route add ::/0 via 2a11:35::1")
	return l
}

func (l line) ip(on *netlab.Host, args string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := on.Command(ctx, "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// left, middle and right return an address of a host.
func (l line) left(v6 bool) netip.Addr  { return pick(v6, "2a11:34::2", l.Left.Addr()) }
func (l line) near(v6 bool) netip.Addr  { return pick(v6, "2a11:34::1", l.Middle.Addr()) }
func (l line) far(v6 bool) netip.Addr   { return pick(v6, "2a11:35::1", l.ToRight) }
func (l line) right(v6 bool) netip.Addr { return pick(v6, "2a11:35::2", l.Right.Addr()) }

func pick(v6 bool, six string, four netip.Addr) netip.Addr {
	if v6 {
		return netip.MustParseAddr(six)
	}
	return four
}

// addresses are those of the middle host.
func (l line) addresses() []netip.Addr {
	return []netip.Addr{l.near(false), l.near(true), l.far(false), l.far(true)}
}

// checksums says whether a host leaves checksums to its network card, which on veth means that nobody computes them.
func (l line) checksums(on *netlab.Host, dev string, left bool) {
	l.t.Helper()
	const setTxCsum = 0x17 // ETHTOOL_STXCSUM (linux/ethtool.h)
	value := [2]uint32{setTxCsum, 0}
	if left {
		value[1] = 1
	}
	must(l.t, on.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		var request struct { // struct ifreq
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}
		copy(request.name[:], dev)
		request.data = unsafe.Pointer(&value)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return os.NewSyscallError("SIOCETHTOOL", errno)
		}
		return nil
	}))
}

// socket is an end of a flow.
type socket struct {
	*net.UDPConn
	t    testing.TB
	addr netip.AddrPort
}

func (l line) socket(on *netlab.Host, ip netip.Addr) socket {
	l.t.Helper()
	s := socket{t: l.t}
	must(l.t, on.Do(func() (err error) {
		s.UDPConn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
		return err
	}))
	l.t.Cleanup(func() { _ = s.Close() })
	s.addr = netip.AddrPortFrom(ip, uint16(s.LocalAddr().(*net.UDPAddr).Port))
	return s
}

func (s socket) send(to netip.AddrPort, data []byte) {
	s.t.Helper()
	_, err := s.WriteToUDPAddrPort(data, to)
	must(s.t, err)
}

// want reads one datagram.
func (s socket) want(from netip.AddrPort, data []byte) {
	s.t.Helper()
	got, source := s.read(patience)
	if source != from || !bytes.Equal(got, data) {
		s.t.Fatalf("got %d bytes from %v, want %d from %v\n%x\n%x", len(got), source, len(data), from, got, data)
	}
}

// read returns the next datagram, or nil if there is none for so long.
func (s socket) read(patience time.Duration) ([]byte, netip.AddrPort) {
	s.t.Helper()
	must(s.t, s.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, 1<<16)
	n, from, err := s.ReadFromUDPAddrPort(buf)
	if err != nil {
		return nil, netip.AddrPort{}
	}
	return buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// call is a client and its peer.
type call struct {
	flow         Flow
	client, peer socket
}

// call makes a flow from the left host to the right one, by a channel or without, and has both ends be seen.
func (l line) call(d *daemon, clientV6, relayV6 bool, channel uint16) call {
	l.t.Helper()
	c := call{client: l.socket(l.Left, l.left(clientV6)), peer: l.socket(l.Right, l.right(relayV6))}
	c.flow = Flow{
		Client: c.client.addr, Local: netip.AddrPortFrom(l.near(clientV6), 3478), Channel: channel,
		Relayed: netip.AddrPortFrom(l.far(relayV6), 50000), Peer: c.peer.addr, Expires: time.Now().Add(time.Hour),
	}
	d.put(c.flow)
	c.begin()
	return c
}

// begin sends a packet each way, of which the first is one that goes up to nobody.
func (c call) begin() {
	c.client.t.Helper()
	c.up([]byte("nobody"))
	c.down([]byte("hello"))
	c.wantDown([]byte("hello"))
}

func (c call) up(data []byte)       { c.client.send(c.flow.Local, upPacket(c.flow, data, 0).data) }
func (c call) down(data []byte)     { c.peer.send(c.flow.Relayed, data) }
func (c call) wantDown(data []byte) { c.client.t.Helper(); c.client.wantRelayed(c.flow, data) }

// wantRelayed reads one datagram from a peer.
func (s socket) wantRelayed(f Flow, data []byte) {
	s.t.Helper()
	got, source := s.read(patience)
	if f.Channel == 0 {
		got = withoutID(got)
	}
	if want := wrap(f, data); source != f.Local || !bytes.Equal(got, want) {
		s.t.Fatalf("got %d bytes from %v, want %d from %v\n%x\n%x", len(got), source, len(want), f.Local, got, want)
	}
}

// exchange sends data of many lengths both ways.
func (c call) exchange(most int) (packets int) {
	c.client.t.Helper()
	for size := 4; size <= most; size += 1 + size/9 {
		data := pattern(size)
		c.up(data)
		c.peer.want(c.flow.Relayed, data)
		c.client.send(c.flow.Local, upPacket(c.flow, data, -size&3).data)
		c.peer.want(c.flow.Relayed, data)
		c.down(data)
		c.wantDown(data)
		packets += 3
	}
	return packets
}

// TestTraffic: what real sockets send arrives whole, and is taken by their kernels, whoever computes the checksums: the receiver trusts
// that nothing can have happened between virtual interfaces, a network card on the way, or the sender.
func TestTraffic(t *testing.T) {
	for _, who := range []string{"nobody", "card", "sender"} {
		for _, v6 := range [][2]bool{{false, false}, {true, true}, {false, true}, {true, false}} {
			t.Run(fmt.Sprintf("checksums by %s, client IPv6 %v, peer IPv6 %v", who, v6[0], v6[1]), func(t *testing.T) {
				l := newLine(t)
				switch who {
				case "card":
					l.checksums(l.Middle, "eth0", false)
					l.checksums(l.Middle, "eth1", false)
				case "sender":
					l.checksums(l.Left, "eth0", false)
					l.checksums(l.Right, "eth0", false)
				}
				d := startDaemon(t, l.Middle)
				d.do(order{Open: true, Addresses: l.addresses()})
				n := l.call(d, v6[0], v6[1], 0x4000).exchange(1400)
				n += l.call(d, v6[0], v6[1], 0).exchange(1400)
				if got := d.totals(); got.PacketsUp+got.PacketsDown != uint64(n)+2 || got.Unconfirmed != 2 {
					t.Errorf("%d packets: %+v", n, got)
				}
			})
		}
	}
}

// TestAcross: clients on both sides reach each other in one pass.
func TestAcross(t *testing.T) {
	for _, test := range []struct {
		sender bool
		first  uint16 // channel of the first client
	}{{false, 0x4001}, {true, 0x4001}, {false, 0}, {true, 0}} {
		t.Run(fmt.Sprintf("checksums by the sender %v, from channel %#x", test.sender, test.first), func(t *testing.T) {
			l := newLine(t)
			l.checksums(l.Left, "eth0", !test.sender)
			l.checksums(l.Right, "eth0", !test.sender)
			d := startDaemon(t, l.Middle)
			d.do(order{Open: true, Addresses: l.addresses()})
			one, two := l.socket(l.Left, l.left(false)), l.socket(l.Right, l.right(true))
			relay := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(l.far(false), port) }
			outside := func(port uint16) netip.AddrPort {
				return netip.AddrPortFrom(netip.MustParseAddr("11.22.99.9"), port)
			}
			a := Flow{
				Client: one.addr, Local: netip.AddrPortFrom(l.near(false), 3478), Channel: test.first, Expires: time.Now().Add(time.Hour),
				Relayed: relay(50001), External: outside(50001), Peer: outside(50002), PeerRelay: relay(50002),
			}
			b := Flow{
				Client: two.addr, Local: netip.AddrPortFrom(l.far(true), 3478), Channel: 0x4fff, Expires: a.Expires,
				Relayed: relay(50002), External: outside(50002), Peer: outside(50001), PeerRelay: relay(50001),
			}
			d.put(a, b)
			one.send(a.Local, upPacket(a, []byte("nobody"), 0).data)
			two.send(b.Local, upPacket(b, []byte("hello"), 1).data)
			one.wantRelayed(a, []byte("hello"))
			for size := 4; size < 1400; size += 1 + size/5 {
				one.send(a.Local, upPacket(a, pattern(size), size&3).data)
				two.wantRelayed(b, pattern(size))
				two.send(b.Local, upPacket(b, pattern(size), 0).data)
				one.wantRelayed(a, pattern(size))
			}
			if got := d.totals(); got.Hops < 10 || got.PacketsUp != got.Hops || got.PacketsDown != got.Hops {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestTooLong: what the next link does not take in one piece goes up, and is not lost in the program.
func TestTooLong(t *testing.T) {
	l := newLine(t)
	d := startDaemon(t, l.Middle)
	d.do(order{Open: true, Addresses: l.addresses()})
	c := l.call(d, false, false, 0x4000)
	const whole = 1500 - 20 - 8
	c.down(pattern(whole - 4))
	c.client.want(c.flow.Local, channelData(c.flow.Channel, pattern(whole-4), 0))
	c.down(pattern(whole - 3))
	c.down([]byte("last"))
	c.client.want(c.flow.Local, channelData(c.flow.Channel, []byte("last"), 0))
	c.up(pattern(whole - 4))
	c.peer.want(c.flow.Relayed, pattern(whole-4))
	l.ip(l.Middle, "link set eth1 mtu 1000")
	c.up(pattern(1001 - 28))
	c.up(pattern(1000 - 28))
	c.peer.want(c.flow.Relayed, pattern(1000-28))
	if got := d.totals(); got.TooLong != 2 {
		t.Errorf("%+v", got)
	}
}

// TestJumbo: long packets whose checksum nobody has computed yet go up, because they would have to be copied.
func TestJumbo(t *testing.T) {
	l := newLine(t)
	for _, side := range []*netlab.Host{l.Left, l.Right} {
		l.ip(side, "link set eth0 mtu 9000")
	}
	l.ip(l.Middle, "link set eth0 mtu 9000")
	l.ip(l.Middle, "link set eth1 mtu 9000")
	d := startDaemon(t, l.Middle)
	d.do(order{Open: true, Addresses: l.addresses()})
	c := l.call(d, false, false, 0x4000)
	for _, size := range []int{2048, 2049, 8000} {
		c.up(pattern(size))
		c.down(pattern(size))
	}
	c.peer.want(c.flow.Relayed, pattern(2048))
	c.client.want(c.flow.Local, channelData(c.flow.Channel, pattern(2048), 0))
	if got := d.totals(); got.TooLong != 4 || got.PacketsUp != 1 {
		t.Errorf("%+v", got)
	}
	l.checksums(l.Left, "eth0", false)
	l.checksums(l.Right, "eth0", false)
	c.exchange(8900)
}

// TestGrows: a packet can outgrow the interface that it came by, with the header of an indication most of all. Where the kernel cannot
// make room for it then, it goes up.
func TestGrows(t *testing.T) {
	l := newLine(t)
	l.ip(l.Left, "link set eth0 mtu 9000")
	l.ip(l.Middle, "link set eth0 mtu 9000")
	d := startDaemon(t, l.Middle)
	d.do(order{Open: true, Addresses: l.addresses()})
	const whole = 1500 - 20 - 8
	calls := map[int]call{ // by the size that headers grow by
		4: l.call(d, false, false, 0x4000), 36: l.call(d, false, false, 0),
		24: l.call(d, true, false, 0x4001), 56: l.call(d, true, false, 0),
	}
	for header, c := range calls { // the checksums are left to the network card
		c.down(pattern(whole - header + 1))
		c.down(pattern(whole - header))
		c.wantDown(pattern(whole - header))
	}
	if got := d.totals(); got.TooLong != 4 || got.Failed != 0 {
		t.Errorf("%+v", got)
	}
	l.checksums(l.Right, "eth0", false)
	for _, c := range calls {
		for _, size := range []int{whole, whole - 1} { // of which the latter is padded
			c.down(pattern(size))
			c.wantDown(pattern(size))
		}
	}
	if got := d.totals(); got.TooLong != 4 || got.Failed != 0 {
		t.Errorf("%+v", got)
	}
}

// TestRemoveUnderLoad: after Remove has returned, nothing more of what is sent arrives.
func TestRemoveUnderLoad(t *testing.T) {
	l := newLine(t)
	d := startDaemon(t, l.Middle)
	d.do(order{Open: true, Addresses: l.addresses()})
	c := l.call(d, false, false, 0x4000)
	number := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
	sent := 0
	for range 5000 {
		c.up(number(sent))
		sent++
		if sent%8 == 0 {
			for range 8 {
				c.peer.read(patience)
			}
		}
	}
	gone := d.do(order{Remove: &c.flow})
	for range 1000 {
		c.up(number(sent))
		c.down(number(sent))
		sent++
	}
	if gone.Up.Packets != 5000 || gone.Up.Bytes != 8*5000 || gone.Down.Packets != 1 {
		t.Errorf("%+v and %+v", gone.Up, gone.Down)
	}
	// A flow that lives shows that all of it has been through.
	other := l.call(d, false, false, 0x4000)
	other.exchange(20)
	if b, _ := c.peer.read(time.Millisecond); b != nil {
		t.Errorf("packet %d arrived, and Remove was after 4999", binary.BigEndian.Uint64(b))
	}
	if b, _ := c.client.read(time.Millisecond); b != nil {
		t.Errorf("%x arrived after Remove", b)
	}
	if got := d.totals(); got.PacketsUp+got.PacketsDown < 5000 {
		t.Errorf("%+v", got)
	}
}

// attachedTo counts the programs at the ingress of an interface, of both kinds.
func (l line) attachedTo(on *netlab.Host, dev string) int {
	l.t.Helper()
	n := 0
	must(l.t, on.Do(func() error {
		i, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		programs, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return err
		}
		n = len(programs.Programs)
		return nil
	}))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := on.Command(ctx, "tc", "filter", "show", "dev", dev, "ingress").CombinedOutput()
	if err != nil {
		l.t.Fatalf("tc: %v\n%s", err, out)
	}
	return n + strings.Count(string(out), "handle")
}

// TestNothingStays: an end, orderly or not, leaves nothing attached.
func TestNothingStays(t *testing.T) {
	l := newLine(t)
	for name, end := range map[string]func(*daemon){"close": (*daemon).end, "kill -9": (*daemon).kill} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, l.Middle)
			d.do(order{Open: true, Addresses: l.addresses()})
			c := l.call(d, false, false, 0x4000)
			c.exchange(100)
			if n := l.attachedTo(l.Middle, "eth0"); n != 1 {
				t.Errorf("%d programs are attached, want 1", n)
			}
			end(d)
			for _, dev := range []string{"eth0", "eth1"} {
				if n := l.attachedTo(l.Middle, dev); n != 0 {
					t.Errorf("%d programs stay attached to %s", n, dev)
				}
			}
			c.up(pattern(20))
			if b, _ := c.peer.read(50 * time.Millisecond); b != nil {
				t.Error("it goes on forwarding")
			}
		})
	}
}

// TestFilter: the way of kernels before 6.6. A killed process leaves a program that soon stops by itself, and that the next process
// removes.
func TestFilter(t *testing.T) {
	l := newLine(t)
	killed := startDaemon(t, l.Middle)
	killed.do(order{Open: true, Filter: true, Addresses: l.addresses()})
	c := l.call(killed, false, true, 0x4000)
	c.exchange(1400)
	killed.kill()
	begin := time.Now()
	for {
		c.up(pattern(20))
		if b, _ := c.peer.read(200 * time.Millisecond); b == nil {
			break
		}
		if time.Since(begin) > life+patience {
			t.Fatal("it goes on forwarding")
		}
	}
	if n := l.attachedTo(l.Middle, "eth0"); n != 1 {
		t.Errorf("%d filters, want the killed process's", n)
	}
	next := startDaemon(t, l.Middle)
	next.do(order{Open: true, Filter: true, Addresses: l.addresses()})
	c = l.call(next, false, true, 0x4000)
	c.exchange(1400)
	if n := l.attachedTo(l.Middle, "eth0"); n != 1 {
		t.Errorf("%d filters, want one", n)
	}
	next.end()
	if n := l.attachedTo(l.Middle, "eth0"); n != 0 {
		t.Errorf("%d filters stay", n)
	}
}

// TestInterfacesComeAndGo: the program follows interfaces, and flows follow routes.
func TestInterfacesComeAndGo(t *testing.T) {
	l := newLine(t)
	d := startDaemon(t, l.Middle)
	d.do(order{Open: true, Addresses: l.addresses()})
	c := l.call(d, false, false, 0x4000)
	c.exchange(100)
	l.ip(l.Middle, "link del eth1")
	l.ip(l.Middle, "link add eth1 type veth peer name eth0 netns "+l.Right.Namespace())
	l.ip(l.Middle, "addr add "+l.ToRight.String()+"/24 dev eth1")
	l.ip(l.Middle, "link set eth1 up")
	l.ip(l.Right, "addr add "+l.Right.Addr().String()+"/24 dev eth0")
	l.ip(l.Right, "link set eth0 up")
	for begin := time.Now(); ; {
		c.up([]byte("again"))
		if b, _ := c.peer.read(50 * time.Millisecond); b != nil {
			break
		}
		if time.Since(begin) > patience {
			t.Fatal("nothing is forwarded to the new interface")
		}
	}
	for begin := time.Now(); ; {
		c.down([]byte("again"))
		if b, _ := c.client.read(50 * time.Millisecond); b != nil {
			break
		}
		if time.Since(begin) > patience {
			t.Fatal("nothing is forwarded from the new interface")
		}
	}
}
