//go:build linux && (amd64 || arm64)

package offload

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.org/turnpike/internal/netlab"
)

// patience bounds what must happen. Nothing waits for it when all is well.
const patience = 10 * time.Second

// line is a client, a relay that is a path and nothing else, and a peer, each on a host of its own:
//
//	left ── middle ── right
//
// No socket is open in the middle: the program has forwarded every datagram that arrives.
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

// call makes a flow from the left host to the right one, with a channel or without, and lets the program see both ends.
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
