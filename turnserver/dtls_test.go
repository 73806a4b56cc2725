package turnserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/wire"
	"example.org/turnpike/turnserver/wire/wiretest"
)

// TestHalfOpenDTLS: clients at their true addresses that send nothing but a hello take a bounded number of places, and
// another client gets through.
func TestHalfOpenDTLS(t *testing.T) {
	const places, flood = 4, 20
	s := startServer(t, func(cfg *Config) { cfg.Limits.Openings = places })
	hello := wiretest.ClientHello(t, testName)
	for range flood {
		c := rawDTLS(t, s)
		c.write(hello)
		c.write(wiretest.WithCookie(hello, c.read()[wire.DTLSHelloHeaders+3:], 1, 1))
		if flight := c.read(); flight[wire.DTLSRecordHeader] != 2 {
			t.Fatalf("no ServerHello: % x", flight)
		}
	}
	waitCounted(t, s, "dtls_handshakes_failed", "crowded_out", flood-places)
	waitFor(t, "the half-open to be as many as there are places", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.associations) == places
	})
	c := dialREST(t, s, "dtls", "alice")
	c.allocate()
	waitFor(t, "the half-open to be at most the bound", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.associations) <= places+1
	})
}

// TestVerifiedDTLS: an association gives its place among the half-open ones back once its handshake is done.
func TestVerifiedDTLS(t *testing.T) {
	s := startServer(t, nil)
	dial(t, s, "dtls").barrier()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.associations) != 1 {
		t.Fatalf("%d associations", len(s.associations))
	}
	for a := range s.associations {
		a.out.mu.Lock() // the answer went through the queue after the handshake
		if a.opening.Value != nil {
			t.Error("it still has its place")
		}
		a.out.mu.Unlock()
	}
}

// TestSilentDTLS: the time of a client that sends nothing but a hello is bounded, and so are the bytes of one that
// sends too much.
func TestSilentDTLS(t *testing.T) {
	s := newServer(t, nil)
	s.openTime = 50 * time.Millisecond
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	hello := wiretest.ClientHello(t, testName)
	c := rawDTLS(t, s)
	c.write(hello)
	second := wiretest.WithCookie(hello, c.read()[wire.DTLSHelloHeaders+3:], 1, 1)
	c.write(second)
	waitCounted(t, s, "dtls_handshakes_failed", "timeout", 1)
	wantNoneOpen(t, s)

	l := dtlsListenerOf(t, s)
	parsed, _ := wire.ParseClientHello(second)
	a, err := newAssociation(l, &client{remote: c.addr()}, wire.FiveTuple{}, &parsed) // nobody serves it
	if err != nil {
		t.Fatal(err)
	}
	for range maxUnread / 1000 {
		a.receive(make([]byte, 1000))
	}
	waitCounted(t, s, "packets_dropped", "slow_server", uint64((len(hello)+len(second)+maxUnread/1000*1000-maxUnread+999)/1000))
}

// TestDTLSLimits: an association without an allocation ends after the same time as a stream. It takes a place among the
// streams, and among the connections of its address.
func TestDTLSLimits(t *testing.T) {
	hello := wiretest.ClientHello(t, testName)
	begin := func(s *Server) {
		c := rawDTLS(t, s)
		c.write(hello)
		c.write(wiretest.WithCookie(hello, c.read()[wire.DTLSHelloHeaders+3:], 1, 1))
	}
	s := startServer(t, func(cfg *Config) { cfg.Limits.Streams = 2 })
	first, other := dialREST(t, s, "dtls", "alice"), dialREST(t, s, "tcp", "alice")
	first.allocate()
	other.allocate()
	begin(s)
	waitCounted(t, s, "streams_closed", "too_many", 1)
	dial(t, s, "tcp").wantClosed()
	waitCounted(t, s, "streams_closed", "too_many", 2)

	s.mu.Lock()
	for a := range s.associations {
		_ = a.conn.SetReadDeadline(time.Now()) // as after setupTime
	}
	s.mu.Unlock()
	first.wantClosed()
	waitCounted(t, s, "streams_closed", "no_allocation", 1)

	s = startServer(t, func(cfg *Config) { cfg.Limits.ConnectionsPerAddress = 1 })
	dial(t, s, "tcp").barrier()
	begin(s)
	waitCounted(t, s, "streams_closed", "too_many_from_address", 1)
}

