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
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/wire"
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
	opts.Other = handed.handOver
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

// handedOver is a listener that returns the connections which the server hands over.
type handedOver struct {
	conns chan net.Conn
	done  chan struct{}
	addr  net.Addr
}

func (h *handedOver) handOver(conn net.Conn) {
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

// TestOnePort: HTTP with every method, and TURN, in clear and inside TLS, whole and byte by byte, on one port.
func TestOnePort(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name, network := "clear", "tcp"
		if secure {
			name, network = "TLS", "tls"
		}
		t.Run(name, func(t *testing.T) {
			s, addr := shared(t, StreamOptions{TLS: secure}, allowLoopback)
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND"} {
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
		return streams == 0 && placesTaken(s, loopback) == 0
	})
}

// placesTaken is how many connections of an address count; those of a trusted proxy do not. It finds out by taking all
// places that are left.
func placesTaken(s *Server, ip netip.Addr) int {
	limit, left := s.cfg.Limits.ConnectionsPerAddress, 0
	for left < limit && s.front.Enter(ip) {
		left++
	}
	for range left {
		s.front.Leave(ip)
	}
	return limit - left
}

// TestGarbageOnOnePort: HTTP refuses garbage, which costs no stream.
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
	if _, err := tls.Dial("tcp", secure.String(), clientTLS(front.ProtocolTURN)); err == nil {
		t.Error("stun.turn is agreed upon")
	}
	conn := dialAddr(t, "tcp", clear)
	conn.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if line, err := bufio.NewReader(conn.conn).ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Errorf("HTTP: %q, %v", line, err)
	}
}

// TestConnectionsPerAddress: connections over TCP, TLS and DTLS and those that are handed over count together. A
// trusted proxy's do not count.
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
		waitFor(t, "a place", func() bool { return placesTaken(s, loopback) == 3 })
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

