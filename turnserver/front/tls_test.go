package front

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
)

// TestProtocols: a client that names protocols gets the one that the listener speaks, or is refused; a client that
// names none is served.
func TestProtocols(t *testing.T) {
	f := newTestFront(t, nil)
	stunOnly, otherOnly, both := f.listen(carries{tls: true, stun: true}), f.listen(carries{tls: true, other: true}), f.listen(carries{tls: true, stun: true, other: true})
	page := []byte("GET / HTTP/1.1\r\n\r\n")
	const refused, closed = "refused", "closed"
	failed, reserved := 0, 0
	for _, row := range []struct {
		offer              []string
		stun, other, both  string // what is agreed upon
		toBinding, toPages string // the owner on a listener for both
	}{
		{nil, "", "", "", "STUN", "other"},
		{[]string{ProtocolTURN}, ProtocolTURN, refused, ProtocolTURN, "STUN", "STUN"},
		{[]string{ProtocolDiscovery}, ProtocolDiscovery, refused, ProtocolDiscovery, "STUN", "STUN"},
		{[]string{"x", ProtocolTURN}, ProtocolTURN, refused, ProtocolTURN, "STUN", "STUN"},
		{[]string{"h2", protocolHTTP}, refused, protocolHTTP, protocolHTTP, "STUN", "other"},
		{[]string{protocolHTTP}, refused, protocolHTTP, protocolHTTP, "STUN", "other"},
		{[]string{"h2"}, refused, refused, refused, "", ""},
		{[]string{protocolACME}, refused, protocolACME, protocolACME, closed, closed},
	} {
		agree := func(c *testClient) string {
			conn := tls.Client(c.Conn, clientTLS(row.offer...))
			if err := conn.Handshake(); err != nil {
				failed++
				return refused
			}
			c.Conn = conn
			return conn.ConnectionState().NegotiatedProtocol
		}
		for _, l := range []struct {
			name, want string
			client     *testClient
		}{{"STUN alone", row.stun, dial(t, stunOnly)}, {"other alone", row.other, dial(t, otherOnly)}} {
			got := agree(l.client)
			if got != l.want {
				t.Errorf("%s, offered %q: %q, want %q", l.name, row.offer, got, l.want)
			}
			if got == protocolACME {
				reserved++
			}
			if l.name == "other alone" && l.want == "" {
				l.client.write(binding(t))
				l.client.wantClosed()
				f.waitCounted(STUNOff, 1)
			}
		}
		for _, try := range []struct {
			say  []byte
			want string
		}{{binding(t), row.toBinding}, {page, row.toPages}} {
			c := dial(t, both)
			got := agree(c)
			if got != row.both {
				t.Errorf("one port, offered %q: %q, want %q", row.offer, got, row.both)
			}
			switch {
			case got == refused:
			case try.want == closed:
				reserved++
				_, _ = c.Write(try.say)
				c.wantClosed()
			default:
				c.write(try.say)
				if answer := c.answer(); !strings.HasPrefix(answer, try.want+" for ") {
					t.Errorf("one port, offered %q, said %.4q: answered %q, want %s", row.offer, try.say, answer, try.want)
				}
			}
		}
	}
	f.waitCounted(TLSFailed, failed)
	f.waitCounted(Reserved, reserved)
}

// TestNotTLS: a client that speaks something else where TLS is spoken is closed at once, with one count. Only a browser
// is told why.
func TestNotTLS(t *testing.T) {
	f := newTestFront(t, nil)
	stunOnly, both := f.listen(carries{tls: true, stun: true}), f.listen(carries{tls: true, stun: true, other: true})
	closed := 0
	for name, row := range map[string]struct {
		say  string
		hint bool
	}{
		"STUN":    {string(binding(t)), false},
		"HTTP":    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
		"POST":    {"POST / HTTP/1.1\r\nHost: x\r\n\r\n", true},
		"SSH":     {"SSH-2.0-OpenSSH_9.2\r\n", false},
		"zeroes":  {strings.Repeat("\x00", 100), false},
		"channel": {"\x40\x00\x00\x04data", false},
	} {
		for _, hasHTTP := range []bool{false, true} {
			addr := stunOnly
			if hasHTTP {
				addr = both
			}
			c := dial(t, addr)
			c.write([]byte(row.say))
			got, _ := io.ReadAll(c) // TLS's alert, or nothing, or the hint; and its end
			if told := strings.HasPrefix(string(got), "HTTP/1.0 400"); told != (row.hint && hasHTTP) {
				t.Errorf("%s was answered %q", name, got)
			}
			closed++
			f.waitCounted(NotTLS, closed)
		}
	}
	f.wantClosed(closed)
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.1":       {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true},
		"no such suite": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, InsecureSkipVerify: true},
	} {
		if _, err := tls.Dial("tcp", stunOnly.String(), cfg); err == nil {
			t.Error(name, "is accepted")
		}
	}
	f.waitCounted(TLSFailed, 2)
	if _, err := tls.Dial("tcp", stunOnly.String(), &tls.Config{ServerName: testName}); err == nil {
		t.Error("a client that does not trust the certificate goes on")
	}
	f.waitCounted(TLSByClient, 1)
	if conn, err := net.Dial("tcp", stunOnly.String()); err == nil {
		_ = conn.Close()
	}
	f.waitCounted(TLSByClient, 2)
}
