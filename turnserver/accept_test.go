package turnserver

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/turnserver/wire"
)

// shared starts a server with a port that carries HTTP as well, and returns the port's address. HTTP is answered with
// the request's path, and the client's address as the HTTP server sees it.
func shared(t *testing.T, opts StreamOptions, change func(*Config)) (*Server, netip.AddrPort) {
	t.Helper()
	s := startServer(t, change)
	return s, share(t, s, opts)
}

func share(t *testing.T, s *Server, opts StreamOptions) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handed := &handedOver{conns: make(chan net.Conn), done: make(chan struct{}), addr: ln.Addr()}
	opts.Other = handed.take
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path+" for "+r.RemoteAddr)
	})}
	ended := make(chan error, 2)
	go func() { ended <- s.ServeStreams(ln, opts) }()
	go func() { ended <- web.Serve(handed) }()
	t.Cleanup(func() {
		_ = web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}
	})
	return wire.AddrPortOf(ln.Addr())
}

// handedOver is a listener of the connections that are handed over.
type handedOver struct {
	conns chan net.Conn
	done  chan struct{}
	addr  net.Addr
}

func (h *handedOver) take(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.done:
		_ = conn.Close()
	}
}

func (h *handedOver) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handedOver) Close() error   { close(h.done); return nil }
func (h *handedOver) Addr() net.Addr { return h.addr }

// methods are those of HTTP, and some that are not.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "PRI", "A", "@", "O"}

// TestContentOf: what HTTP begins with is never taken for STUN, though much of it would pass for ChannelData; STUN is never taken
// for HTTP; and what is known early stays so.
func TestContentOf(t *testing.T) {
	stunFirst := [][]byte{
		buildMessage(t, stun.BindingRequest).Raw,
		buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(transportUDP)).Raw,
		sendIndication(t, at("1.1.1.1"), []byte("early")),
	}
	for _, b := range stunFirst {
		for n := range b {
			if kind, known := contentOf(b[:n]); kind != carriesSTUN || known != (n >= peekSize) {
				t.Errorf("% x: %v, %v", b[:n], kind, known)
			}
		}
	}
	for _, m := range methods {
		if _, known := contentOf(nil); known {
			t.Error("nothing tells something")
		}
		if kind, known := contentOf([]byte(m + " / HTTP/1.1\r\n")[:1]); kind != carriesOther || !known {
			t.Errorf("%s: %v, %v", m, kind, known)
		}
	}
	for _, b := range [][]byte{
		{0, 1, 0, 0, 0, 0, 0, 0},                   // RFC 3489, without a cookie
		{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x43},       // nearly
		{0x16, 3, 1, 2, 0, 1, 0, 1},                // TLS
		{0x40, 0, 0, 4, 0x21, 0x12, 0xA4, 0x42},    // ChannelData with the cookie for data
		{0x80, 0, 0, 4, 0x21, 0x12, 0xA4, 0x42},    // RTP
		[]byte("\r\n\r\n\x00\r\nQ"),                // a PROXY header where none is wanted
		{0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20}, // spaces
	} {
		if kind, known := contentOf(b); kind != carriesOther || !known {
			t.Errorf("% x: %v, %v", b, kind, known)
		}
	}
}

func FuzzContentOf(f *testing.F) {
	for _, m := range methods {
		f.Add([]byte(m + " / HTTP/1.1\r\n"))
	}
	f.Add(buildMessage(f, stun.BindingRequest).Raw)
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xA4})
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, known := contentOf(b)
		for n := range b {
			if early, sure := contentOf(b[:n]); sure && (early != kind || !known) {
				t.Fatalf("% x: %v, of all %v, %v", b[:n], early, kind, known)
			}
		}
		if !known && len(b) >= peekSize {
			t.Fatalf("% x tells nothing", b)
		}
		if known && kind == carriesSTUN != (len(b) >= peekSize && b[0] < 0x40 && bytes.Equal(b[4:8], []byte{0x21, 0x12, 0xA4, 0x42})) {
			t.Fatalf("% x: %v", b, kind)
		}
		c := &clientConn{Conn: &scriptedConn{pieces: [][]byte{bytes.Clone(b)}}} // after which 0xFF come
		if peeked, err := c.peek(); err != nil || known && peeked != kind {
			t.Fatalf("% x: peeked %v, %v", b, peeked, err)
		}
		again := make([]byte, len(b))
		if _, err := io.ReadFull(c, again); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("% x was read again as % x, %v", b, again, err)
		}
	})
}

