package path

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"example.org/turnpike/signal/wire"
)

// stunMessage is a header alone.
func stunMessage(typ uint16) []byte {
	b := make([]byte, stunHeader)
	binary.BigEndian.PutUint16(b, typ)
	binary.BigEndian.PutUint32(b[4:], magicCookie)
	return b
}

// fakeAllocation has one channel.
type fakeAllocation struct {
	allocation
	channel uint16
	peer    netip.AddrPort
	bound   bool
	written int
}

func (f *fakeAllocation) FindAddrByChannelNumber(n uint16) (net.Addr, bool) {
	return net.UDPAddrFromAddrPort(f.peer), n == f.channel
}
func (f *fakeAllocation) FindChannelNumberByAddr(a net.Addr) (uint16, bool) {
	return f.channel, a.String() == f.peer.String()
}
func (f *fakeAllocation) IsChannelActive(uint16) bool { return f.bound }
func (f *fakeAllocation) WriteTo(b []byte, _ net.Addr) (int, error) {
	f.written++
	return len(b), nil
}

var (
	serverAt = netip.MustParseAddrPort("11.22.33.1:3478")
	peerAt   = netip.MustParseAddrPort("11.22.33.2:5000")
	stranger = netip.MustParseAddrPort("11.22.33.3:6000")
)

func testSources() (*sources, *server) {
	srv := &server{address: serverAt}
	srv.current.Store(&relay{conn: &fakeAllocation{channel: 0x4001, peer: peerAt}})
	return &sources{servers: map[netip.AddrPort]*server{serverAt: srv}, peers: map[netip.AddrPort]struct{}{peerAt: {}}}, srv
}

func TestClassify(t *testing.T) {
	s, _ := testSources()
	quic := []byte{0x41, 1, 2, 3, 4, 5} // It could be ChannelData by its first byte.
	inside := func(b []byte) []byte { return appendChannelData(nil, 0x4001, b, len(b)) }
	for name, row := range map[string]struct {
		from netip.AddrPort
		b    []byte
		kind kind
		data []byte
	}{
		"QUIC of the peer":           {peerAt, quic, toQUIC, quic},
		"QUIC of a stranger":         {stranger, quic, dropped, nil},
		"STUN of the peer":           {peerAt, stunMessage(1), toICE, stunMessage(1)},
		"STUN of a stranger":         {stranger, stunMessage(1), toICE, stunMessage(1)},
		"STUN of the server":         {serverAt, stunMessage(0x101), toServer, stunMessage(0x101)},
		"QUIC in the channel":        {serverAt, inside(quic), toQUIC, quic},
		"STUN in the channel":        {serverAt, inside(stunMessage(1)), toICE, stunMessage(1)},
		"a channel nobody bound":     {serverAt, appendChannelData(nil, 0x4002, quic, len(quic)), dropped, nil},
		"a channel that is cut":      {serverAt, inside(quic)[:8], dropped, nil},
		"a padded channel":           {serverAt, append(inside(quic), 0, 0), toQUIC, quic},
		"what is none of ours":       {peerAt, []byte{22, 254, 253, 0}, dropped, nil},
		"nothing":                    {peerAt, nil, dropped, nil},
		"a server's packet, no TURN": {serverAt, []byte{0xc0, 0, 0, 0, 0, 0}, dropped, nil},
	} {
		k, data, _, _ := s.classify(row.from, row.b)
		if k != row.kind || !bytes.Equal(data, row.data) {
			t.Errorf("%s: %d with %x, not %d with %x", name, k, data, row.kind, row.data)
		}
	}
}

// FuzzClassify holds that QUIC gets packets of the peer alone, and never STUN.
func FuzzClassify(f *testing.F) {
	f.Add([]byte{0x41, 1, 2}, uint8(0))
	f.Add(stunMessage(1), uint8(1))
	f.Add(appendChannelData(nil, 0x4001, []byte{0x40, 1}, 2), uint8(2))
	s, _ := testSources()
	f.Fuzz(func(t *testing.T, b []byte, from uint8) {
		at := []netip.AddrPort{peerAt, stranger, serverAt}[from%3]
		k, data, srv, peer := s.classify(at, b)
		switch k {
		case toQUIC:
			if peer != peerAt || at == stranger || !isQUIC(data) || isSTUN(data) {
				t.Errorf("QUIC has %x of %v", data, peer)
			}
		case toICE:
			if !isSTUN(data) {
				t.Errorf("ICE has %x", data)
			}
		case toServer:
			if srv == nil || at != serverAt {
				t.Errorf("the server's client has %x of %v", data, at)
			}
		}
		if len(data) > len(b) {
			t.Errorf("%d bytes became %d", len(b), len(data))
		}
	})
}

// FuzzChannelData holds that what is put into channels comes out.
func FuzzChannelData(f *testing.F) {
	f.Add([]byte("0123456789"), uint16(4))
	f.Fuzz(func(t *testing.T, b []byte, segment uint16) {
		size := int(segment)%maxDatagram + 1
		var out []byte
		for rest := appendChannelData(nil, 0x4abc, b, size); len(rest) > 0; {
			n, data, ok := channelData(rest[:min(size+channelHeader, len(rest))])
			if !ok || n != 0x4abc {
				t.Fatalf("channel %x, %v", n, ok)
			}
			out = append(out, data...)
			rest = rest[channelHeader+len(data):]
		}
		if !bytes.Equal(out, b) {
			t.Error("other bytes came out")
		}
	})
}

