//go:build linux && (amd64 || arm64)

package offload

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestMapped: an IPv6 packet between IPv4-mapped addresses is not one of the IPv4 flow that has the same key.
func TestMapped(t *testing.T) {
	eachWay(t, func(t *testing.T, set func(...*Flow)) {
		r := newRig(t)
		f := r.flow(false, false)
		set(&f)
		r.confirmed(f)
		mapped := func(a netip.AddrPort) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
		}
		for _, d := range []datagram{upPacket(f, pattern(20), 0), downPacket(f, pattern(20))} {
			r.wantVerdict(d, forward)
			d.from, d.to = mapped(d.from), mapped(d.to)
			r.wantVerdict(d, pass)
		}
	})
}

// TestOldChannels: the program takes the channel numbers that RFC 5766 had, and RFC 8656 has no longer.
func TestOldChannels(t *testing.T) {
	r := newRig(t)
	for _, channel := range []uint16{0x4000, 0x4fff, 0x5000, 0x7fff} {
		f := r.flow(false, false)
		f.Channel, f.Client = channel, netip.AddrPortFrom(f.Client.Addr(), channel)
		f.Peer = netip.AddrPortFrom(f.Peer.Addr(), channel)
		r.confirmed(f)
		r.wantVerdict(upPacket(f, pattern(20), 0), forward)
		r.wantVerdict(downPacket(f, pattern(20)), forward)
	}
}

// TestPassedUnchanged: a packet whose checksum happens to be what one of an unfinished sum is, and that goes up in the
// end because it has no room to grow, goes up as it came.
func TestPassedUnchanged(t *testing.T) {
	r := newRig(t)
	f := r.flow(false, false)
	f.Channel = 0 // its packets from the peer are padded
	r.confirmed(f)
	d := downPacket(f, pattern(1001))
	size := 8 + len(d.data)
	pseudo := onesSum(pseudoHeader(d.from.Addr(), d.to.Addr(), size))
	header := onesSum([]byte{byte(d.from.Port() >> 8), byte(d.from.Port()), byte(d.to.Port() >> 8), byte(d.to.Port()), byte(size >> 8), byte(size)})
	clear(d.data[:2])
	rest := onesSum(d.data)
	var missing []byte
	for _, sum := range []uint16{pseudo, pseudo, header, rest} {
		missing = binary.BigEndian.AppendUint16(missing, ^sum)
	}
	binary.BigEndian.PutUint16(d.data, onesSum(missing))
	frame := d.frame()
	if got := binary.BigEndian.Uint16(frame[ethernetSize+20+6:]); got != pseudo {
		t.Fatalf("the checksum is %#x, want %#x", got, pseudo)
	}
	if verdict, _ := r.run(frame); verdict != forward {
		t.Fatalf("verdict %d with room to grow", int32(verdict))
	}
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetMTU(lo, len(frame)-ethernetSize))
	if verdict, out := r.run(frame); verdict != pass || !bytes.Equal(out, frame) {
		t.Errorf("verdict %d\n%x became\n%x", int32(verdict), frame, out)
	}
	if got := r.totals(); got.TooLong != 1 {
		t.Errorf("%+v", got)
	}
}
