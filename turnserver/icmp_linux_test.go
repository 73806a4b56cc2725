//go:build linux && (amd64 || arm64)

package turnserver

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"example.org/turnpike/turnserver/tokenbucket"
	"example.org/turnpike/turnserver/wire"
)

// icmpIn reads the next frame that is a Data indication with ICMP (RFC 8656 §18.13).
func (c *testClient) icmpIn() (peer netip.AddrPort, typ, code uint8, data uint32) {
	c.t.Helper()
	m := decode(c.t, c.next())
	v, err := m.Get(stun.AttrType(wire.AttrICMP))
	if m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) || err != nil || len(v) != 8 || m.Contains(stun.AttrData) {
		c.t.Fatalf("got %v, want a Data indication with ICMP alone", m)
	}
	word := binary.BigEndian.Uint32(v)
	return addressIn(c.t, m, stun.AttrXORPeerAddress), uint8(word >> 9), uint8(word & 0x1FF), binary.BigEndian.Uint32(v[4:])
}

// closedPort returns an address at peerIP where nobody listens.
func closedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	conn := listenAt(t, peerIP)
	_ = conn.Close()
	return wire.AddrPortOf(conn.LocalAddr())
}

// TestICMP: a client learns that its peer's port is closed, over each transport, with channels and with indications.
func TestICMP(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, closed := dialREST(t, s, network, "alice"), closedPort(t)
		c.allocate()
		c.bind(wire.MinChannel, closed)
		for i, send := range []func(){
			func() { c.sendChannel(wire.MinChannel, []byte("anybody there?")) },
			func() { c.indicate(closed, []byte("anybody there?")) },
		} {
			send()
			if portable {
				waitCounted(t, s, "packets_relayed", "up", uint64(i+1)) // and nothing else happens
				continue
			}
			if peer, typ, code, data := c.icmpIn(); peer != closed || typ != wire.ICMPv4Unreachable || code != 3 || data != 0 {
				t.Errorf("got type %d, code %d, data %d about %v", typ, code, data, peer)
			}
			waitCounted(t, s, "icmp_messages_relayed", "", uint64(i+1))
		}
	})
}

// TestICMPHarmsNobody: while one peer's port is closed, data for another arrives whole and in order, though the kernel
// returns the first peer's errors from any call that comes next.
func TestICMPHarmsNobody(t *testing.T) {
	s := startServer(t, allowLoopback)
	c, peer, closed := dialREST(t, s, "udp", "alice"), newPeer(t), closedPort(t)
	relayed := c.allocate()
	c.bind(wire.MinChannel, closed)
	c.bind(wire.MinChannel+1, peer.addr)
	for i := range 200 {
		c.sendChannel(wire.MinChannel, []byte("nobody"))
		c.sendChannel(wire.MinChannel+1, pattern(i))
		peer.want(relayed, pattern(i))
	}
}

// TestICMPNotRelayed: the server drops messages about peers without a permission, messages of other types, and too many
// messages.
func TestICMPNotRelayed(t *testing.T) {
	f := newBenchFlow(t, "udp")
	told := new(tokenbucket.Bucket)
	peer := wire.EndpointOf(f.peer)
	refused := func(m wire.ICMPMessage, reason string) {
		t.Helper()
		before := counterOf(t, f.srv, "packets_dropped", reason)
		f.alloc.fromICMP(f.worker, &m, told)
		if got := counterOf(t, f.srv, "packets_dropped", reason) - before; got != 1 {
			t.Errorf("%+v: %d were counted as %s", m, got, reason)
		}
	}
	refused(wire.NewICMPMessage(wire.EndpointOf(at("192.0.2.1")), wire.ICMPv4Unreachable, 3, 0), "icmp")
	for _, typ := range []uint8{0, 4, 5, 8, 12} {
		refused(wire.NewICMPMessage(peer, typ, 0, 0), "icmp")
	}
	m := wire.NewICMPMessage(peer, wire.ICMPv4Unreachable, wire.ICMPv4TooBig, 1400)
	if m.Data != 1400 || wire.NewICMPMessage(peer, wire.ICMPv4Unreachable, 3, 1400).Data != 0 {
		t.Error("the MTU is of type 3, code 4 alone")
	}
	for range icmpBurst {
		f.alloc.fromICMP(f.worker, &m, told)
	}
	refused(m, "icmp_limit")
	if !told.Take(time.Duration(f.srv.now().plus(icmpInterval)), icmpInterval, icmpBurst*icmpInterval) {
		t.Error("the next one comes too late")
	}
}

// captureIPv4 returns a function that waits for the next UDP packet over loopback to port, and returns its IPv4 header.
func captureIPv4(t *testing.T, port uint16) func() []byte {
	t.Helper()
	const ip = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xFF<<8 // in network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, ip)
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("packets cannot be captured: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience / time.Second)}); err != nil {
		t.Fatal(err)
	}
	// The kernel filters, since other tests flood loopback, too: UDP to the port, in a packet without options.
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 22},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(port), Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_UDP, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: maxDatagram},
		{Code: unix.BPF_RET | unix.BPF_K},
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		t.Fatal(err)
	}
	return func() []byte {
		t.Helper()
		buf := make([]byte, maxDatagram)
		for {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err == unix.EINTR { // Go's scheduler interrupts threads by signals
				continue
			}
			if err != nil {
				t.Fatal("capture: ", err)
			}
			if n >= 28 && buf[9] == unix.IPPROTO_UDP && binary.BigEndian.Uint16(buf[22:]) == port {
				return buf[:20]
			}
		}
	}
}

// TestDontFragment: DONT-FRAGMENT sets DF on the packet that it came with, and on no other (RFC 8656 §11.2). Where the
// system cannot do that, the server does not know the attribute.
func TestDontFragment(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		capture := captureIPv4(t, peer.addr.Port())
		whole := attribute{stun.AttrDontFragment, nil}
		if portable {
			c.refuse(420, stun.MethodAllocate, transport(transportUDP), whole)
			c.allocate()
			c.permit(peer.addr)
			c.write(buildMessage(t, stun.NewType(stun.MethodSend, stun.ClassIndication), peerAddr(peer.addr), whole, attribute{stun.AttrData, []byte("x")}).Raw)
			c.barrier()
			waitCounted(t, s, "packets_dropped", "unexpected", 1)
			return
		}
		relayed := c.allocate(whole)
		c.permit(peer.addr)
		for i := range 6 {
			attrs := []stun.Setter{peerAddr(peer.addr), attribute{stun.AttrData, pattern(i)}}
			if i%2 == 1 {
				attrs = append(attrs, whole)
			}
			c.write(buildMessage(t, stun.NewType(stun.MethodSend, stun.ClassIndication), attrs...).Raw)
			peer.want(relayed, pattern(i))
			if set := capture()[6]&0x40 != 0; set != (i%2 == 1) {
				t.Errorf("packet %d: DF is %v", i, set)
			}
		}
		waitCounted(t, s, "packets_relayed", "up", 6) // the last is counted after it has left
	})
}