// FuzzCandidate holds that no candidate of the other side leads where no other side can be.
func FuzzCandidate(f *testing.F) {
	f.Add("candidate:1 1 udp 2130706431 11.22.33.44 5000 typ host", false)
	f.Add("candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host", true)
	f.Add("candidate:1 1 tcp 2130706431 11.22.33.44 9 typ host tcptype active", false)
	f.Add("candidate:1 1 udp 1 fe80::1 5000 typ host", false)
	f.Add("candidate:1 1 udp 1 x.local 5000 typ host", false)
	f.Fuzz(func(t *testing.T, line string, loopback bool) {
		c, err := parseCandidate(line, loopback)
		if err != nil {
			return
		}
		a, err := netip.ParseAddr(c.Address())
		if err != nil || c.Port() < 1 || c.Port() > 65535 || !c.NetworkType().IsUDP() {
			t.Fatalf("%q was taken as %v", line, c)
		}
		a = a.Unmap()
		if a.IsMulticast() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsLoopback() && !loopback {
			t.Errorf("%q was taken: it leads to %v", line, a)
		}
	})
}

func TestURLs(t *testing.T) {
	got := parse([]wire.ICEServer{
		{URLs: []string{"stun:a.example", "stun:b.example:99"}},
		{URLs: []string{"turn:c.example?transport=udp", "turn:c.example:80?transport=tcp", "turns:[2001:db8::1]:443?transport=tcp", "turns:d.example?transport=udp", "http://e.example", "turn:"},
			Username: "u", Credential: "p"},
	}, nil)
	want := []endpoint{
		{"udp", "c.example", 3478, credential{"u", "p", "c.example"}},
		{"tcp", "c.example", 80, credential{"u", "p", "c.example"}},
		{"tls", "2001:db8::1", 443, credential{"u", "p", "2001:db8::1"}},
		{"dtls", "d.example", 5349, credential{"u", "p", "d.example"}},
		{"udp", "a.example", 3478, credential{host: "a.example"}},
		{"udp", "b.example", 99, credential{host: "b.example"}},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

// TestLogsHaveNoPasswords starts an agent, which pion logs with the other side's password.
func TestLogsHaveNoPasswords(t *testing.T) {
	var out bytes.Buffer
	p, err := New(Config{
		RelayOnly: true, Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Candidate: func(Candidate) {}, Changed: func() {}, Needs: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	const secret = "abcdefghijklmnopqrstuv"
	_, own, err := p.Restart()
	if err == nil {
		err = p.SetRemote("ufrag", secret, true)
	}
	for range 3 * maxAccepted {
		p.mayAccept()
	}
	if p.mayAccept() {
		t.Error("there is no bound on the addresses of the other side")
	}
	if err := errors.Join(err, p.Close()); err != nil {
		t.Fatal(err)
	}
	if said := out.String(); strings.Contains(said, secret) || strings.Contains(said, own) || said == "" {
		t.Errorf("the log says %q", said)
	}
}

// TestUnknownServer holds that a server whose name leads nowhere is in the log: without it, relays are missing for no reason.
func TestUnknownServer(t *testing.T) {
	var out bytes.Buffer
	gathered := make(chan struct{})
	p, err := New(Config{
		Logger:  slog.New(slog.NewTextHandler(&out, nil)),
		Servers: []wire.ICEServer{{URLs: []string{"turn:turn..nowhere?transport=udp", "turn:turn..nowhere:99?transport=udp"}, Username: "u", Credential: "p"}},
		Candidate: func(c Candidate) {
			if c.Line == "" {
				close(gathered)
			}
		},
		Changed: func() {}, Needs: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = p.Restart()
	if err == nil {
		<-gathered
	}
	if err := errors.Join(err, p.Close()); err != nil {
		t.Fatal(err)
	}
	if said := out.String(); strings.Count(said, "server=turn..nowhere") != 1 {
		t.Errorf("the log says %q", said)
	}
}

// TestRenewEndsRequests holds that Close need not wait for requests to a server that does not answer.
func TestRenewEndsRequests(t *testing.T) {
	silent, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	p, err := New(Config{Candidate: func(Candidate) {}, Changed: func() {}, Needs: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := &server{path: p, address: silent.LocalAddr().(*net.UDPAddr).AddrPort()}
	defer s.close()
	former, err := s.renew(credential{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := former.SendBindingRequest()
		ended <- err
	}()
	if _, _, err := silent.ReadFromUDPAddrPort(make([]byte, 1500)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.renew(credential{}, 0); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || strings.Contains(err.Error(), "retransmissions") {
		t.Errorf("the request ended with %v only", err)
	}
}

// TestRelayIsReplaced holds that a relay leaves room for the addresses of a peer that has moved.
func TestRelayIsReplaced(t *testing.T) {
	granted := func(n int) *relay {
		r := &relay{permissions: map[netip.Addr]*permission{}}
		for i := range n {
			r.permissions[netip.AddrFrom4([4]byte{11, 22, 33, byte(i)})] = &permission{granted: true}
		}
		return r
	}
	if granted(0).mayStay().IsValid() {
		t.Error("a relay stays though there is no address to ask its server about")
	}
	if granted(maxPermissions/2 + 1).mayStay().IsValid() {
		t.Error("a relay stays that has no room for new addresses")
	}
	r := granted(1)
	for i := range maxRestarts {
		if !r.mayStay().IsValid() {
			t.Fatalf("a relay does not outlive restart %d", i+1)
		}
	}
	if r.mayStay().IsValid() {
		t.Error("a relay outlives any number of restarts")
	}
}

// TestCloseDuringRestart ends a Path while the Link's goroutine is about to gather again.
func TestCloseDuringRestart(t *testing.T) {
	for range 100 {
		p, err := New(Config{Candidate: func(Candidate) {}, Changed: func() {}, Needs: func() {}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Restart(); err != nil {
			t.Fatal(err)
		}
		restarted := make(chan struct{})
		go func() {
			defer close(restarted)
			_, _, _ = p.Restart()
		}()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		<-restarted
	}
}
