package turnserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
	"example.org/turnpike/turnserver/wire/wiretest"
)

// fuzzServer serves one UDP client by hand, packet by packet. It has the client's keys.
type fuzzServer struct {
	srv    *Server
	worker *worker
	client client
	near   *net.UDPConn // the client's socket
	far    *net.UDPConn // the server's
	key    stun.MessageIntegrity
	auth   []stun.Setter
	modern []stun.Setter // the same credential by RFC 8489
	buf    *buffer
	in     []byte
}

// newFuzzServer relays only between its own relayed addresses, so that no input sends a packet to anybody.
func newFuzzServer(t testing.TB) *fuzzServer {
	s := newServer(t, func(cfg *Config) {
		cfg.DenyPeers = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		cfg.Mobility = true
	})
	fixed := time.Now()
	s.wallTime = func() time.Time { return fixed } // nothing expires, however long this runs
	near, far := listenPeer(t), listenPeer(t)
	from := wire.AddrPortOf(near.LocalAddr())
	sock := &udpSocket{srv: s, conn: far, address: newBoundAddress(wire.AddrPortOf(far.LocalAddr()), false)}
	sock.shard = newShard(s)
	s.shards = append(s.shards, sock.shard)
	cred := mintREST(t, "alice", 24*time.Hour)
	f := &fuzzServer{
		srv: s, worker: newWorker(s, sock.shard), near: near, far: far, buf: new(buffer), in: make([]byte, maxDatagram),
		client: client{tuple: wire.FiveTuple{Client: wire.EndpointOf(from), Local: wire.EndpointOf(sock.address.bound), Protocol: wire.UDP}, remote: from, sock: sock},
		key:    stun.NewLongTermIntegrity(cred.Username, testRealm, cred.Password),
	}
	f.auth = []stun.Setter{
		stun.NewUsername(cred.Username), stun.NewRealm(testRealm), stun.NewNonce(string(f.worker.nonce(&f.client))), f.key,
	}
	sum := sha256.Sum256([]byte(cred.Username + ":" + testRealm + ":" + cred.Password))
	f.modern = append(slices.Clone(f.auth[:3]), attribute{stun.AttrPasswordAlgorithm, []byte(wire.AlgorithmSHA256)},
		attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms)}, wiretest.IntegritySHA256(sum[:]))
	return f
}

// handle serves one packet and returns what the client got.
func (f *fuzzServer) handle(t testing.TB, packet []byte) (got [][]byte) {
	t.Helper()
	n := copy(f.buf.bytes[headroom:headroom+maxDatagram], packet)
	f.worker.handle(&f.client, f.buf.bytes[:], headroom, headroom+n)

	last := []byte{0xFF}
	if _, err := f.far.WriteToUDPAddrPort(last, f.client.remote); err != nil {
		t.Fatal(err)
	}
	if err := f.near.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := f.near.Read(f.in)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(f.in[:n], last) {
			return got
		}
		got = append(got, bytes.Clone(f.in[:n]))
	}
}

// allocated returns the client's allocation, and makes it if there is none. It may send to itself, on a channel too.
func (f *fuzzServer) allocated(t testing.TB) *allocation {
	t.Helper()
	if a := f.worker.shard.find(f.client.tuple); a != nil {
		return a
	}
	f.request(t, stun.MethodAllocate, transport(transportUDP))
	a := f.worker.shard.find(f.client.tuple)
	if a == nil {
		t.Fatal("no allocation could be made")
	}
	self := peerAddr(a.first.local.AddrPort())
	f.request(t, stun.MethodChannelBind, channelNumber(wire.MinChannel), self)
	return a
}

func (f *fuzzServer) request(t testing.TB, method stun.Method, attrs ...stun.Setter) {
	t.Helper()
	m := buildMessage(t, stun.NewType(method, stun.ClassRequest), append(attrs, f.auth...)...)
	for _, answer := range f.handle(t, m.Raw) {
		if code := codeOf(t, decode(t, answer)); code != 0 {
			t.Fatalf("%v: answered %d", method, code)
		}
	}
}

// How a fuzzed packet is signed.
const (
	unsigned = iota
	signedMD5
	signedSHA256
)

// sign makes a request with a good credential of any bytes.
func (f *fuzzServer) sign(packet []byte, how uint8) []byte {
	if how == signedSHA256 {
		return signPacket(packet, f.modern)
	}
	return signPacket(packet, f.auth)
}

func signPacket(packet []byte, attrs []stun.Setter) []byte {
	if len(packet) < wire.HeaderSize || wire.IsChannelData(packet[0]) || len(packet) > 60000 {
		return packet
	}
	m := &stun.Message{Raw: bytes.Clone(packet[:len(packet)&^3])}
	m.Raw[0] &= 0x3F
	binary.BigEndian.PutUint32(m.Raw[4:], wire.MagicCookie)
	m.Length = uint32(len(m.Raw) - wire.HeaderSize)
	m.WriteLength()
	if m.Decode() != nil {
		return packet
	}
	for _, a := range attrs {
		if a.AddTo(m) != nil {
			return packet
		}
	}
	return m.Raw
}

