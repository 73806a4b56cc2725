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

// FuzzXORAddress: an address that was parsed is written as it was, and pion reads the same.
func FuzzXORAddress(f *testing.F) {
	f.Add([]byte("\x00\x01\xa1\x47\xe1\x12\xa6\x43"), []byte("0123456789ab"))
	f.Add([]byte("\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9"), []byte("0123456789ab"))
	f.Add([]byte{0, 3, 0, 0}, []byte("0123456789ab"))
	f.Fuzz(func(t *testing.T, value, id []byte) {
		if len(id) != stun.TransactionIDSize {
			return
		}
		e, ok := ParseXORAddress(value, id)
		if !ok {
			return
		}
		var again [20]byte
		size := XORAddressSize(e.Addr().Is4())
		PutXORAddress(again[:size], e, id)
		mapped := len(value) == 20 && size == 8 // such an address is written as IPv4
		if !mapped && !bytes.Equal(again[1:size], value[1:]) {
			t.Errorf("% x became %v became % x", value, e, again[:size])
		}
		if back, ok := ParseXORAddress(again[:size], id); !ok || back != e {
			t.Errorf("%v became % x became %v", e, again[:size], back)
		}
		m := stun.MustBuild(stun.BindingRequest)
		copy(m.TransactionID[:], id)
		m.WriteTransactionID()
		value[0] = 0 // reserved: ignored here, but pion refuses other values
		m.Add(stun.AttrXORPeerAddress, value)
		var other stun.XORMappedAddress
		if err := other.GetFromAs(m, stun.AttrXORPeerAddress); err != nil {
			t.Fatalf("% x: parsed, but pion says %v", value, err)
		}
		ip, _ := netip.AddrFromSlice(other.IP)
		if ip.Unmap() != e.Addr() || other.Port != int(e.Port) {
			t.Errorf("% x is %v, but pion says %v", value, e.AddrPort(), other)
		}
	})
}
