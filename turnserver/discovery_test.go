package turnserver

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/tokenbucket"
	"example.org/turnpike/turnserver/wire"
)

// startDiscovery runs a server with a DiscoveryPair on two addresses of loopback.
func startDiscovery(t *testing.T, change func(*Config)) (*Server, DiscoveryPair) {
	t.Helper()
	for port := uint16(22000); port < 22100; port += 2 { // the system gives them only to programs that ask for them
		pair := DiscoveryPair{Local: [2]netip.Addr{loopback, peerIP}, Ports: [2]uint16{port, port + 1}}
		pair.External = pair.Local
		s := newServer(t, func(cfg *Config) {
			cfg.Listen = append(cfg.Listen, discoveryListeners(pair)...)
			cfg.Discovery = []DiscoveryPair{pair}
			if change != nil {
				change(cfg)
			}
			pair = cfg.Discovery[0]
		})
		err := s.Start()
		if err == nil {
			return s, pair
		}
		if familyMissing(err) {
			t.Skip("this host has no second loopback address: ", err)
		}
		t.Log(err) // somebody has the port
	}
	t.Fatal("a hundred ports are taken")
	panic("unreachable")
}

func discoveryListeners(pair DiscoveryPair) (out []Listener) {
	for i := range byte(4) {
		out = append(out, Listener{Network: "udp", Addr: pair.local(i)})
	}
	return out
}

// listener is a socket that takes answers from any address.
type listener struct {
	t    testing.TB
	conn *net.UDPConn
}

func newListener(t testing.TB) *listener { return &listener{t, listenPeer(t)} }

func (l *listener) addr() netip.AddrPort { return wire.AddrPortOf(l.conn.LocalAddr()) }

func (l *listener) send(m *stun.Message, to netip.AddrPort) {
	l.t.Helper()
	if _, err := l.conn.WriteToUDPAddrPort(m.Raw, to); err != nil {
		l.t.Fatal(err)
	}
}

// receive returns the next answer and its source.
func (l *listener) receive() (*stun.Message, netip.AddrPort) {
	l.t.Helper()
	if err := l.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		l.t.Fatal(err)
	}
	buf := make([]byte, maxDatagram)
	n, from, err := l.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		l.t.Fatal(err)
	}
	return decode(l.t, buf[:n]), wire.Unmapped(from)
}

func (l *listener) ask(to netip.AddrPort, attrs ...stun.Setter) (*stun.Message, netip.AddrPort) {
	l.t.Helper()
	m := buildMessage(l.t, stun.BindingRequest, attrs...)
	l.send(m, to)
	res, from := l.receive()
	if res.TransactionID != m.TransactionID {
		l.t.Fatalf("got %v to %v", res, m)
	}
	return res, from
}

func changeRequest(flags uint32) attribute {
	return attribute{stun.AttrChangeRequest, binary.BigEndian.AppendUint32(nil, flags)}
}

func responsePort(port uint16) attribute {
	return attribute{stun.AttrResponsePort, binary.BigEndian.AppendUint32(nil, uint32(port)<<16)}
}

func padding(n int) attribute { return attribute{stun.AttrPadding, bytes.Repeat([]byte{0xAA}, n)} }

// addressesIn reads the four addresses of a Binding answer with pion's code.
func addressesIn(t testing.TB, m *stun.Message) (mapped, plain, origin, other netip.AddrPort) {
	t.Helper()
	read := func(typ stun.AttrType) netip.AddrPort {
		var a stun.MappedAddress
		if err := a.GetFromAs(m, typ); err != nil {
			t.Fatalf("%v: %v", typ, err)
		}
		ip, _ := netip.AddrFromSlice(a.IP)
		return netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))
	}
	return addressIn(t, m, stun.AttrXORMappedAddress), read(stun.AttrMappedAddress), read(stun.AttrResponseOrigin), read(stun.AttrOtherAddress)
}

