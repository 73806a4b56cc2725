package turnserver

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// onFamilies runs a test on listeners of both families, over UDP and TCP.
func onFamilies(t *testing.T, test func(t *testing.T, s *Server, network string)) {
	t.Helper()
	for _, ip := range []netip.Addr{loopback, netip.IPv6Loopback()} {
		t.Run(ip.String(), func(t *testing.T) {
			s := newServer(t, func(cfg *Config) {
				for i := range cfg.Listen {
					cfg.Listen[i].Addr = netip.AddrPortFrom(ip, 0)
				}
			})
			if err := s.Start(); familyMissing(err) {
				t.Skip("this host has no such address: ", err)
			} else if err != nil {
				t.Fatal(err)
			}
			onEach(t, func(t *testing.T, network string) { test(t, s, network) })
		})
	}
}

func TestBinding(t *testing.T) {
	onFamilies(t, func(t *testing.T, s *Server, network string) {
		c := dial(t, s, network)
		for _, attrs := range [][]stun.Setter{
			nil,
			{stun.NewSoftware("a client")}, // comprehension-optional
			{stun.NewUsername("a:b"), stun.NewRealm("anyone")}, // no credential is needed
		} {
			res := c.wantCode(c.roundTrip(buildMessage(t, stun.BindingRequest, attrs...)), 0)
			if got := addressIn(t, res, stun.AttrXORMappedAddress); got != c.addr() {
				t.Errorf("XOR-MAPPED-ADDRESS is %v, want %v", got, c.addr())
			}
			if res.Contains(stun.AttrFingerprint) {
				t.Error("FINGERPRINT was answered though not sent")
			}
		}
	})
}

func TestFingerprint(t *testing.T) {
	onFamilies(t, func(t *testing.T, s *Server, network string) {
		c := dial(t, s, network)
		for name, m := range map[string]*stun.Message{
			"success":              buildMessage(t, stun.BindingRequest, stun.Fingerprint),
			"unknown attribute":    buildMessage(t, stun.BindingRequest, attribute{0x7ff0, nil}, stun.Fingerprint),
			"not authenticated":    buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.Fingerprint),
			"with another besides": buildMessage(t, stun.BindingRequest, stun.NewSoftware("x"), stun.Fingerprint),
		} {
			if err := stun.Fingerprint.Check(c.roundTrip(m)); err != nil {
				t.Errorf("%s: the answer's FINGERPRINT: %v", name, err)
			}
		}
	})
}

// TestBadFingerprint: a packet that only looks like STUN gets no answer (RFC 8489 §7.3).
func TestBadFingerprint(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		c := dial(t, s, network)
		types := []stun.MessageType{stun.BindingRequest, stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.NewType(stun.MethodSend, stun.ClassIndication)}
		for _, typ := range types {
			m := buildMessage(t, typ, stun.Fingerprint)
			m.Raw[len(m.Raw)-1] ^= 1
			c.write(m.Raw)
		}
		c.wantSilence()
		waitCounted(t, s, "packets_dropped", "malformed", uint64(len(types)))
	})
}

func TestUnknownAttributes(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		c := dialREST(t, startServer(t, nil), network, "alice").challenged()
		for name, row := range map[string]struct {
			request *stun.Message
			want    []stun.AttrType
		}{
			"binding": {
				buildMessage(t, stun.BindingRequest, attribute{0x0003, make([]byte, 4)}, attribute{0x8001, nil}),
				[]stun.AttrType{stun.AttrChangeRequest},
			},
			"several": {
				c.build(stun.MethodAllocate, transport(transportUDP), attribute{0x7ffd, nil}, attribute{0x7fff, []byte("x")}),
				[]stun.AttrType{0x7ffd, 0x7fff},
			},
			"before an allocation is looked for": {
				c.build(stun.MethodRefresh, attribute{0x7ffe, nil}),
				[]stun.AttrType{0x7ffe},
			},
		} {
			res := c.wantCode(c.roundTrip(row.request), 420)
			var got stun.UnknownAttributes
			if err := got.GetFrom(res); err != nil {
				t.Fatal(name, err)
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("%s: UNKNOWN-ATTRIBUTES are %v, want %v", name, got, row.want)
			}
		}
	})
}

