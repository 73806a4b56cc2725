package node

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/internal/testcert"
)

// webAddr is the address of the node's http listener.
func (s *testNode) webAddr() string {
	_, addr, _ := strings.Cut(strings.Fields(s.row("web"))[0], "://")
	return strings.Replace(addr, "localhost", "127.0.0.1", 1)
}

// bindingOn asks for our address on a connection, and returns it.
func bindingOn(conn net.Conn) (netip.AddrPort, error) {
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
		return netip.AddrPort{}, err
	}
	answer := make([]byte, 32)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return netip.AddrPort{}, err
	}
	m := &stun.Message{Raw: answer}
	if err := m.Decode(); err != nil {
		return netip.AddrPort{}, err
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(m); err != nil {
		return netip.AddrPort{}, err
	}
	ip, _ := netip.AddrFromSlice(mapped.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(mapped.Port)), nil
}

// TestOnePort holds that one port carries pages and STUN, in clear and in TLS. There the server offers no HTTP/2, which
// it could not tell from TURN.
func TestOnePort(t *testing.T) {
	certFile, keyFile, pool := testcert.For(t, t.TempDir(), "localhost")
	for name, args := range map[string][]string{
		"clear": nil, "TLS": {"--tls-mode", "files", "--tls-cert-file", certFile, "--tls-key-file", keyFile},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, append(args, "--turn-listen", "")...)
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
			resp, err := client.Get(s.row("web"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != 200 || resp.ProtoMajor != 1 {
				t.Errorf("the page: %s over %s", resp.Status, resp.Proto)
			}
			conn, err := net.Dial("tcp", s.webAddr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			from := conn.LocalAddr().String()
			if args != nil {
				conn = tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "localhost"})
			}
			if got, err := bindingOn(conn); err != nil || got.String() != from {
				t.Errorf("STUN: %v, %v; want %s", got, err, from)
			}
		})
	}
}

// TestHTTPWithoutTURN holds that http.turn = false leaves nothing but HTTP on its port.
func TestHTTPWithoutTURN(t *testing.T) {
	s := start(t, "--http-turn", "false", "--turn-listen", "udp://127.0.0.1:0")
	conn, err := net.Dial("tcp", s.webAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := bindingOn(conn); err == nil {
		t.Errorf("STUN is answered: %v", got)
	}
	if _, metrics := get(t, http.DefaultClient, s.row("metrics")); !strings.Contains(metrics, `turnpike_turn_streams_closed_total{reason="turn_off"} 1`) {
		t.Error("it is not counted")
	}
	if urls := relayCredential(t, s).uri; urls.Proto != stun.ProtoTypeUDP {
		t.Errorf("offered: %v", urls)
	}
}

// TestBehindLoadBalancer holds that with proxy_protocol the header names the client, that nobody counts as a person on
// this machine, and that a connection without a header is closed.
func TestBehindLoadBalancer(t *testing.T) {
	s := start(t, "--http-proxy-protocol", "true", "--http-trusted-proxies", "127.0.0.1")
	ask := func(header string) string {
		t.Helper()
		conn, err := net.Dial("tcp", s.webAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		const body = `{"name":"Ada"}`
		fmt.Fprintf(conn, "%sPOST /api/v1/tickets HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.99\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			header, len(body), body)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return "closed"
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(answer)
	}
	for _, header := range []string{
		"PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n", "PROXY TCP4 127.0.0.1 127.0.0.1 40000 443\r\n", "PROXY UNKNOWN\r\n",
	} {
		if got := ask(header); !strings.Contains(got, "invite-required") {
			t.Errorf("%q: %s", header, got)
		}
	}
	if got := ask(""); got != "closed" {
		t.Errorf("without a header: %s", got)
	}
	for _, network := range []string{"http", "tcp"} {
		addr := s.webAddr()
		if network == "tcp" {
			_, tcp, _ := strings.Cut(s.row("turn"), "  tcp://")
			addr = tcp
		}
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n")
		if got, err := bindingOn(conn); err != nil || got.String() != "203.0.113.7:40000" {
			t.Errorf("STUN on %s: %v, %v", network, got, err)
		}
	}
	if _, metrics := get(t, http.DefaultClient, s.row("metrics")); !strings.Contains(metrics, `turnpike_turn_streams_closed_total{reason="proxy_header"} 1`) {
		t.Error("the missing header is not counted")
	}
}
