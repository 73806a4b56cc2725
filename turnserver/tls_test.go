package turnserver

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/front"
)

// TestALPN: a client that names protocols gets the one that the listener speaks, or is refused. A client that names
// none is served.
func TestALPN(t *testing.T) {
	s, both := shared(t, StreamOptions{TLS: true}, nil)
	turn := listenerAddr(t, s, "tls")
	binding := buildMessage(t, stun.BindingRequest).Raw
	page := []byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	const refused = "refused"
	for _, row := range []struct {
		offer       []string
		turn, both  string // what is agreed upon
		stunOnBoth  bool   // served there
		pagesOnBoth bool
	}{
		{nil, "", "", true, true},
		{[]string{front.ProtocolTURN}, front.ProtocolTURN, front.ProtocolTURN, true, false},
		{[]string{front.ProtocolDiscovery}, front.ProtocolDiscovery, front.ProtocolDiscovery, true, false},
		{[]string{"x", front.ProtocolTURN}, front.ProtocolTURN, front.ProtocolTURN, true, false},
		{[]string{"h2", "http/1.1"}, refused, "http/1.1", true, true},
		{[]string{"http/1.1"}, refused, "http/1.1", true, true},
		{[]string{"h2"}, refused, refused, false, false},
		{[]string{"acme-tls/1"}, refused, "acme-tls/1", false, false},
	} {
		agree := func(addr string) (*tls.Conn, string) {
			conn, err := tls.Dial("tcp", addr, clientTLS(row.offer...))
			if err != nil {
				return nil, refused
			}
			t.Cleanup(func() { _ = conn.Close() })
			_ = conn.SetDeadline(time.Now().Add(patience))
			return conn, conn.ConnectionState().NegotiatedProtocol
		}
		if _, got := agree(turn.String()); got != row.turn {
			t.Errorf("tls://, offered %q: %q, want %q", row.offer, got, row.turn)
		}
		for _, try := range []struct {
			say, hear []byte
			served    bool
		}{{binding, []byte{1, 1}, row.stunOnBoth}, {page, []byte("HTTP/1.1 200"), row.pagesOnBoth}} {
			conn, got := agree(both.String())
			if got != row.both {
				t.Errorf("one port, offered %q: %q, want %q", row.offer, got, row.both)
			}
			if conn == nil {
				continue
			}
			answer := make([]byte, len(try.hear))
			_, err := conn.Write(try.say)
			if err == nil {
				_, err = io.ReadFull(conn, answer)
			}
			if served := err == nil && bytes.Equal(answer, try.hear); served != try.served {
				t.Errorf("one port, offered %q, said %.4q: served %v, %q, %v", row.offer, try.say, served, answer, err)
			}
		}
	}
	waitCounted(t, s, "tls_handshakes_failed", "failed", 6)
	waitCounted(t, s, "streams_closed", "reserved_protocol", 2)
}

// TestNotTLS: STUN and HTTP in clear on a port for TURN over TLS are failed handshakes, and no bad frames.
func TestNotTLS(t *testing.T) {
	s := startServer(t, nil)
	for i, say := range [][]byte{buildMessage(t, stun.BindingRequest).Raw, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")} {
		c := dialAddr(t, "tcp", listenerAddr(t, s, "tls"))
		c.write(say)
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
		_, _ = io.ReadAll(c.conn) // TLS's alert, and the end
		waitCounted(t, s, "tls_handshakes_failed", "not_tls", uint64(i+1))
	}
	wantClosedFor(t, s, 2)
}

// TestHTTPOnTLS: inside TLS on a port for TURN alone, HTTP is a bad frame as it is in clear.
func TestHTTPOnTLS(t *testing.T) {
	s := startServer(t, nil)
	c := dial(t, s, "tls")
	c.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	c.wantClosed()
	waitCounted(t, s, "streams_closed", "bad_frame", 1)
}

// TestNewCertificate: each handshake asks for the certificate.
func TestNewCertificate(t *testing.T) {
	asked := make(chan string, 10)
	s := startServer(t, func(cfg *Config) {
		cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked <- hello.ServerName
			return testCertificate(), nil
		}
	})
	for _, network := range []string{"tls", "dtls", "tls"} {
		dial(t, s, network).barrier()
		if got := <-asked; got != testName {
			t.Errorf("%s: asked for %q", network, got)
		}
	}
}
