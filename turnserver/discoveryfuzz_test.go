package turnserver

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// FuzzDiscovery: a Binding request of any bytes to an address of a pair draws the answer that it asks for, as pion
// reads it.
func FuzzDiscovery(f *testing.F) {
	for _, attrs := range [][]stun.Setter{
		nil,
		{changeRequest(6)}, {changeRequest(4), stun.Fingerprint}, {changeRequest(2), changeRequest(4)},
		{responsePort(5000), changeRequest(6)}, {responsePort(53)}, {responsePort(7000)}, {responsePort(0)},
		{attribute{stun.AttrResponsePort, []byte{0x20, 0x20}}}, {attribute{stun.AttrResponsePort, []byte{1}}},
		{padding(3)}, {padding(1500), stun.Fingerprint}, {padding(50), responsePort(5000)},
		{attribute{stun.AttrChangeRequest, []byte{1}}, attribute{0x7ff0, []byte("x")}},
		{changeRequest(2), stun.NewShortTermIntegrity("x"), changeRequest(6), stun.Fingerprint},
	} {
		f.Add(buildMessage(f, stun.BindingRequest, attrs...).Raw, false)
		f.Add(buildMessage(f, stun.BindingRequest, attrs...).Raw, true)
	}
	from4, from6 := netip.MustParseAddrPort("192.0.2.7:7000"), netip.MustParseAddrPort("[2001:db8::7]:700")
	w4, c4, socks4, sent4 := fakeDiscovery(f, fakePair("192.0.2.1", "192.0.2.2"), from4)
	w6, c6, socks6, sent6 := fakeDiscovery(f, fakePair("2001:db8::1", "2001:db8::2"), from6)
	b := new(buffer)
	f.Fuzz(func(t *testing.T, packet []byte, ipv6 bool) {
		if len(packet) > udpio.LargestPayload || len(packet) >= 2 && binary.BigEndian.Uint16(packet) != wire.TypeBindingRequest {
			return
		}
		w, c, socks, sent := w4, c4, socks4, sent4
		if ipv6 {
			w, c, socks, sent = w6, c6, socks6, sent6
		}
		*sent = nil
		w.handle(c, b.bytes[:], headroom, headroom+copy(b.bytes[headroom:headroom+maxDatagram], packet))
		want := expectDiscovery(packet, c, w.srv)
		if len(*sent) == 0 || want.silent {
			if len(*sent) > 0 || !want.silent {
				t.Fatalf("% x drew %d answers", packet, len(*sent))
			}
			return
		}
		got := (*sent)[0]
		res := decode(t, got.data)
		if len(*sent) > 1 || got.to != want.to || got.from != socks[want.from] || codeOf(t, res) != want.code {
			t.Fatalf("% x drew %d answers, the first %d to %v", packet, len(*sent), codeOf(t, res), got.to)
		}
		if !bytes.Equal(res.TransactionID[:], packet[8:wire.HeaderSize]) {
			t.Fatal("the answer has another transaction")
		}
		if want.code != 0 {
			return
		}
		mapped, plain, origin, other := addressesIn(t, res)
		if mapped != c.remote || plain != mapped || origin != c.origin.changeTo[want.from].address.AddrPort() || other != c.origin.changeTo[3].address.AddrPort() {
			t.Fatalf("% x: mapped %v and %v, origin %v, other %v", packet, mapped, plain, origin, other)
		}
		padding, err := res.Get(stun.AttrPadding)
		if (err == nil) != want.padded || len(padding) > want.padding || len(padding) > 0 && len(got.data) > len(packet) {
			t.Fatalf("% x, of %d bytes, drew %d with %d of padding", packet, len(packet), len(got.data), len(padding))
		}
	})
}

// discoveryOutcome is the right outcome of a Binding request to the first address of a pair.
type discoveryOutcome struct {
	silent  bool
	code    int
	from    byte
	to      netip.AddrPort
	padded  bool
	padding int // at most
}

// expectDiscovery returns the outcome as pion reads the request.
func expectDiscovery(packet []byte, c *client, srv *Server) discoveryOutcome {
	want := discoveryOutcome{to: c.remote}
	m := &stun.Message{Raw: bytes.Clone(packet)}
	if len(packet)%4 != 0 || len(packet) > wire.MaxRequest || m.Decode() != nil || len(packet) != wire.HeaderSize+int(m.Length) {
		return discoveryOutcome{silent: true}
	}
	var port []byte
	var changed, bad, unknown bool
	for i, a := range m.Attributes {
		if a.Type == stun.AttrFingerprint && (i != len(m.Attributes)-1 || stun.Fingerprint.Check(m) != nil) {
			return discoveryOutcome{silent: true}
		}
	}
	for _, a := range m.Attributes {
		if a.Type == stun.AttrMessageIntegrity || a.Type == stun.AttrMessageIntegritySHA256 && srv.knows(a.Type) {
			break
		}
		switch {
		case a.Type == stun.AttrChangeRequest && !changed:
			changed = true
			if bad = bad || len(a.Value) != 4; !bad {
				want.from = a.Value[3] & 6 / 2
			}
		case a.Type == stun.AttrResponsePort && port == nil:
			port = append([]byte{}, a.Value...)
		case a.Type == stun.AttrPadding && !want.padded:
			want.padded, want.padding = true, wire.Pad4(len(a.Value))
		case a.Type == stun.AttrChangeRequest, a.Type == stun.AttrResponsePort, a.Type == stun.AttrPadding:
		case a.Type < 0x8000 && !srv.knows(a.Type):
			unknown = true
		}
	}
	if port != nil {
		if len(port) != 2 && len(port) != 4 || want.padded {
			bad = true
		} else if p := binary.BigEndian.Uint16(port); p == 0 || p < 1024 && p != c.remote.Port() {
			bad = true
		} else {
			want.to = netip.AddrPortFrom(c.remote.Addr(), p)
		}
	}
	if unknown || bad {
		want.from, want.to, want.code = 0, c.remote, 400
		if unknown {
			want.code = 420
		}
	}
	return want
}