// TestOnePort: HTTP with every method, and TURN, in clear and inside TLS, whole and byte by byte, on one port.
func TestOnePort(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name, network := "clear", "tcp"
		if secure {
			name, network = "TLS", "tls"
		}
		t.Run(name, func(t *testing.T) {
			s, addr := shared(t, StreamOptions{TLS: secure}, allowLoopback)
			for _, method := range methods[:10] {
				for _, whole := range []bool{true, false} {
					conn, err := connect(network, addr)
					if err != nil {
						t.Fatal(err)
					}
					request := []byte(method + " /path HTTP/1.1\r\nHost: turn.test\r\nConnection: close\r\n\r\n")
					for n := 0; n < len(request); n++ {
						piece := request[n : n+1]
						if whole {
							piece, n = request, len(request)
						}
						if _, err := conn.Write(piece); err != nil {
							t.Fatal(err)
						}
					}
					_ = conn.SetReadDeadline(time.Now().Add(patience))
					answer, err := io.ReadAll(conn)
					want := "/path for " + conn.LocalAddr().String()
					if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) || method != "HEAD" && !bytes.HasSuffix(answer, []byte(want)) {
						t.Errorf("%s: %q, %v", method, answer, err)
					}
					_ = conn.Close()
				}
			}

			c, peer := dialAddr(t, network, addr).as(mintREST(t, "alice", time.Hour)), newPeer(t)
			for _, b := range buildMessage(t, stun.BindingRequest).Raw {
				c.write([]byte{b})
			}
			if res := decode(t, c.read()); addressIn(t, res, stun.AttrXORMappedAddress) != c.addr() {
				t.Errorf("the mapped address of %v: %v", c.addr(), res)
			}
			relayed := c.allocate()
			c.bind(wire.MinChannel, peer.addr)
			c.sendChannel(wire.MinChannel, []byte("up"))
			peer.want(relayed, []byte("up"))
			peer.send(relayed, []byte("down"))
			c.wantData(wire.MinChannel, peer.addr, []byte("down"))
			_ = c.conn.Close()
			waitFor(t, "the allocation to end", func() bool { return s.Allocations() == 0 })
			wantNoneOpen(t, s)
		})
	}
}

// wantNoneOpen waits until nothing is left of connections that ended.
func wantNoneOpen(t *testing.T, s *Server) {
	t.Helper()
	waitFor(t, "every connection to be forgotten", func() bool {
		s.mu.Lock()
		streams := len(s.streams) + len(s.associations)
		s.mu.Unlock()
		s.addresses.mu.Lock()
		addresses := len(s.addresses.count)
		s.addresses.mu.Unlock()
		return streams == 0 && addresses == 0 && s.opening.len() == 0 && s.verified.len() == 0
	})
}

// TestGarbageOnOnePort is HTTP's to refuse, and costs no stream.
func TestGarbageOnOnePort(t *testing.T) {
	s, addr := shared(t, StreamOptions{}, nil)
	for _, garbage := range []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "SSH-2.0-x\r\n\r\n", "\x00\x01\x00\x00\x00\x00\x00\x00 \r\n\r\n", "\xff\xff\xff\xff\r\n\r\n"} {
		c := dialAddr(t, "tcp", addr)
		c.write([]byte(garbage + "\r\n\r\n"))
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
		if answer, _ := io.ReadAll(c.conn); !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) {
			t.Errorf("%q: %q", garbage, answer)
		}
		_ = c.conn.Close()
	}
	c := dialAddr(t, "tcp", addr) // in a frame that is cut short
	c.write([]byte{0, 1, 0})
	_ = c.conn.Close()
	waitCounted(t, s, "streams_closed", "left", 1)
	wantNoneOpen(t, s)
}