// TestChangeRequest asks each of the four addresses to answer from each of the four (RFC 5780 §6.1, table 1).
func TestChangeRequest(t *testing.T) {
	s, pair := startDiscovery(t, nil)
	for range 4 { // the kernel may give the clients to different loops
		l := newListener(t)
		for to := range byte(4) {
			for name, row := range map[string]struct {
				attrs []stun.Setter
				from  byte
			}{
				"nothing asked":        {nil, to},
				"no flags":             {[]stun.Setter{changeRequest(0)}, to},
				"change port":          {[]stun.Setter{changeRequest(2)}, to ^ wire.ChangePort},
				"change IP":            {[]stun.Setter{changeRequest(4)}, to ^ wire.ChangeIP},
				"both":                 {[]stun.Setter{changeRequest(6)}, to ^ wire.ChangePort ^ wire.ChangeIP},
				"bits without meaning": {[]stun.Setter{changeRequest(0xFFFFFFF9)}, to},
				"the first counts":     {[]stun.Setter{changeRequest(2), changeRequest(4)}, to ^ wire.ChangePort},
				"with FINGERPRINT":     {[]stun.Setter{stun.NewSoftware("x"), changeRequest(4), stun.Fingerprint}, to ^ wire.ChangeIP},
				"after the integrity":  {[]stun.Setter{stun.NewShortTermIntegrity("x"), changeRequest(4)}, to},
			} {
				res, from := l.ask(pair.local(to), row.attrs...)
				if from != pair.local(row.from) {
					t.Errorf("%s to %v: answered from %v, want %v", name, pair.local(to), from, pair.local(row.from))
				}
				mapped, plain, origin, other := addressesIn(t, res)
				if mapped != l.addr() || plain != mapped || origin != from || other != pair.local(to^wire.ChangePort^wire.ChangeIP) {
					t.Errorf("%s to %v: mapped %v and %v, origin %v, other %v", name, pair.local(to), mapped, plain, origin, other)
				}
				if want := name == "with FINGERPRINT"; res.Contains(stun.AttrFingerprint) != want || want && stun.Fingerprint.Check(res) != nil {
					t.Errorf("%s: FINGERPRINT is there %v, good %v", name, !want, stun.Fingerprint.Check(res))
				}
			}
		}
	}
	if counterOf(t, s, "binding_responses", "") != 4*4*9 {
		t.Error("not every answer is counted")
	}
}

// TestDiscoveryElsewhere: the pair changes nothing for other addresses and transports, and for methods other than
// Binding (RFC 5780 §6, §7.2).
func TestDiscoveryElsewhere(t *testing.T) {
	s, pair := startDiscovery(t, nil)
	for _, name := range []string{"udp", "tcp", "tls", "dtls"} { // another UDP listener
		c := dial(t, s, name)
		if res := c.wantCode(c.roundTrip(buildMessage(t, stun.BindingRequest)), 0); res.Contains(stun.AttrOtherAddress) || res.Contains(stun.AttrMappedAddress) {
			t.Errorf("%s: answered %v", name, res)
		}
		for _, a := range []attribute{changeRequest(6), responsePort(5000), padding(100)} {
			res := c.wantCode(c.roundTrip(buildMessage(t, stun.BindingRequest, a)), 420)
			var unknown stun.UnknownAttributes
			if err := unknown.GetFrom(res); err != nil || !slices.Equal(unknown, stun.UnknownAttributes{a.typ}) {
				t.Errorf("%s: UNKNOWN-ATTRIBUTES %v, want %v", name, unknown, a.typ)
			}
		}
	}
	// The pair relays as other listeners do.
	c := dialAddr(t, "udp", pair.local(3)).as(mintREST(t, "alice", time.Hour))
	c.refuse(420, stun.MethodAllocate, transport(transportUDP), changeRequest(0))
	c.allocate()
}