// TestNotDTLS: datagrams other than DTLS are counted and not answered. They do no harm to an association.
func TestNotDTLS(t *testing.T) {
	s := startServer(t, nil)
	c := rawDTLS(t, s)
	hello := wiretest.ClientHello(t, testName)
	fragment := bytes.Clone(hello)
	binary.BigEndian.PutUint16(fragment[23:], uint16(len(hello)-wire.DTLSHelloHeaders-1)) // the low bytes of the fragment's length
	packets := [][]byte{
		buildMessage(t, stun.BindingRequest).Raw, []byte("GET / HTTP/1.1\r\n\r\n"), {}, {22}, hello[:wire.DTLSHelloHeaders], hello[:len(hello)-1], fragment,
		bytes.Repeat([]byte{22, 254, 253, 0, 1}, 20), channelMessage(wire.MinChannel, []byte("data"), false),
	}
	for i, p := range packets {
		c.write(p)
		waitCounted(t, s, "packets_dropped", "no_dtls_association", uint64(i+1))
	}
	c.write(hello)
	if first := c.read(); !wire.IsHelloVerify(first) {
		t.Errorf("something was answered: % x", first)
	}

	sock := listenPeer(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	addr := listenerAddr(t, s, "dtls")
	conn, err := handshakeDTLS(ctx, sock, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, p := range append(packets, make([]byte, maxDTLSDatagram+1)) {
		if _, err := sock.WriteToUDPAddrPort(p, addr); err != nil {
			t.Fatal(err)
		}
	}
	client := clientOn(t, conn)
	client.barrier()
	waitCounted(t, s, "packets_dropped", "too_large", 1)
	client.write([]byte("no STUN"))
	waitCounted(t, s, "packets_dropped", "malformed", 1)
	client.barrier()
}

// lossy loses some datagrams, counted over both directions.
type lossy struct {
	*net.UDPConn
	n    atomic.Int32
	lose atomic.Uint64 // a bit for each datagram
}

func (l *lossy) lost() bool { return l.lose.Load()>>l.n.Add(1)&1 == 1 }

func (l *lossy) WriteTo(b []byte, to net.Addr) (int, error) {
	if l.lost() {
		return len(b), nil
	}
	return l.UDPConn.WriteTo(b, to)
}

func (l *lossy) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := l.UDPConn.ReadFrom(b)
		if err != nil || !l.lost() {
			return n, from, err
		}
	}
}

// TestLossyHandshake loses each datagram of a handshake in turn, and each pair. So hellos come twice, with a cookie and
// without, and the server's records must go on from where the client's are.
func TestLossyHandshake(t *testing.T) {
	s := startServer(t, nil)
	const most = 10
	for i := range most {
		for j := range i + 1 {
			sock := &lossy{UDPConn: listenPeer(t)}
			sock.lose.Store(1<<i | 1<<j) // the first datagram is 1: 0 loses nothing
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			conn, err := handshakeDTLS(ctx, sock, listenerAddr(t, s, "dtls"), dtls.WithFlightInterval(20*time.Millisecond))
			cancel()
			if err != nil {
				t.Fatalf("without datagrams %d and %d: %v", i, j, err)
			}
			if i == 0 && sock.n.Load() < 6 {
				t.Errorf("a handshake of %d datagrams", sock.n.Load())
			}
			sock.lose.Store(0)
			clientOn(t, conn).barrier()
			_ = conn.Close()
		}
	}
	wantNoneOpen(t, s)
}

// TestBeginAnew: a client that lost its association begins another one from the same port. Its allocation ends once the
// client has shown that it has the address, and not before.
func TestBeginAnew(t *testing.T) {
	s := startServer(t, nil)
	addr := listenerAddr(t, s, "dtls")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	sock := &mute{UDPConn: listenPeer(t)}
	port := wire.AddrPortOf(sock.LocalAddr())
	conn, err := handshakeDTLS(ctx, sock, addr)
	if err != nil {
		t.Fatal(err)
	}
	first := clientOn(t, conn).as(mintREST(t, "alice", time.Hour))
	first.allocate()

	// A hello alone ends nothing: anybody can send one in the client's name.
	if _, err := sock.WriteToUDPAddrPort(wiretest.ClientHello(t, testName), addr); err != nil {
		t.Fatal(err)
	}
	waitCounted(t, s, "dtls_hello_verify_requests", "", 2)
	first.barrier()

	sock.silent.Store(true) // no farewell
	_ = conn.Close()
	again, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(port))
	if err != nil {
		t.Fatal(err)
	}
	if s.Allocations() != 1 {
		t.Fatal("the allocation has ended")
	}
	if conn, err = handshakeDTLS(ctx, again, addr); err != nil {
		t.Fatal(err)
	}
	if s.Allocations() != 0 {
		t.Error("the allocation of the association before is there")
	}
	clientOn(t, conn).as(mintREST(t, "alice", time.Hour)).allocate()
	waitFor(t, "the first association to be forgotten", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.associations) == 1
	})
	if s.Allocations() != 1 {
		t.Error("the end of the first association ended the allocation of the second")
	}
	_ = conn.Close()
	wantNoneOpen(t, s)
}