// TestUnknownAttributesAreBounded: a request full of unknown attributes is no amplifier.
func TestUnknownAttributesAreBounded(t *testing.T) {
	c := dial(t, startServer(t, nil), "udp")
	m := buildMessage(t, stun.BindingRequest)
	for i := range 1000 {
		m.Add(stun.AttrType(0x7000+i), nil)
	}
	if res := c.wantCode(c.roundTrip(m), 420); len(res.Raw) > 100 {
		t.Errorf("answered with %d bytes", len(res.Raw))
	}
}

// TestNotAnswered lists packets that look like STUN and must be dropped in silence (RFC 8489 §6.3), while the client's
// others are served. A stream survives these, because its frames are whole.
func TestNotAnswered(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		c := dial(t, s, network)
		for name, row := range map[string]struct {
			packet []byte
			reason string
		}{
			"binding indication":      {buildMessage(t, stun.NewType(stun.MethodBinding, stun.ClassIndication)).Raw, ""},
			"data indication":         {buildMessage(t, stun.NewType(stun.MethodData, stun.ClassIndication)).Raw, ""},
			"success response":        {buildMessage(t, stun.BindingSuccess).Raw, "unexpected"},
			"error response":          {buildMessage(t, stun.BindingError).Raw, "unexpected"},
			"unknown method":          {buildMessage(t, stun.NewType(0x0ff, stun.ClassRequest)).Raw, "unexpected"},
			"a server's method":       {buildMessage(t, stun.NewType(stun.MethodConnectionAttempt, stun.ClassRequest)).Raw, "unexpected"},
			"attribute cut short":     {cutAttribute(t, stun.BindingRequest), "malformed"},
			"Allocate cut short":      {cutAttribute(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest)), "malformed"},
			"Send cut short":          {cutAttribute(t, stun.NewType(stun.MethodSend, stun.ClassIndication)), "malformed"},
			"Send with no data":       {buildMessage(t, stun.NewType(stun.MethodSend, stun.ClassIndication), peerAddr(netip.MustParseAddrPort("192.0.2.1:9"))).Raw, "malformed"},
			"Send with no peer":       {buildMessage(t, stun.NewType(stun.MethodSend, stun.ClassIndication), attribute{stun.AttrData, []byte("x")}).Raw, "malformed"},
			"Send without allocation": {sendIndication(t, netip.MustParseAddrPort("192.0.2.1:9"), []byte("x")), "no_allocation"},
		} {
			before := uint64(0)
			if row.reason != "" {
				before = counterOf(t, s, "packets_dropped", row.reason)
			}
			c.write(row.packet)
			if got := c.barrier(); len(got) > 0 {
				t.Errorf("%s: answered with % x", name, got[0])
			}
			if row.reason != "" && counterOf(t, s, "packets_dropped", row.reason) != before+1 {
				t.Errorf("%s: not counted as %s", name, row.reason)
			}
		}
	})
}

// cutAttribute makes a message with one attribute, which claims to be longer than it is.
func cutAttribute(t *testing.T, typ stun.MessageType) []byte {
	m := buildMessage(t, typ, attribute{stun.AttrSoftware, []byte("abcd")})
	binary.BigEndian.PutUint16(m.Raw[wire.HeaderSize+2:], 5)
	return m.Raw
}