// TestTURNOff: on a listener for HTTP alone, STUN is closed and counted, and has no protocol name in TLS.
func TestTURNOff(t *testing.T) {
	s, clear := shared(t, StreamOptions{NoTURN: true}, nil)
	secure := share(t, s, StreamOptions{NoTURN: true, TLS: true})
	binding := buildMessage(t, stun.BindingRequest).Raw
	for i, c := range []*testClient{dialAddr(t, "tcp", clear), dialAddr(t, "tls", secure)} {
		c.write(binding)
		c.wantClosed()
		waitCounted(t, s, "streams_closed", "turn_off", uint64(i+1))
	}
	wantClosedFor(t, s, 2)
	if _, err := tls.Dial("tcp", secure.String(), clientTLS(alpnTURN)); err == nil {
		t.Error("stun.turn is agreed upon")
	}
	conn := dialAddr(t, "tcp", clear)
	conn.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if line, err := bufio.NewReader(conn.conn).ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Errorf("HTTP: %q, %v", line, err)
	}
}

// opened has the server accept one end of a pipe, and returns the other.
func opened(t *testing.T, s *Server, opts StreamOptions, from string) *testClient {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close() })
	client, server := netip.MustParseAddrPort(from), netip.MustParseAddrPort("192.0.2.2:443")
	s.newStreamListener(nil, opts).begin(pipeEnd{far, server, client})
	return clientOn(t, pipeEnd{near, client, server})
}

// TestSlowBeginnings: ten seconds are the time for all that comes before the content, however slowly it comes.
func TestSlowBeginnings(t *testing.T) {
	other := func(net.Conn) {}
	hello := clientHelloTLS(t)
	binding := buildMessage(t, stun.BindingRequest).Raw
	header := []byte("PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n")
	for name, row := range map[string]struct {
		opts          StreamOptions
		proxy         bool
		first         []byte // said at once
		script        []byte // then a byte each second
		group, reason string
	}{
		"TLS, silent":              {StreamOptions{TLS: true}, false, nil, nil, "tls_handshakes_failed", "timeout"},
		"TLS, slowly":              {StreamOptions{TLS: true}, false, nil, hello, "tls_handshakes_failed", "timeout"},
		"one port, silent":         {StreamOptions{Other: other}, false, nil, nil, "streams_closed", "silent"},
		"one port, slowly":         {StreamOptions{Other: other}, false, nil, binding[:7], "streams_closed", "silent"},
		"one port TLS, silent":     {StreamOptions{TLS: true, Other: other}, false, nil, nil, "tls_handshakes_failed", "timeout"},
		"PROXY, silent":            {StreamOptions{}, true, nil, nil, "streams_closed", "silent"},
		"PROXY, slowly":            {StreamOptions{}, true, nil, header, "streams_closed", "silent"},
		"PROXY, TLS slowly behind": {StreamOptions{TLS: true}, true, header, hello, "tls_handshakes_failed", "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, func(cfg *Config) {
					cfg.ProxyProtocol = row.proxy
					cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
				})
				c := opened(t, s, row.opts, "192.0.2.1:40000")
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := c.conn.Write(row.first)
					for i := 0; i < len(row.script) && err == nil; i++ {
						_, err = c.conn.Write(row.script[i : i+1])
						time.Sleep(time.Second)
					}
				})
				if got := c.untilClosed(); got != openTime {
					t.Errorf("closed after %v, want %v", got, openTime)
				}
				wg.Wait()
				synctest.Wait()
				if counterOf(t, s, row.group, row.reason) != 1 {
					t.Errorf("not counted as %s", row.reason)
				}
				wantNoneOpen(t, s)
			})
		})
	}
}

// clientHelloTLS is what crypto/tls says first.
func clientHelloTLS(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		_ = tls.Client(near, clientTLS()).Handshake()
		_ = near.Close()
	}()
	b := make([]byte, 4096)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// TestHalfOpenFlood: connections that never say what they are cost a bounded number of places, and a client gets through.
func TestHalfOpenFlood(t *testing.T) {
	const places, flood = 8, 100
	s, addr := shared(t, StreamOptions{TLS: true}, func(cfg *Config) { cfg.Limits.Openings = places })
	var silent []*testClient
	for range flood {
		silent = append(silent, dialAddr(t, "tcp", addr))
	}
	waitCounted(t, s, "streams_closed", "crowded_out", flood-places)
	if got := s.opening.len(); got != places {
		t.Errorf("%d wait", got)
	}
	for _, c := range silent[:flood-places] {
		c.wantClosed()
	}
	c := dialAddr(t, "tls", addr).as(mintREST(t, "alice", time.Hour))
	c.allocate()
	for _, c := range silent {
		_ = c.conn.Close()
	}
	_ = c.conn.Close()
	wantNoneOpen(t, s)
}

