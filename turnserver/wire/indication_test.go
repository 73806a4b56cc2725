package wire

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// FuzzICMPIndication: whatever ICMP says, its indication is well-formed and names the peer; only a message that is
// about an MTU tells one.
func FuzzICMPIndication(f *testing.F) {
	f.Add(uint8(3), uint8(3), uint32(0), true)
	f.Add(uint8(3), uint8(4), uint32(1400), true)
	f.Add(uint8(2), uint8(0), uint32(1280), false)
	f.Fuzz(func(t *testing.T, typ, code uint8, mtu uint32, is4 bool) {
		peer := netip.MustParseAddrPort("[2001:db8::1]:9")
		if is4 {
			peer = netip.MustParseAddrPort("192.0.2.1:9")
		}
		m := NewICMPMessage(EndpointOf(peer), typ, code, mtu)
		if m.Data != 0 && m.ForClients() && m.Code != ICMPv4TooBig && m.Type != ICMPv6TooBig {
			t.Errorf("%+v", m)
		}
		var b [128]byte
		out := PutICMPIndication(b[:], &m)
		var got stun.XORMappedAddress
		decoded := &stun.Message{Raw: out}
		if !WellFormed(out) || decoded.Decode() != nil || got.GetFromAs(decoded, stun.AttrXORPeerAddress) != nil {
			t.Fatalf("% x", out)
		}
		if ip, _ := netip.AddrFromSlice(got.IP); netip.AddrPortFrom(ip.Unmap(), uint16(got.Port)) != peer {
			t.Errorf("about %v, not %v", got, peer)
		}
	})
}
