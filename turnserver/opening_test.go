package turnserver

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/front"
)

// opened makes the server accept one end of a pipe, and returns the other.
func opened(t *testing.T, s *Server, opts StreamOptions, from string) *testClient {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close() })
	client, server := netip.MustParseAddrPort(from), netip.MustParseAddrPort("192.0.2.2:443")
	ln := &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	ln.conns <- pipeEnd{far, server, client}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.ServeStreams(ln, opts)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
	})
	return clientOn(t, pipeEnd{near, client, server})
}

// pipeListener accepts ends of pipes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

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
				if got := c.untilClosed(); got != front.OpenTime {
					t.Errorf("closed after %v, want %v", got, front.OpenTime)
				}
				wg.Wait()
				synctest.Wait()
				if counterOf(t, s, row.group, row.reason) != 1 {
					t.Errorf("not counted as %s", row.reason)
				}
			})
		})
	}
}

// clientHelloTLS is the first message of crypto/tls.
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

// TestHalfOpenFlood: connections that never say what they are cost a bounded number of places, and a client gets
// through.
func TestHalfOpenFlood(t *testing.T) {
	const places, flood = 8, 100
	s, addr := shared(t, StreamOptions{TLS: true}, func(cfg *Config) { cfg.Limits.Openings = places })
	var silent []*testClient
	for range flood {
		silent = append(silent, dialAddr(t, "tcp", addr))
	}
	waitCounted(t, s, "streams_closed", "crowded_out", flood-places)
	if got := placesTaken(s, loopback); got != places {
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