// mostAmplified bounds the bytes of answers for a byte of an unauthenticated request. A bare Allocate, of 20 bytes, is
// the worst.
const mostAmplified = 6

func FuzzHandleUDP(f *testing.F) {
	server := newFuzzServer(f)
	self := peerAddr(server.allocated(f).first.local.AddrPort())
	data := attribute{stun.AttrData, []byte("data")}
	seed := func(method stun.Method, class stun.MessageClass, attrs ...stun.Setter) {
		m := buildMessage(f, stun.NewType(method, class), attrs...).Raw
		for how := range uint8(signedSHA256 + 1) {
			f.Add(m, how)
		}
	}
	seed(stun.MethodBinding, stun.ClassRequest, stun.NewSoftware("x"), stun.Fingerprint)
	seed(stun.MethodBinding, stun.ClassRequest, stun.NewUsername("x"), attribute{0x7ff0, nil})
	seed(stun.MethodBinding, stun.ClassIndication)
	seed(stun.MethodAllocate, stun.ClassRequest)
	seed(stun.MethodAllocate, stun.ClassRequest, transport(transportUDP), lifetime(1), addressFamily(wire.IPv6))
	seed(stun.MethodRefresh, stun.ClassRequest, lifetime(0))
	seed(stun.MethodAllocate, stun.ClassRequest, transport(transportUDP), mobilityTicket(nil))
	seed(stun.MethodRefresh, stun.ClassRequest, mobilityTicket(bytes.Repeat([]byte("A"), wire.TicketSize)))
	seed(stun.MethodRefresh, stun.ClassRequest, lifetime(700), addressFamily(wire.IPv4))
	seed(stun.MethodCreatePermission, stun.ClassRequest, self, self)
	seed(stun.MethodCreatePermission, stun.ClassRequest, peerAddr(at("10.0.0.1")))
	seed(stun.MethodChannelBind, stun.ClassRequest, channelNumber(wire.MinChannel), self)
	seed(stun.MethodChannelBind, stun.ClassRequest, channelNumber(wire.MaxChannel), peerAddr(at("2001:db8::1")))
	seed(stun.MethodConnect, stun.ClassRequest, self)
	seed(stun.MethodConnectionBind, stun.ClassRequest, attribute{stun.AttrConnectionID, []byte("fuzz")})
	seed(stun.MethodAllocate, stun.ClassRequest, transport(transportTCP))
	seed(stun.MethodSend, stun.ClassIndication, self, data)
	seed(stun.MethodSend, stun.ClassIndication, data, self, stun.Fingerprint)
	seed(stun.MethodData, stun.ClassIndication, self, data)
	seed(stun.MethodAllocate, stun.ClassRequest, append([]stun.Setter{transport(transportUDP)}, server.auth...)...)
	seed(stun.MethodAllocate, stun.ClassRequest, append([]stun.Setter{transport(transportUDP)}, server.modern...)...)
	seed(stun.MethodRefresh, stun.ClassRequest, append([]stun.Setter{userhashOf("x"), attribute{stun.AttrPasswordAlgorithm, nil}}, server.modern[1:]...)...)
	f.Add(channelMessage(wire.MinChannel, []byte("data"), false), uint8(unsigned))
	f.Add(channelMessage(wire.MinChannel, nil, true), uint8(unsigned))
	f.Add(channelMessage(wire.MaxChannel, []byte("unbound"), true), uint8(unsigned))
	f.Add([]byte{}, uint8(unsigned))
	f.Add([]byte{0x40, 0, 0xFF, 0xFF}, uint8(unsigned))

	f.Fuzz(func(t *testing.T, packet []byte, how uint8) {
		if len(packet) > udpio.LargestPayload {
			return
		}
		server.allocated(t)
		signed := how != unsigned
		if signed {
			packet = server.sign(packet, how)
		}
		isRequest := len(packet) >= 2 && packet[0]&0xC0 == 0 && binary.BigEndian.Uint16(packet)&wire.ClassMask == 0
		total := 0
		got := server.handle(t, packet)
		for _, answer := range got {
			total += len(answer)
			checkAnswer(t, packet, answer, isRequest)
		}
		if len(got) > 1 {
			t.Fatalf("%d answers to one packet", len(got))
		}
		if isRequest && !signed && total > mostAmplified*len(packet) {
			t.Fatalf("%d bytes drew %d", len(packet), total)
		}
		if !isRequest && total > len(packet)+headroom {
			t.Fatalf("%d bytes of data became %d", len(packet), total)
		}
	})
}