// mute is a socket that can stop to write.
type mute struct {
	*net.UDPConn
	silent atomic.Bool
}

func (m *mute) WriteTo(b []byte, to net.Addr) (int, error) {
	if m.silent.Load() {
		return len(b), nil
	}
	return m.UDPConn.WriteTo(b, to)
}

// TestDTLSProtocols: ALPN as in TLS.
func TestDTLSProtocols(t *testing.T) {
	s := startServer(t, nil)
	for _, row := range []struct {
		offer []string
		want  string
		ok    bool
	}{{nil, "", true}, {[]string{front.ProtocolTURN}, front.ProtocolTURN, true}, {[]string{"x", front.ProtocolDiscovery}, front.ProtocolDiscovery, true}, {[]string{"x"}, "", false}} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var opts []dtls.ClientOption
		if row.offer != nil {
			opts = append(opts, dtls.WithSupportedProtocols(row.offer...))
		}
		conn, err := dialDTLS(ctx, listenerAddr(t, s, "dtls"), opts...)
		cancel()
		if (err == nil) != row.ok {
			t.Errorf("offered %q: %v", row.offer, err)
		}
		if err != nil {
			continue
		}
		if state, _ := conn.ConnectionState(); state.NegotiatedProtocol != row.want {
			t.Errorf("offered %q: %q", row.offer, state.NegotiatedProtocol)
		}
		clientOn(t, conn).barrier()
		_ = conn.Close()
	}
	waitCounted(t, s, "dtls_handshakes_failed", "failed", 1)
}

// TestFarewell: each side learns that the other has ended the association.
func TestFarewell(t *testing.T) {
	s := startServer(t, nil)
	c, other := dialREST(t, s, "dtls", "alice"), dialREST(t, s, "dtls", "bob")
	c.allocate()
	other.allocate()
	_ = c.conn.Close()
	waitFor(t, "the allocation to end", func() bool { return s.Allocations() == 1 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = other.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := other.conn.Read(make([]byte, 100)); !errors.Is(err, io.EOF) {
		t.Errorf("the server's end: %v", err)
	}
}

// TestDTLSQueueIsBounded: the queues are bounded when a peer floods, and when a client does.
func TestDTLSQueueIsBounded(t *testing.T) {
	w := &dtlsWire{}
	w.arrived.L = &w.mu
	pushed := 0
	for w.push(make([]byte, 1000)) {
		if pushed++; pushed > 2*maxUnread/1000 {
			t.Fatal("the unread have no bound")
		}
	}
	b := make([]byte, maxDTLSDatagram)
	if n, _, err := w.ReadFrom(b); n != 1000 || err != nil || !w.push(b[:1000]) || w.push(b[:1000]) {
		t.Errorf("read %d, %v", n, err)
	}
	_ = w.Close()
	if !w.push(b) || w.size != 0 {
		t.Error("a closed wire keeps something")
	}

	q := recordQueue{spawn: func(func()) {}} // nobody drains it
	sent := 0
	for q.enqueue(b[:1000]) {
		if sent += 1000; sent > 2*maxQueued {
			t.Fatal("the queue has no bound")
		}
	}
	if sent < maxQueued-1000 || cap(q.queue.bytes) > 2*maxQueued {
		t.Errorf("%d bytes were queued in %d", sent, cap(q.queue.bytes))
	}
}

// TestCookieField: pion/dtls keeps its cookie in the expected place, and nothing is overwritten if it does not.
func TestCookieField(t *testing.T) {
	field, err := findCookieField()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dtls.ServerWithOptions(&dtlsWire{}, nil, dtlsOptions(&newServer(t, nil).cfg)...)
	if err != nil {
		t.Fatal(err)
	}
	if field.set(conn, []byte("a request"), []byte("a cookie")) == nil {
		t.Error("a cookie is set before there is one")
	}
}