// TestServeStreamsClosed: a closed server takes no listener.
func TestServeStreamsClosed(t *testing.T) {
	s, addr := shared(t, StreamOptions{TLS: true}, nil)
	c := dialAddr(t, "tcp", addr)
	waitFor(t, "the connection to be accepted", func() bool { return placesTaken(s, loopback) == 1 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.wantClosed()
	wantClosedFor(t, s, 0)
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

// TestFrontReasons: each reason of the front has its own counter.
func TestFrontReasons(t *testing.T) {
	seen := make(map[reason]bool)
	for why, want := range map[front.Reason]string{
		front.Stranger: "streams_closed not_a_trusted_proxy", front.ProxyHeader: "streams_closed proxy_header",
		front.TooManyFrom: "streams_closed too_many_from_address", front.CrowdedOut: "streams_closed crowded_out",
		front.Silent: "streams_closed silent", front.Left: "streams_closed left", front.STUNOff: "streams_closed turn_off",
		front.Reserved: "streams_closed reserved_protocol", front.NotTLS: "tls_handshakes_failed not_tls",
		front.TLSTimeout: "tls_handshakes_failed timeout", front.TLSByClient: "tls_handshakes_failed client",
		front.TLSFailed: "tls_handshakes_failed failed",
	} {
		r := frontReason(why)
		if got := reasonLabels()[r].counter + " " + reasonLabels()[r].reason; got != want {
			t.Errorf("%d is counted as %s, want %s", why, got, want)
		}
		seen[r] = true
	}
	if len(seen) != int(front.ReasonCount)-1 {
		t.Errorf("%d of %d reasons are tested", len(seen), front.ReasonCount-1)
	}
}

func proxied(cfg *Config) {
	cfg.ProxyProtocol = true
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

// TestProxyProtocol on every kind of listener: the header's client is the client in STUN, in HTTP and in the
// five-tuple.
func TestProxyProtocol(t *testing.T) {
	s, clear := shared(t, StreamOptions{}, proxied)
	secure := share(t, s, StreamOptions{TLS: true})
	binding := buildMessage(t, stun.BindingRequest).Raw
	for header, client := range map[string]string{
		"PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n":          "203.0.113.7:40000",
		"PROXY TCP6 2001:db8::7 2001:db8::2 40000 443\r\n":        "[2001:db8::7]:40000",
		"PROXY TCP6 ::ffff:203.0.113.7 2001:db8::2 40000 443\r\n": "203.0.113.7:40000",
		"PROXY UNKNOWN\r\n": "", // the load balancer's own
	} {
		for _, row := range []struct {
			addr   netip.AddrPort
			secure bool
			http   bool
		}{
			{listenerAddr(t, s, "tcp"), false, false}, {listenerAddr(t, s, "tls"), true, false},
			{clear, false, false}, {secure, true, false}, {clear, false, true}, {secure, true, true},
		} {
			sock, err := net.Dial("tcp", row.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			_ = sock.SetDeadline(time.Now().Add(patience))
			if _, err := sock.Write([]byte(header)); err != nil {
				t.Fatal(err)
			}
			conn := sock
			if row.secure {
				conn = tls.Client(sock, clientTLS())
			}
			want := client
			if want == "" {
				want = sock.LocalAddr().String()
			}
			if row.http {
				_, _ = conn.Write([]byte("GET /x HTTP/1.0\r\n\r\n"))
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatalf("%q: %v", header, err)
				}
				if body, _ := io.ReadAll(res.Body); string(body) != "/x for "+want {
					t.Errorf("%q: HTTP says %q, want %s", header, body, want)
				}
			} else {
				c := clientOn(t, conn)
				c.write(binding)
				if got := addressIn(t, decode(t, c.read()), stun.AttrXORMappedAddress); got.String() != want {
					t.Errorf("%q: STUN says %v, want %s", header, got, want)
				}
			}
			_ = conn.Close()
		}
	}
	wantNoneOpen(t, s)
	for _, ip := range []string{"203.0.113.7", "2001:db8::7"} {
		waitFor(t, "the client's connections to be forgotten", func() bool { return placesTaken(s, netip.MustParseAddr(ip)) == 0 })
	}
}

// TestBadProxyHeaders: no header, or a bad one, ends the connection before anything behind it is read. Package front
// tries many more.
func TestBadProxyHeaders(t *testing.T) {
	s, shared := shared(t, StreamOptions{}, proxied)
	closed := uint64(0)
	for name, header := range map[string]string{
		"none, HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"none, STUN": string(buildMessage(t, stun.BindingRequest).Raw),
		"none, TLS":  "\x16\x03\x01\x02\x00\x01\x00\x01",
		"UDP":        "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
		"no ports":   "PROXY TCP4 1.1.1.1 2.2.2.2\r\n",
	} {
		for _, addr := range []netip.AddrPort{listenerAddr(t, s, "tcp"), listenerAddr(t, s, "tls"), shared} {
			c := dialAddr(t, "tcp", addr)
			c.write([]byte(header))
			c.wantClosed()
			closed++
			waitCounted(t, s, "streams_closed", "proxy_header", closed)
			if t.Failed() {
				t.Fatal(name)
			}
		}
	}
	c := dial(t, s, "tcp")
	c.write([]byte("PROXY UNKN"))
	_ = c.conn.Close()
	waitCounted(t, s, "streams_closed", "left", 1)
}

// TestProxySpoofed: connections of strangers are closed whatever they send. Behind the header of its load balancer, a
// client cannot send a second header.
func TestProxySpoofed(t *testing.T) {
	header := []byte("PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n")
	s, shared := shared(t, StreamOptions{}, func(cfg *Config) {
		cfg.ProxyProtocol = true
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32"), netip.MustParsePrefix("2001:db8::/32")}
	})
	for i, addr := range []netip.AddrPort{listenerAddr(t, s, "tcp"), listenerAddr(t, s, "tls"), shared} {
		c := dialAddr(t, "tcp", addr)
		c.wantClosed() // before a word
		waitCounted(t, s, "streams_closed", "not_a_trusted_proxy", uint64(i+1))
	}
	trusted := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	conn, err := trusted.Dial("tcp", listenerAddr(t, s, "tcp").String())
	if err != nil {
		t.Fatal(err)
	}
	c := clientOn(t, conn)
	c.write(bytes.Repeat(header, 2))
	c.wantClosed()
	waitCounted(t, s, "streams_closed", "bad_frame", 1)
}

// TestProxiedAllocation: two clients of one load balancer, with the same port, have each their own allocation, which
// ends with its own stream.
func TestProxiedAllocation(t *testing.T) {
	s := startServer(t, func(cfg *Config) { allowLoopback(cfg); proxied(cfg) })
	var clients []*testClient
	for _, ip := range []string{"203.0.113.7", "203.0.113.8"} {
		c := dial(t, s, "tcp").as(mintREST(t, "alice", time.Hour))
		c.write([]byte("PROXY TCP4 " + ip + " 192.0.2.2 40000 443\r\n"))
		c.allocate()
		clients = append(clients, c)
	}
	_ = clients[0].conn.Close()
	waitFor(t, "the first allocation to end", func() bool { return s.Allocations() == 1 })
	peer := newPeer(t)
	clients[1].bind(wire.MinChannel, peer.addr)
}
