package turnserver

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// tapConn keeps the bytes that are written to a client. Nothing is read from it.
type tapConn struct {
	scriptedConn
	mu  sync.Mutex
	out bytes.Buffer
}

func (c *tapConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(b)
}

func (c *tapConn) SetDeadline(time.Time) error { return nil }

// taken returns the frames that were written since the last time.
func (c *tapConn) taken(t testing.TB) (frames [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out.Len() > 0 {
		frame, err := readFrame(&c.out)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
	return frames
}

// fuzzStream is a client on a stream that the test serves by hand, with the keys that it signs with.
type fuzzStream struct {
	conn   *tapConn
	stream *stream
	client client
	auth   []stun.Setter
}

// tcpFuzzer has a client with an allocation that relays TCP, and a client without, which may claim a connection. The
// peer policy allows only the allocation itself.
type tcpFuzzer struct {
	srv           *Server
	worker        *worker
	buf           *buffer
	control, data *fuzzStream
	waits         *peerConn // for a claim of fuzzID
}

var fuzzID = connectionID{'f', 'u', 'z', 'z'}

func newTCPFuzzer(t testing.TB) *tcpFuzzer {
	s := newServer(t, func(cfg *Config) {
		cfg.DenyPeers = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		cfg.Limits.ConnectsPerMinute = math.MaxInt
	})
	fixed := time.Now()
	s.wallTime = func() time.Time { return fixed } // nothing expires, however long this runs
	shard := newShard(s)
	s.shards = append(s.shards, shard)
	f := &tcpFuzzer{srv: s, worker: newWorker(s, shard), buf: new(buffer)}
	f.control = f.newStream(t, 1)
	return f
}

func (f *tcpFuzzer) newStream(t testing.TB, port uint16) *fuzzStream {
	cred := mintREST(t, "alice", 24*time.Hour)
	c := &fuzzStream{conn: new(tapConn)}
	c.stream = newStream(f.srv, f.worker.shard, c.conn)
	c.stream.tuple.Client.Port = port
	c.client = client{tuple: c.stream.tuple, stream: c.stream, conn: &c.stream.clientConnection}
	c.auth = []stun.Setter{
		stun.NewUsername(cred.Username), stun.NewRealm(testRealm), stun.NewNonce(string(f.worker.nonce(&c.client))),
		stun.NewLongTermIntegrity(cred.Username, testRealm, cred.Password),
	}
	return c
}

// relay is the allocation's relayed socket.
func (f *tcpFuzzer) relay() *tcpRelay {
	a := f.worker.shard.find(f.control.client.tuple)
	if a == nil {
		return nil
	}
	return a.first.tcp
}

// prepare replaces everything that the last packet has used up: the allocation, its permission for itself, a connection
// that waits, and the client that may claim it.
func (f *tcpFuzzer) prepare(t testing.TB) {
	t.Helper()
	if f.relay() == nil {
		f.mustServe(t, f.control, stun.MethodAllocate, transport(transportTCP))
	}
	for _, p := range f.relay().conns { // only this goroutine begins any
		p.end(noReason)
	}
	if f.data == nil || f.data.stream.claimed != nil || f.worker.shard.find(f.data.client.tuple) != nil {
		if f.data != nil {
			f.data.stream.endAllocation(f.worker.shard, f.data.client.tuple)
		}
		f.data = f.newStream(t, 2)
	}
	near, _ := newDuplex()
	p, result := f.srv.peers.addPending(f.relay(), wire.EndpointOf(at("192.0.2.7")))
	id, ok := f.srv.peers.offer(p, near, f.srv.now())
	if result != outcomeDone || !ok {
		t.Fatal("no connection waits")
	}
	f.srv.peers.mu.Lock()
	defer f.srv.peers.mu.Unlock()
	delete(f.srv.peers.waiting, id)
	f.srv.peers.waiting[fuzzID], p.id = p, fuzzID
	f.waits = p
}

func (f *tcpFuzzer) mustServe(t testing.TB, c *fuzzStream, method stun.Method, attrs ...stun.Setter) {
	t.Helper()
	m := buildMessage(t, stun.NewType(method, stun.ClassRequest), append(attrs, c.auth...)...)
	got := f.serve(t, c, m.Raw)
	if len(got) != 1 || codeOf(t, decode(t, got[0])) != 0 {
		t.Fatalf("%v: answered %x", method, got)
	}
}

// serve serves a packet as a frame, and returns the frames that the client gets. The answer to a Connect comes later.
func (f *tcpFuzzer) serve(t testing.TB, c *fuzzStream, packet []byte) [][]byte {
	t.Helper()
	before := f.connections()
	n := copy(f.buf.bytes[headroom:headroom+maxDatagram], packet)
	f.worker.handle(&c.client, f.buf.bytes[:], headroom, headroom+n)
	f.worker.flush()
	begun := f.connections() > before
	var got [][]byte
	waitFor(t, "what was begun to be answered", func() bool {
		c.stream.out.waitUntilWritten() // it is all in conn
		got = append(got, c.conn.taken(t)...)
		return !begun || len(got) > 0
	})
	return got
}

func (f *tcpFuzzer) connections() int {
	relay := f.relay()
	if relay == nil {
		return 0
	}
	f.srv.peers.mu.Lock()
	defer f.srv.peers.mu.Unlock()
	return len(relay.conns)
}

// FuzzTCPRelaying gives requests of any bytes to the two clients of a connection with a peer. Each draws one answer at
// most, and nothing but a claim in order ends in a stream that carries data.
func FuzzTCPRelaying(f *testing.F) {
	fuzzer := newTCPFuzzer(f)
	fuzzer.prepare(f)
	self := peerAddr(fuzzer.relay().local)
	id := attribute{stun.AttrConnectionID, fuzzID[:]}
	for _, attrs := range [][]stun.Setter{nil, {self}, {id}, {id, self}, {peerAddr(at("10.0.0.1"))}, {attribute{stun.AttrConnectionID, fuzzID[:3]}}} {
		for _, method := range []stun.Method{stun.MethodConnect, stun.MethodConnectionBind, stun.MethodConnectionAttempt, stun.MethodCreatePermission, stun.MethodChannelBind} {
			for to := range uint8(4) {
				f.Add(buildMessage(f, stun.NewType(method, stun.ClassRequest), attrs...).Raw, to)
			}
		}
	}
	for _, attrs := range [][]stun.Setter{nil, {attribute{stun.AttrDontFragment, nil}}, {evenPortAttribute(true)}, {additionalFamily(wire.IPv6)}} {
		f.Add(buildMessage(f, stun.NewType(stun.MethodAllocate, stun.ClassRequest), append(attrs, transport(transportTCP))...).Raw, uint8(2))
	}
	f.Add(buildMessage(f, stun.NewType(stun.MethodRefresh, stun.ClassRequest), lifetime(0)).Raw, uint8(0))
	f.Add(sendIndication(f, netip.AddrPort(self), []byte("data")), uint8(1))
	f.Add(channelMessage(wire.MinChannel, []byte("data"), true), uint8(1))

	// The bits of to: the client without an allocation (2), and without a signature (1).
	f.Fuzz(func(t *testing.T, packet []byte, to uint8) {
		size, whole := wire.FrameSize(packet)
		if !whole || size != len(packet) || size == 0 {
			return // FuzzStream's
		}
		fuzzer.prepare(t)
		c := fuzzer.control
		if to&2 != 0 {
			c = fuzzer.data
		}
		if to&1 == 0 {
			packet = signPacket(packet, c.auth)
		}
		isRequest := packet[0]&0xC0 == 0 && binary.BigEndian.Uint16(packet)&wire.ClassMask == 0
		got := fuzzer.serve(t, c, packet)
		if c.stream.claimed != nil {
			got = append(got, checkClaim(t, fuzzer, c, to, got))
		}
		if len(got) > 1 || len(got) > 0 && !isRequest {
			t.Fatalf("%x drew %x", packet, got)
		}
		for _, answer := range got {
			checkAnswer(t, packet, answer, isRequest)
		}
		if up := counterOf(t, fuzzer.srv, "packets_relayed", "up"); up != 0 {
			t.Fatalf("%d packets were relayed", up)
		}
	})
}

// checkClaim checks that a claim is complete, and that the end of the connection undoes it. It returns the answer that
// the stream would send.
func checkClaim(t *testing.T, f *tcpFuzzer, c *fuzzStream, to uint8, got [][]byte) []byte {
	t.Helper()
	answer, p := c.stream.answer, c.stream.claimed
	if to&3 != 2 || len(got) != 0 || p != f.waits || p.client != c.stream || p.place != nil {
		t.Fatalf("client %d, which was sent %x, claimed %+v", to, got, p)
	}
	if m := decode(t, answer); m.Type != stun.NewType(stun.MethodConnectionBind, stun.ClassSuccessResponse) {
		t.Fatalf("a claim is answered with %v", m)
	}
	p.end(noReason)
	if pending, waiting, carrying := peerConnsOf(f.srv); pending+waiting+carrying != 0 {
		t.Fatalf("%d pending, %d waiting and %d carrying are left", pending, waiting, carrying)
	}
	return answer
}

// TestTCPFuzzSeeds: the seeds of FuzzTCPRelaying must reach a claim, and a Connect that succeeds.
func TestTCPFuzzSeeds(t *testing.T) {
	f := newTCPFuzzer(t)
	f.prepare(t)
	f.mustServe(t, f.control, stun.MethodConnect, peerAddr(f.relay().local))
	f.prepare(t)
	m := buildMessage(t, stun.NewType(stun.MethodConnectionBind, stun.ClassRequest), append([]stun.Setter{attribute{stun.AttrConnectionID, fuzzID[:]}}, f.data.auth...)...)
	got := f.serve(t, f.data, m.Raw)
	if f.data.stream.claimed == nil {
		t.Fatalf("nothing is claimed, but answered %x", got)
	}
	checkClaim(t, f, f.data, 2, got)
}