// TestConnectionsPerAddress counts TCP, TLS, DTLS and what is handed over together, and not a trusted proxy's.
func TestConnectionsPerAddress(t *testing.T) {
	s, addr := shared(t, StreamOptions{}, func(cfg *Config) { cfg.Limits.ConnectionsPerAddress = 4 })
	web := dialAddr(t, "tcp", addr)
	web.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if line, err := bufio.NewReader(web.conn).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	tcp, secure, datagrams := dial(t, s, "tcp"), dial(t, s, "tls"), dial(t, s, "dtls")
	for _, c := range []*testClient{tcp, secure, datagrams} {
		c.barrier()
	}
	dial(t, s, "tcp").wantClosed()
	if _, err := connect("tls", listenerAddr(t, s, "tls")); err == nil {
		t.Error("one more over TLS")
	}
	dialAddr(t, "tcp", addr).wantClosed()
	waitCounted(t, s, "streams_closed", "too_many_from_address", 3)
	for i, c := range []*testClient{web, tcp, secure, datagrams} {
		_ = c.conn.Close()
		waitFor(t, "a place", func() bool {
			s.addresses.mu.Lock()
			defer s.addresses.mu.Unlock()
			return s.addresses.count[customerOf(loopback)] == 3
		})
		next := dial(t, s, []string{"dtls", "tcp", "tls", "tcp"}[i])
		next.barrier()
		defer next.conn.Close()
	}

	trusting := startServer(t, func(cfg *Config) {
		cfg.Limits.ConnectionsPerAddress = 1
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	for _, network := range []string{"tcp", "tcp", "tls", "dtls", "dtls"} {
		dial(t, trusting, network).barrier()
	}
}

// TestCloseSocket holds that a connection whose socket is in other hands keeps its place until it is closed itself.
func TestCloseSocket(t *testing.T) {
	s := startServer(t, nil)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handed, ended := make(chan net.Conn), make(chan error)
	go func() { ended <- s.ServeStreams(ln, StreamOptions{Other: func(c net.Conn) { handed <- c }}) }()
	client := dialAddr(t, "tcp", ln.Addr().(*net.TCPAddr).AddrPort())
	client.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	conn := <-handed
	places := func() int {
		s.addresses.mu.Lock()
		defer s.addresses.mu.Unlock()
		return s.addresses.count[customerOf(loopback)]
	}
	if err := conn.(interface{ CloseSocket() error }).CloseSocket(); err != nil {
		t.Fatal(err)
	}
	client.wantClosed()
	if n := places(); n != 1 {
		t.Errorf("%d places with the socket closed, want 1", n)
	}
	_ = conn.Close()
	if n := places(); n != 0 {
		t.Errorf("%d places in the end", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// TestAddressCount: an IPv6 customer has a /64, and none has more than the limit.
func TestAddressCount(t *testing.T) {
	a := newAddressCount(2)
	v6 := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for _, row := range []struct {
		ip string
		ok bool
	}{
		{"2001:db8::1", true}, {"2001:db8::ffff:1", true}, {"2001:db8::2", false}, {"2001:db8:0:1::1", true},
		{"192.0.2.1", true}, {"::ffff:192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true},
	} {
		if got := a.take(v6(row.ip)); got != row.ok {
			t.Errorf("%s: %v", row.ip, got)
		}
	}
	for _, ip := range []string{"2001:db8::3", "2001:db8::4", "2001:db8:0:1::1", "192.0.2.1", "192.0.2.1", "192.0.2.2"} {
		a.give(v6(ip))
	}
	if len(a.count) != 0 {
		t.Errorf("left: %v", a.count)
	}
}

// TestCloseWhileOpening: a closed server closes who has not said yet what it wants, and takes nobody.
func TestCloseWhileOpening(t *testing.T) {
	s, addr := shared(t, StreamOptions{TLS: true}, nil)
	c := dialAddr(t, "tcp", addr)
	waitFor(t, "the connection to be accepted", func() bool { return s.opening.len() == 1 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.wantClosed()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ServeStreams(ln, StreamOptions{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed server serves: %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("its listener is open: %v", err)
	}
}
