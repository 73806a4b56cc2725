package path

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"golang.org/x/net/ipv4"
)

// testSocket is a Socket and a plain one beside it, which is its peer.
type testSocket struct {
	*Socket
	peer *net.UDPConn
	at   netip.AddrPort // Of the peer.
	own  netip.AddrPort
	mu   sync.Mutex
	stun [][]byte
}

func newTestSocket(t *testing.T) *testSocket {
	t.Helper()
	x := &testSocket{}
	var err error
	x.Socket, err = listen(func(_ kind, b []byte, _ *server, _ netip.AddrPort) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.stun = append(x.stun, slices.Clone(b))
	})
	if err != nil {
		t.Fatal(err)
	}
	if x.peer, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	x.at = x.peer.LocalAddr().(*net.UDPAddr).AddrPort()
	x.own = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(x.port()))
	x.sources.Store(&sources{peers: map[netip.AddrPort]struct{}{canonical(x.at): {}}})
	t.Cleanup(func() {
		_ = x.udp.Close()
		_ = x.peer.Close()
	})
	return x
}

// messages are what quic-go brings to ReadBatch.
func messages() []ipv4.Message {
	ms := make([]ipv4.Message, 8)
	for i := range ms {
		ms[i].Buffers = [][]byte{make([]byte, 1452)}
		ms[i].OOB = make([]byte, 128)
	}
	return ms
}

// read returns what ReadBatch gives to QUIC.
func (x *testSocket) read(t *testing.T) [][]byte {
	t.Helper()
	ms := messages()
	n, err := x.ReadBatch(ms, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, m := range ms[:n] {
		if m.Addr != net.Addr(&virtualPeer) {
			t.Errorf("a packet is of %v", m.Addr)
		}
		all = append(all, m.Buffers[0][:m.N])
	}
	return all
}

func (x *testSocket) sends(t *testing.T, b []byte) {
	t.Helper()
	if _, err := x.peer.WriteToUDPAddrPort(b, x.own); err != nil {
		t.Fatal(err)
	}
}

func TestReading(t *testing.T) {
	x := newTestSocket(t)
	stranger, err := net.Dial("udp4", x.own.String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.Write([]byte{0x40, 9, 9}); err != nil {
		t.Fatal(err)
	}
	x.sends(t, stunMessage(1))
	x.sends(t, make([]byte, 2000)) // Longer than any of QUIC's, and none of QUIC's.
	x.sends(t, append([]byte{0x40}, make([]byte, 1999)...))
	x.sends(t, []byte{0x40, 1, 2})
	if got := x.read(t); len(got) != 1 || !bytes.Equal(got[0], []byte{0x40, 1, 2}) {
		t.Errorf("QUIC has %x", got)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.stun) != 1 || !isSTUN(x.stun[0]) {
		t.Errorf("ICE has %x", x.stun)
	}
}

// TestSegments sends a batch of segments to itself, which the kernel may give back as one.
func TestSegments(t *testing.T) {
	x, y := newTestSocket(t), newTestSocket(t)
	y.sources.Store(&sources{peers: map[netip.AddrPort]struct{}{x.own: {}}})
	x.route.Store(&route{remote: y.own})
	var b []byte
	const segment, count = 1200, 10
	for i := range count {
		b = append(b, append([]byte{0x40, byte(i)}, make([]byte, segment-2)...)...)
	}
	b = b[:len(b)-100] // The last one is shorter.
	if _, _, err := x.WriteMsgUDP(b, appendSegment(nil, segment), nil); err != nil {
		t.Fatal(err)
	}
	var got [][]byte
	for len(got) < count {
		got = append(got, y.read(t)...)
	}
	for i, p := range got {
		want := segment
		if i == count-1 {
			want -= 100
		}
		if len(p) != want || p[1] != byte(i) {
			t.Errorf("packet %d has %d bytes and the number %d", i, len(p), p[1])
		}
	}
}

func TestRelayedWriting(t *testing.T) {
	x := newTestSocket(t)
	f := &fakeAllocation{channel: 0x4001, peer: peerAt, bound: true}
	x.route.Store(&route{remote: peerAt, relay: &relay{conn: f, server: x.at}})
	b := bytes.Repeat([]byte{0x40}, 2500)
	if _, _, err := x.WriteMsgUDP(b, appendSegment(nil, 1000), nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1000, 1000, 500} {
		p := make([]byte, 2000)
		_ = x.peer.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, _, err := x.peer.ReadFromUDPAddrPort(p)
		if err != nil {
			t.Fatal(err)
		}
		channel, data, ok := channelData(p[:n])
		if !ok || channel != 0x4001 || len(data) != want {
			t.Errorf("%d bytes came on channel %x, %v", len(data), channel, ok)
		}
	}
	f.bound = false
	if _, _, err := x.WriteMsgUDP(b, appendSegment(nil, 1000), nil); err != nil || f.written != 3 {
		t.Errorf("without a channel, pion's client sent %d packets, %v", f.written, err)
	}
}

// TestInjecting wakes a reader that waits for the socket.
func TestInjecting(t *testing.T) {
	x := newTestSocket(t)
	for i := range 3 {
		got := make(chan [][]byte)
		go func() { got <- x.read(t) }()
		x.inject([]byte{0x40, byte(i)})
		if all := <-got; len(all) != 1 || all[0][1] != byte(i) {
			t.Fatalf("QUIC has %x", all)
		}
	}
	for range 2 * maxInjected {
		x.inject([]byte{0x40})
	}
	x.mu.Lock()
	n := len(x.injected)
	x.mu.Unlock()
	if n != maxInjected {
		t.Errorf("%d packets wait", n)
	}
}

func TestReadDeadline(t *testing.T) {
	x := newTestSocket(t)
	failed := make(chan error)
	go func() {
		_, err := x.ReadBatch(messages(), 0)
		failed <- err
	}()
	if err := x.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading failed with %v", err)
	}
}

// TestSilence sends what was sent into silence again, once, when there is a way, and nothing that was answered.
func TestSilence(t *testing.T) {
	x := newTestSocket(t)
	for i := range 2 * maxKept {
		if err := x.send([]byte{0x40, byte(i)}, 2, 0); err != nil {
			t.Fatal(err)
		}
	}
	x.setRoute(&route{remote: x.at})
	for i := range maxKept {
		p := make([]byte, 10)
		_ = x.peer.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, _, err := x.peer.ReadFromUDPAddrPort(p); err != nil || n != 2 || p[1] != byte(maxKept+i) {
			t.Fatalf("packet %d was %x, %v", i, p[:n], err)
		}
	}
	x.heard.Store(time.Now().UnixNano())
	x.sendKept()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.kept) != 0 {
		t.Errorf("%d packets are kept after something was heard", len(x.kept))
	}
}