// TestExternalDiscovery: behind a 1:1 NAT, answers name addresses that clients can reach.
func TestExternalDiscovery(t *testing.T) {
	external := [2]netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("9.9.9.9")}
	s, pair := startDiscovery(t, func(cfg *Config) { cfg.Discovery[0].External = external })
	l := newListener(t)
	res, from := l.ask(pair.local(wire.ChangePort), changeRequest(4))
	_, _, origin, other := addressesIn(t, res)
	if from != pair.local(wire.ChangePort|wire.ChangeIP) || origin != netip.AddrPortFrom(external[1], from.Port()) ||
		other != netip.AddrPortFrom(external[1], pair.Ports[0]) {
		t.Errorf("from %v: origin %v, other %v", from, origin, other)
	}
	// A relay sends to them only if they are relays, since they are this host's.
	client := dialREST(t, s, "udp", "alice")
	client.allocate()
	for _, ip := range external {
		client.refuse(403, stun.MethodCreatePermission, peerAddr(netip.AddrPortFrom(ip, 53)))
	}
	if got := counterOf(t, s, "peers_denied", "own_host"); got != 2 {
		t.Errorf("%d of 2 were refused as this host's", got)
	}
}

// TestResponsePort: the answer goes to another port of the address that asked, and nowhere else.
func TestResponsePort(t *testing.T) {
	_, pair := startDiscovery(t, nil)
	asking, hearing := newListener(t), newListener(t)
	port := hearing.addr().Port()
	for name, row := range map[string]struct {
		attrs []stun.Setter
		from  byte
	}{
		"plain":       {[]stun.Setter{responsePort(port)}, 0},
		"two bytes":   {[]stun.Setter{attribute{stun.AttrResponsePort, binary.BigEndian.AppendUint16(nil, port)}}, 0},
		"from afar":   {[]stun.Setter{responsePort(port), changeRequest(6)}, 3},
		"first of it": {[]stun.Setter{responsePort(port), responsePort(9)}, 0},
	} {
		m := buildMessage(t, stun.BindingRequest, row.attrs...)
		asking.send(m, pair.local(0))
		res, from := hearing.receive()
		mapped, _, _, _ := addressesIn(t, res)
		if res.TransactionID != m.TransactionID || from != pair.local(row.from) || mapped != asking.addr() {
			t.Errorf("%s: %v from %v, want the answer to %v from %v", name, res, from, m, pair.local(row.from))
		}
	}
	if res, _ := asking.ask(pair.local(0), responsePort(asking.addr().Port())); codeOf(t, res) != 0 {
		t.Error("the own port is refused")
	}
}

// TestBadDiscovery: an impossible request gets 400, from the address that was asked to the one that asked.
func TestBadDiscovery(t *testing.T) {
	_, pair := startDiscovery(t, nil)
	l := newListener(t)
	for name, row := range map[string]struct {
		attrs []stun.Setter
		code  int
	}{
		"CHANGE-REQUEST too short":     {[]stun.Setter{attribute{stun.AttrChangeRequest, []byte{0, 0, 0}}}, 400},
		"CHANGE-REQUEST too long":      {[]stun.Setter{attribute{stun.AttrChangeRequest, make([]byte, 8)}}, 400},
		"CHANGE-REQUEST empty":         {[]stun.Setter{attribute{stun.AttrChangeRequest, nil}}, 400},
		"RESPONSE-PORT empty":          {[]stun.Setter{attribute{stun.AttrResponsePort, nil}}, 400},
		"RESPONSE-PORT of three bytes": {[]stun.Setter{attribute{stun.AttrResponsePort, []byte{1, 2, 3}}}, 400},
		"port 0":                       {[]stun.Setter{responsePort(0), changeRequest(2)}, 400},
		"a port of services":           {[]stun.Setter{responsePort(53)}, 400},
		"RESPONSE-PORT with PADDING":   {[]stun.Setter{responsePort(5000), padding(4)}, 400},
		"PADDING with RESPONSE-PORT":   {[]stun.Setter{padding(4), responsePort(5000)}, 400},
		"an unknown one as well":       {[]stun.Setter{responsePort(0), attribute{0x7fff, nil}}, 420},
	} {
		res, from := l.ask(pair.local(1), row.attrs...)
		if code := codeOf(t, res); code != row.code || from != pair.local(1) {
			t.Errorf("%s: answered %d from %v, want %d", name, code, from, row.code)
		}
	}
}

