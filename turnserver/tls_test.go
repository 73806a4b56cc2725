package turnserver

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/turnserver/wire"
)

// TestALPN: who names protocols gets the one that the listener speaks, or is refused; who names none is served.
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
		{[]string{alpnTURN}, alpnTURN, alpnTURN, true, false},
		{[]string{alpnDiscovery}, alpnDiscovery, alpnDiscovery, true, false},
		{[]string{"x", alpnTURN}, alpnTURN, alpnTURN, true, false},
		{[]string{"h2", alpnHTTP}, refused, alpnHTTP, true, true},
		{[]string{alpnHTTP}, refused, alpnHTTP, true, true},
		{[]string{"h2"}, refused, refused, false, false},
		{[]string{alpnACME}, refused, alpnACME, false, false},
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

// TestNotTLS: whoever speaks something else where TLS is spoken is closed at once, with one count. Only a browser is told why.
func TestNotTLS(t *testing.T) {
	s, both := shared(t, StreamOptions{TLS: true}, nil)
	turn := listenerAddr(t, s, "tls")
	closed := uint64(0)
	for name, row := range map[string]struct {
		say  []byte
		hint bool
	}{
		"STUN":    {buildMessage(t, stun.BindingRequest).Raw, false},
		"HTTP":    {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), true},
		"POST":    {[]byte("POST / HTTP/1.1\r\nHost: x\r\n\r\n"), true},
		"SSH":     {[]byte("SSH-2.0-OpenSSH_9.2\r\n"), false},
		"zeroes":  {make([]byte, 100), false},
		"channel": {channelMessage(wire.MinChannel, []byte("data"), true), false},
	} {
		for _, addr := range []string{turn.String(), both.String()} {
			c := dialAddr(t, "tcp", turn)
			if addr == both.String() {
				c = dialAddr(t, "tcp", both)
			}
			c.write(row.say)
			_ = c.conn.SetReadDeadline(time.Now().Add(patience))
			got, _ := io.ReadAll(c.conn) // TLS's alert, or nothing, or the hint; and its end
			if told := bytes.HasPrefix(got, []byte("HTTP/1.0 400")); told != (row.hint && addr == both.String()) {
				t.Errorf("%s was answered %q", name, got)
			}
			closed++
			waitCounted(t, s, "tls_handshakes_failed", "not_tls", closed)
		}
	}
	wantClosedFor(t, s, closed)
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.1":       {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true},
		"no such suite": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, InsecureSkipVerify: true},
	} {
		if _, err := tls.Dial("tcp", turn.String(), cfg); err == nil {
			t.Error(name, "is accepted")
		}
	}
	waitCounted(t, s, "tls_handshakes_failed", "failed", 2)
	if _, err := tls.Dial("tcp", turn.String(), &tls.Config{ServerName: testName}); err == nil {
		t.Error("a client that does not trust the certificate goes on")
	}
	waitCounted(t, s, "tls_handshakes_failed", "client", 1)
	dialAddr(t, "tcp", turn).conn.Close()
	waitCounted(t, s, "tls_handshakes_failed", "client", 2)
	if got := counterOf(t, s, "streams_closed", "bad_frame"); got != 0 {
		t.Errorf("%d were counted as bad frames too", got)
	}
}

// TestHTTPOnTLS: inside TLS on a port for TURN alone, HTTP is a bad frame as it is in clear.
func TestHTTPOnTLS(t *testing.T) {
	s := startServer(t, nil)
	c := dial(t, s, "tls")
	c.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	c.wantClosed()
	waitCounted(t, s, "streams_closed", "bad_frame", 1)
}

// TestNewCertificate: each handshake asks for the certificate, and connections that are there keep theirs.
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