// TestNoAllocations holds that no packet costs memory.
func TestNoAllocations(t *testing.T) {
	x := newTestSocket(t)
	x.heard.Store(time.Now().Add(time.Hour).UnixNano()) // Not silent.
	batch, oob := bytes.Repeat([]byte{0x40}, 10*1200), appendECN(appendSegment(nil, 1200), 2, false)
	f := &fakeAllocation{channel: 0x4001, peer: peerAt, bound: true}
	for name, r := range map[string]*route{"direct": {remote: x.at}, "relayed": {remote: peerAt, relay: &relay{conn: f, server: x.at}}} {
		x.route.Store(r)
		// Under the race detector pools forget some of what they have.
		if n := testing.AllocsPerRun(200, func() { _, _, _ = x.WriteMsgUDP(batch, oob, nil) }); n > 2 {
			t.Errorf("%s: writing a batch of ten packets allocates %v times", name, n)
		}
	}
	ms := messages()
	packet := []byte{0x40, 1, 2, 3}
	if n := testing.AllocsPerRun(200, func() {
		_, _ = x.peer.WriteToUDPAddrPort(packet, x.own)
		if _, err := x.ReadBatch(ms, 0); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("reading a packet allocates %v times", n)
	}
}

// TestLostPathIsTried holds that a path without an answer gets QUIC's last packets each second, and that restarts are asked
// for with growing pauses.
func TestLostPathIsTried(t *testing.T) {
	x := newTestSocket(t)
	needs := 0
	p := &Path{socket: x.Socket, config: Config{Leads: true, Needs: func() { needs++ }, Changed: func() {}}}
	p.state.Store(int32(ice.ConnectionStateDisconnected))
	x.setRoute(&route{remote: x.at})
	if err := x.send([]byte{0x40, 7}, 2, 0); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for at := time.Duration(0); at < 31*time.Second; at += tick {
		p.judge(begin.Add(at))
	}
	const sent = 1 + 31
	for i := range sent {
		b := make([]byte, 10)
		_ = x.peer.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, _, err := x.peer.ReadFromUDPAddrPort(b); err != nil || n != 2 || b[1] != 7 {
			t.Fatalf("packet %d of %d was %x, %v", i, sent, b[:n], err)
		}
	}
	if needs != 4 { // After 0, 5, 15 and 25 seconds.
		t.Errorf("%d restarts were asked for", needs)
	}
}