// TestPadding: an answer is padded to the length of its request, and never beyond.
func TestPadding(t *testing.T) {
	_, pair := startDiscovery(t, nil)
	l := newListener(t)
	for _, n := range []int{0, 1, 4, 47, 48, 52, 100, 1500, 1501, 4000} {
		for _, attrs := range [][]stun.Setter{
			{padding(n)}, {padding(n), stun.Fingerprint}, {changeRequest(6), padding(n), padding(n / 2), stun.Fingerprint},
		} {
			m := buildMessage(t, stun.BindingRequest, attrs...)
			if len(m.Raw) > wire.MaxRequest {
				continue
			}
			l.send(m, pair.local(0))
			res, _ := l.receive()
			addressesIn(t, res)
			got, err := res.Get(stun.AttrPadding)
			if err != nil || res.TransactionID != m.TransactionID {
				t.Fatalf("%d bytes of padding: %v", n, res)
			}
			full := len(attrs) < 3 && len(got) > 0 // the request is nothing but padding
			if len(got) > wire.Pad4(n) || len(res.Raw) > max(len(m.Raw), 80) || full && len(res.Raw) != len(m.Raw) || !bytes.Equal(got, make([]byte, len(got))) {
				t.Errorf("%d bytes of padding in %d became %d in %d", n, len(m.Raw), len(got), len(res.Raw))
			}
			if res.Contains(stun.AttrFingerprint) && stun.Fingerprint.Check(res) != nil {
				t.Error("the FINGERPRINT is wrong")
			}
		}
	}
}

// fakeSocket keeps the packets that are sent.
type fakeSocket struct {
	sent *[]sentPacket
}

type sentPacket struct {
	from *fakeSocket
	to   netip.AddrPort
	data []byte
}

func (f *fakeSocket) sendTo(_ *worker, c *client, b []byte, _ int) {
	*f.sent = append(*f.sent, sentPacket{f, c.remote, bytes.Clone(b)})
}

// fakeDiscovery is a worker without sockets, and a client of the first of four addresses.
func fakeDiscovery(t testing.TB, pair DiscoveryPair, from netip.AddrPort) (w *worker, c *client, socks [4]*fakeSocket, sent *[]sentPacket) {
	t.Helper()
	sent = new([]sentPacket)
	bound := make(map[netip.AddrPort]boundSocket)
	var addresses [4]boundAddress
	for i := range socks {
		socks[i] = &fakeSocket{sent}
		addresses[i] = newBoundAddress(pair.local(byte(i)), false)
		bound[pair.local(byte(i))] = boundSocket{&addresses[i], socks[i]}
	}
	if err := pair.link(bound); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nil)
	client := addresses[0].client(socks[0], from, pair.Local[0])
	return newWorker(s, newShard(s)), &client, socks, sent
}

func fakePair(a, b string) DiscoveryPair {
	pair := DiscoveryPair{Local: [2]netip.Addr{netip.MustParseAddr(a), netip.MustParseAddr(b)}, Ports: [2]uint16{3478, 3479}}
	pair.External = pair.Local
	return pair
}

