package wire

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// FuzzAttributes: the walk finds the same attributes as pion, in a message that is well-formed.
func FuzzAttributes(f *testing.F) {
	f.Add(stun.MustBuild(stun.BindingRequest, stun.NewSoftware("abc"), stun.NewUsername(""), stun.Fingerprint).Raw)
	f.Add(stun.MustBuild(stun.BindingRequest, stun.NewNonce("12345")).Raw[:28])
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := &stun.Message{Raw: bytes.Clone(raw)}
		err := m.Decode()
		if !WellFormed(raw) {
			return
		}
		found := 0
		for attrs := AttributesOf(raw); ; found++ {
			typ, start, end, more, bad := attrs.Next()
			if bad {
				if err == nil {
					t.Fatalf("% x: attribute %d is bad, and pion reads it", raw, found)
				}
				return
			}
			if !more {
				break
			}
			if typ == 0x8020 { // of an old draft: pion reads it as XOR-MAPPED-ADDRESS
				typ = attrXORMappedAddress
			}
			if err == nil && (found >= len(m.Attributes) || uint16(m.Attributes[found].Type) != typ || !bytes.Equal(m.Attributes[found].Value, raw[start:end])) {
				t.Fatalf("% x: attribute %d is %#x, % x; pion reads %v", raw, found, typ, raw[start:end], m.Attributes)
			}
		}
		if err == nil && found != len(m.Attributes) {
			t.Fatalf("% x: %d attributes, pion reads %d", raw, found, len(m.Attributes))
		}
	})
}

// FuzzXORAddress: an address is read back from what is written, and pion reads the same.
func FuzzXORAddress(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, uint16(9))
	f.Add(netip.MustParseAddr("2001:db8::1").AsSlice(), uint16(0x2112))
	f.Fuzz(func(t *testing.T, ip []byte, port uint16) {
		_, _ = ParseXORAddress(ip, make([]byte, stun.TransactionIDSize)) // any bytes at all
		addr, ok := netip.AddrFromSlice(ip)
		if !ok || addr.Is4In6() {
			return
		}
		m := stun.MustBuild(stun.BindingRequest)
		want := netip.AddrPortFrom(addr, port)
		value := make([]byte, XORAddressSize(addr.Is4()))
		PutXORAddress(value, EndpointOf(want), m.TransactionID[:])
		if got, ok := ParseXORAddress(value, m.TransactionID[:]); !ok || got.AddrPort() != want {
			t.Errorf("%v became %v", want, got.AddrPort())
		}
		m.Add(stun.AttrXORPeerAddress, value)
		var read stun.XORMappedAddress
		if err := read.GetFromAs(m, stun.AttrXORPeerAddress); err != nil || !bytes.Equal(read.IP, ip) || read.Port != int(port) {
			t.Errorf("pion reads %v as %v, %v", want, read, err)
		}
	})
}
