package turnload

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

func TestPacket(t *testing.T) {
	b := make([]byte, 120)
	want := packet{run: 1, flow: 2, number: 1<<32 - 1, sent: 1 << 60}
	want.put(b)
	if got, ok := parsePacket(b); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := parsePacket(b[:packetHeader-1]); ok {
		t.Error("a part of a packet was taken")
	}
	b[0]++
	if _, ok := parsePacket(b); ok {
		t.Error("somebody else's packet was taken")
	}
}

// TestHeaders: the generator puts the same bytes before a payload as pion does.
func TestHeaders(t *testing.T) {
	payload := bytes.Repeat([]byte{7}, 120)
	for _, peer := range []string{"192.0.2.1:40000", "[2001:db8::1]:40000"} {
		addr := netip.MustParseAddrPort(peer)
		header, err := indicationHeader(testPeer(addr), len(payload))
		if err != nil {
			t.Fatal(err)
		}
		m := &stun.Message{Raw: append(header, payload...)}
		if err := m.Decode(); err != nil {
			t.Fatal(err)
		}
		data, err := m.Get(stun.AttrData)
		var got stun.XORMappedAddress
		if err != nil || !bytes.Equal(data, payload) || got.GetFromAs(m, stun.AttrXORPeerAddress) != nil || got.String() != peer {
			t.Errorf("%v: %v, %v to %v", m, err, data, got)
		}
	}
	if got := unwrap(append(channelHeader(0x4001, len(payload)), payload...)); !bytes.Equal(got, payload) {
		t.Errorf("% x", got)
	}
}

type testPeer netip.AddrPort

func (p testPeer) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// dataMessage is a Data indication as a server sends it, with DATA among other attributes.
func dataMessage(data []byte) []byte {
	return stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodData, stun.ClassIndication),
		stun.NewSoftware("odd"), stun.RawAttribute{Type: stun.AttrData, Value: data},
		testPeer(netip.MustParseAddrPort("192.0.2.1:1")), stun.Fingerprint).Raw
}

func TestUnwrap(t *testing.T) {
	for _, n := range []int{0, 1, 3, 120} {
		payload := bytes.Repeat([]byte{9}, n)
		if got := unwrap(dataMessage(payload)); !bytes.Equal(got, payload) || got == nil {
			t.Errorf("%d bytes: % x", n, got)
		}
	}
	for name, b := range map[string][]byte{
		"nothing":          {},
		"an answer":        stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw,
		"a cut channel":    {0x40, 0, 0, 5, 1, 2, 3, 4},
		"a cut indication": dataMessage([]byte("data"))[:34],
	} {
		if got := unwrap(b); got != nil {
			t.Errorf("%s has the payload % x", name, got)
		}
	}
}

// FuzzUnwrap: a payload is part of the datagram that it came in.
func FuzzUnwrap(f *testing.F) {
	f.Add(dataMessage([]byte("data")))
	f.Add([]byte{0x40, 0, 0, 1, 2})
	f.Add([]byte{0, 0x17, 0, 8, 0x21, 0x12, 0xa4, 0x42, 19: 0, 20: 0, 21: 0x12, 22: 0xff, 23: 0xff, 27: 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := unwrap(b); len(got) > len(b) || !bytes.Contains(b, got) {
			t.Errorf("% x of % x", got, b)
		}
	})
}