// TestDiscoveryNeedsNoHeap: the addresses of a pair answer plain and other requests without the heap, too.
func TestDiscoveryNeedsNoHeap(t *testing.T) {
	s := newServer(t, nil)
	sink := listenPeer(t)
	to := wire.AddrPortOf(listenPeer(t).LocalAddr())
	sock := &udpSocket{srv: s, conn: sink}
	pair := fakePair("127.0.0.1", "127.0.0.2")
	bound := make(map[netip.AddrPort]boundSocket)
	var addresses [4]boundAddress
	for i := range addresses {
		bound[pair.local(byte(i))] = boundSocket{&addresses[i], sock}
	}
	if err := pair.link(bound); err != nil {
		t.Fatal(err)
	}
	c := addresses[0].client(sock, to, pair.Local[0])
	w := newWorker(s, newShard(s))
	b := new(buffer)
	for name, m := range map[string]*stun.Message{
		"plain":    buildMessage(t, stun.BindingRequest),
		"changed":  buildMessage(t, stun.BindingRequest, changeRequest(6), responsePort(5000), stun.Fingerprint),
		"unpadded": buildMessage(t, stun.BindingRequest, padding(4)),
		"padded":   buildMessage(t, stun.BindingRequest, padding(1500)),
	} {
		if allocs := testing.AllocsPerRun(100, func() {
			n := copy(b.bytes[headroom:], m.Raw)
			w.handle(&c, b.bytes[:], headroom, headroom+n)
		}); allocs != 0 {
			t.Errorf("%s: %v allocations a request", name, allocs)
		}
	}
	if counterOf(t, s, "binding_responses", "") == 0 {
		t.Error("nothing was answered")
	}
}

// TestDiscoveryIPv6: the longer addresses all fit.
func TestDiscoveryIPv6(t *testing.T) {
	from := netip.MustParseAddrPort("[2001:db8::7]:7000")
	w, c, socks, sent := fakeDiscovery(t, fakePair("2001:db8::1", "2001:db8::2"), from)
	b := new(buffer)
	for _, attrs := range [][]stun.Setter{{stun.Fingerprint}, {padding(0), changeRequest(4), stun.Fingerprint}, {padding(1300), changeRequest(4), stun.Fingerprint}} {
		m := buildMessage(t, stun.BindingRequest, attrs...)
		*sent = nil
		w.handle(c, b.bytes[:], headroom, headroom+copy(b.bytes[headroom:], m.Raw))
		if len(*sent) != 1 {
			t.Fatalf("%d answers", len(*sent))
		}
		res := decode(t, (*sent)[0].data)
		mapped, plain, origin, other := addressesIn(t, res)
		wantFrom := 0
		if len(attrs) > 1 {
			wantFrom = wire.ChangeIP
		}
		if (*sent)[0].from != socks[wantFrom] || (*sent)[0].to != from || mapped != from || plain != from ||
			origin.Addr() != netip.MustParseAddr([]string{0: "2001:db8::1", wire.ChangeIP: "2001:db8::2"}[wantFrom]) ||
			other != netip.MustParseAddrPort("[2001:db8::2]:3479") || stun.Fingerprint.Check(res) != nil {
			t.Errorf("%v: mapped %v, %v, origin %v, other %v", res, mapped, plain, origin, other)
		}
	}
}

// TestDiscoveryIsLimited: beyond its share, a source gets no answer that is longer than its request. A padded one never
// is.
func TestDiscoveryIsLimited(t *testing.T) {
	w, c, _, sent := fakeDiscovery(t, fakePair("192.0.2.1", "192.0.2.2"), netip.MustParseAddrPort("192.0.2.7:7000"))
	const share = 3
	w.srv.answers = tokenbucket.NewTable[front.Source](share, time.Hour, 1)
	b := new(buffer)
	ask := func(attrs ...stun.Setter) int {
		before := len(*sent)
		m := buildMessage(t, stun.BindingRequest, attrs...)
		w.handle(c, b.bytes[:], headroom, headroom+copy(b.bytes[headroom:], m.Raw))
		return len(*sent) - before
	}
	short := 0
	for _, attrs := range [][]stun.Setter{nil, {changeRequest(6)}, {responsePort(5000)}, {padding(4)}, nil, {changeRequest(2), stun.Fingerprint}} {
		short += ask(attrs...)
	}
	if dropped := counterOf(t, w.srv, "packets_dropped", reasonLabels()[dropAnswerLimit].reason); short != share || dropped != 6-share {
		t.Errorf("%d answered, %d dropped, of 6", short, dropped)
	}
	for range 5 {
		if ask(responsePort(0)) != 1 {
			t.Error("a 400 is no longer than its request, and was not sent")
		}
		if ask(changeRequest(6), padding(1500)) != 1 {
			t.Error("a request with much padding was not answered")
		}
	}
}