// TestMalformedDatagrams: a datagram is answered only if it is one whole STUN message.
func TestMalformedDatagrams(t *testing.T) {
	s := startServer(t, nil)
	c := dial(t, s, "udp")
	good := buildMessage(t, stun.BindingRequest, stun.NewSoftware("abcd")).Raw
	changed := func(change func(b []byte)) []byte {
		b := slices.Clone(good)
		change(b)
		return b
	}
	packets := [][]byte{
		{}, {0}, {0, 1, 0}, {0, 1, 0, 0}, good[:19], good[:20], good[:len(good)-4], good[:len(good)-1],
		append(slices.Clone(good), 0),
		append(slices.Clone(good), 0, 0, 0, 0),
		changed(func(b []byte) { b[0] |= 0x80 }),
		changed(func(b []byte) { b[0] |= 0xC0 }),
		changed(func(b []byte) { b[0] = 0x80 }),
		changed(func(b []byte) { b[4] ^= 1 }), // RFC 3489 had no magic cookie
		changed(func(b []byte) { b[3]++ }),
		changed(func(b []byte) { b[2], b[3] = 0xFF, 0xEC }),
	}
	for _, p := range packets {
		c.write(p)
	}
	c.wantSilence()
	waitCounted(t, s, "packets_dropped", "malformed", uint64(len(packets)))
}

// TestRFC5769 sends the RFC's request, with PRIORITY, which only ICE agents understand, and compares the server's
// address with the RFC's.
func TestRFC5769(t *testing.T) {
	request := []byte("\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x80\x22\x00\x10STUN test client" +
		"\x00\x24\x00\x04\x6e\x00\x01\xff" +
		"\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36" +
		"\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20" +
		"\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2" +
		"\x80\x28\x00\x04\xe5\x7a\x3b\xcf")
	c := dial(t, startServer(t, nil), "udp")
	res := c.wantCode(c.roundTrip(decode(t, request)), 420)
	var unknown stun.UnknownAttributes
	if err := unknown.GetFrom(res); err != nil || !slices.Equal(unknown, stun.UnknownAttributes{stun.AttrPriority}) {
		t.Errorf("UNKNOWN-ATTRIBUTES are %v (%v), want PRIORITY", unknown, err)
	}
	if err := stun.Fingerprint.Check(res); err != nil {
		t.Error("the answer's FINGERPRINT:", err)
	}

	id := request[8:wire.HeaderSize]
	for _, row := range []struct{ addr, value string }{ // RFC 5769 §2.2, §2.3
		{"192.0.2.1:32853", "\x00\x01\xa1\x47\xe1\x12\xa6\x43"},
		{"[2001:db8:1234:5678:11:2233:4455:6677]:32853", "\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9"},
	} {
		e := wire.EndpointOf(netip.MustParseAddrPort(row.addr))
		var value [20]byte
		size := wire.XORAddressSize(e.Addr().Is4())
		wire.PutXORAddress(value[:size], e, id)
		if string(value[:size]) != row.value {
			t.Errorf("%s encodes to % x, want % x", row.addr, value[:size], row.value)
		}
		if got, ok := wire.ParseXORAddress([]byte(row.value), id); !ok || got != e {
			t.Errorf("% x decodes to %v, %v, want %s", row.value, got, ok, row.addr)
		}
	}
}

// TestBindingNeedsNoHeap: requests that anybody may send leave no garbage.
func TestBindingNeedsNoHeap(t *testing.T) {
	s := newServer(t, nil)
	sink := listenPeer(t) // the answers go here, and overflow
	to := wire.AddrPortOf(listenPeer(t).LocalAddr())
	c := &client{tuple: wire.FiveTuple{Client: wire.EndpointOf(to), Local: wire.EndpointOf(to), Protocol: wire.UDP}, remote: to, sock: &udpSocket{srv: s, conn: sink}}
	w := newWorker(s, newShard(s))
	b := new(buffer)
	for name, m := range map[string]*stun.Message{
		"plain":       buildMessage(t, stun.BindingRequest),
		"fingerprint": buildMessage(t, stun.BindingRequest, stun.NewSoftware("x"), stun.Fingerprint),
	} {
		n := copy(b.bytes[headroom:], m.Raw)
		if allocs := testing.AllocsPerRun(100, func() { w.handle(c, b.bytes[:], headroom, headroom+n) }); allocs != 0 {
			t.Errorf("%s: %v allocations a request", name, allocs)
		}
	}
	if counterOf(t, s, "binding_responses", "") == 0 {
		t.Error("nothing was answered")
	}
}