// checkAnswer checks that an answer is well-formed and belongs to the packet.
func checkAnswer(t *testing.T, packet, answer []byte, isRequest bool) {
	t.Helper()
	if wire.IsChannelData(answer[0]) {
		if n := int(binary.BigEndian.Uint16(answer[2:])); isRequest || n != len(answer)-wire.ChannelHeaderSize {
			t.Fatalf("ChannelData of length %d in %d bytes, to % x", n, len(answer), packet)
		}
		return
	}
	m := decode(t, answer)
	switch {
	case !isRequest:
		if m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
			t.Fatalf("% x, no request, drew %v", packet, m)
		}
	case !bytes.Equal(m.TransactionID[:], packet[8:wire.HeaderSize]):
		t.Fatalf("the answer has another transaction: %v", m)
	default:
		codeOf(t, m)
		if m.Contains(stun.AttrMessageIntegrity) && m.Contains(stun.AttrMessageIntegritySHA256) {
			t.Fatalf("the answer is signed twice: %v", m)
		}
		if m.Contains(stun.AttrFingerprint) && stun.Fingerprint.Check(m) != nil {
			t.Fatalf("the answer's FINGERPRINT is wrong: %v", m)
		}
	}
}

// scriptedConn gives a stream cut into pieces, then bytes that begin no frame. It keeps the bytes that are written to
// it.
type scriptedConn struct {
	net.Conn
	pieces  [][]byte
	written bytes.Buffer // by the one drain at a time
}

func (c *scriptedConn) Read(b []byte) (int, error) {
	for len(c.pieces) > 0 && len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	if len(c.pieces) == 0 {
		return copy(b, bytes.Repeat([]byte{0xFF}, len(b))), nil
	}
	n := copy(b, c.pieces[0])
	c.pieces[0] = c.pieces[0][n:]
	return n, nil
}

func (c *scriptedConn) Write(b []byte) (int, error)      { return c.written.Write(b) }
func (c *scriptedConn) Close() error                     { return nil }
func (c *scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptedConn) SetWriteDeadline(time.Time) error { return nil }
func (c *scriptedConn) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 3478}
}
func (c *scriptedConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 5}
}

// FuzzStream gives the same stream whole and in pieces. The answers and the counts must be equal: then the server found
// the same frames.
func FuzzStream(f *testing.F) {
	binding := buildMessage(f, stun.BindingRequest, stun.Fingerprint).Raw
	send := sendIndication(f, at("1.1.1.1"), []byte("indication"))
	channel := channelMessage(wire.MinChannel, []byte("channel"), true)
	allocate := buildMessage(f, stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(transportUDP)).Raw
	connect := buildMessage(f, stun.NewType(stun.MethodConnect, stun.ClassRequest), peerAddr(at("1.1.1.1"))).Raw
	claim := buildMessage(f, stun.NewType(stun.MethodConnectionBind, stun.ClassRequest), attribute{stun.AttrConnectionID, []byte("fuzz")}).Raw
	f.Add(slices.Concat(binding, send, channel, binding), []byte{1, 3, 7})
	f.Add(slices.Concat(binding, channel, allocate, []byte("GET / HTTP/1.1\r\n")), []byte{0})
	f.Add(slices.Concat(binding, []byte{0x40, 0, 0xFF, 0xFC}, make([]byte, 100)), []byte{4})
	f.Add(slices.Concat(binding, []byte{0, 1, 0xFF, 0xEC}, make([]byte, 100)), []byte{200})
	f.Add(slices.Concat(binding, []byte{0, 0x16, 0xFF, 0xFC, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 100)), []byte{5})
	f.Add(slices.Concat(allocate, allocate[:10]), []byte{19})
	f.Add(slices.Concat(connect, claim, channel), []byte{9})
	f.Add([]byte("GET / HTTP/1.1\r\n"), []byte{2})
	f.Add([]byte{}, []byte{})

	s := newServer(f, nil)
	fixed := time.Now()
	s.wallTime = func() time.Time { return fixed } // so that nonces are equal
	shard := newShard(s)
	run := func(pieces [][]byte) ([]byte, []uint64) {
		before := s.Counters()
		conn := &scriptedConn{pieces: pieces}
		s.serveStream(conn, shard)
		s.readers.Wait()
		counts := make([]uint64, len(before))
		for i, c := range s.Counters() {
			counts[i] = c.Value - before[i].Value
		}
		return conn.written.Bytes(), counts
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		if len(stream) > 32<<10 { // its answers fit the queue
			return
		}
		answers, counts := run([][]byte{bytes.Clone(stream)})
		cutAnswers, cutCounts := run(cut(stream, cuts))
		if !bytes.Equal(answers, cutAnswers) || !slices.Equal(counts, cutCounts) {
			t.Fatalf("whole: % x %v\ncut: % x %v", answers, counts, cutAnswers, cutCounts)
		}
		for r := bytes.NewReader(answers); ; {
			frame, err := readFrame(r)
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			decode(t, frame) // without an allocation there is nothing else
		}
	})
}

// cut copies a stream into pieces. Their lengths are those in cuts, over and over.
func cut(stream, cuts []byte) (pieces [][]byte) {
	for i := 0; len(stream) > 0; i++ {
		n := len(stream)
		if len(cuts) > 0 {
			n = min(n, int(cuts[i%len(cuts)])+1)
		}
		pieces = append(pieces, bytes.Clone(stream[:n]))
		stream = stream[n:]
	}
	return pieces
}
