//go:build linux && (amd64 || arm64)

package offload

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestTraffic: datagrams of real sockets arrive whole, and the receiving kernel accepts them, whichever part computes
// the checksums: the sender, a network card on the way, or nobody between virtual interfaces, where nothing can break.
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

// TestTooLong: packets that are too long for the next link go up, and do not get lost in the program.
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

// TestGrows: a packet can outgrow the interface that it came by, with the header of an indication most of all. Where
// the kernel cannot make room for it then, it goes up.
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

// TestRemoveUnderLoad: after Remove has returned, no later packet arrives.
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
	// A flow that lives shows that all packets have passed.
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
