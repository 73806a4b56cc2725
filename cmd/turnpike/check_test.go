package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/probe"
)

// TestCheckOfAnotherCredential: the server's refusal of another server's credential ends in advice.
func TestCheckOfAnotherCredential(t *testing.T) {
	_, turnUDP, _ := strings.Cut(strings.Fields(start(t).row("turn"))[0], "://")
	f := probe.ICE(t.Context(), 20*time.Second, "turn:"+turnUDP+"?transport=udp", auth.Credential{Username: "1900000000:s.x", Password: "wrong"})
	if f.OK || !strings.Contains(f.Problem, "refuses the credential that signaling gave") {
		t.Errorf("%+v", f)
	}
}

func TestCheckOfAnotherServer(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	var out, errs syncBuffer
	p := &program{stdout: &out, stderr: &errs}
	if status := p.run(t.Context(), []string{"check", other.URL}); status != 1 || !strings.Contains(out.String(), "/readyz answers 404") {
		t.Errorf("status %d, %s%s", status, out.String(), errs.String())
	}
}

// TestFindingLine: a line is a line, whatever a server says of itself.
func TestFindingLine(t *testing.T) {
	for _, f := range []probe.Finding{
		{Check: "web", OK: true, Detail: "turnpike 1\x1b[2J\nok   all"}, {Check: "web", Problem: "a\x1b]0;b\a\r"}, {Check: "web", Note: true, Detail: "\u009b2J"},
	} {
		line, ended := strings.CutSuffix(findingLine(f), "\n")
		if !ended || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("%q", line)
		}
	}
}

func TestServerURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://turn.example.org/r/standup#invite=x": "https://turn.example.org",
		"http://localhost:8080":                       "http://localhost:8080",
		"turn.example.org":                            "https://turn.example.org",
		"[2001:db8::1]:8443":                          "https://[2001:db8::1]:8443",
		"ftp://turn.example.org":                      "",
		"https://":                                    "",
	} {
		if got, err := serverURL(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

// TestCheckNATOfOurs lets the probe and the server meet: with turn.nat_discovery_port there is a finding, and none without.
func TestCheckNATOfOurs(t *testing.T) {
	first, second := freePorts(t)
	listen := fmt.Sprintf("udp://127.0.0.1:%d,udp://127.0.0.2:%d", first, first)
	for port, want := range map[int]string{second: "no NAT, endpoint-independent filtering", 0: ""} {
		s := start(t, "--turn-listen", listen, "--turn-nat-discovery-port", fmt.Sprint(port))
		got, ok := probe.NAT(t.Context(), time.Minute, fmt.Sprintf("stun:127.0.0.1:%d", first))
		if ok != (want != "") || ok && (!got.OK || !strings.HasPrefix(got.Detail, want)) {
			t.Errorf("port %d: got %v, want %q", port, got, want)
		}
		if shown := strings.Contains(s.row("turn"), fmt.Sprintf("udp://127.0.0.2:%d", second)); shown != (port != 0) {
			t.Errorf("port %d: listens on %s", port, s.row("turn"))
		}
		s.stop()
	}
}

// freePorts finds two UDP ports that are free on two addresses of loopback. It skips the test where loopback has only one.
func freePorts(t *testing.T) (first, second int) {
	t.Helper()
	open := func(ip string, port int) (*net.UDPConn, error) {
		return net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip), Port: port})
	}
	var ports []int
	for range 50 {
		one, err := open("127.0.0.1", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer one.Close()
		port := one.LocalAddr().(*net.UDPAddr).Port
		two, err := open("127.0.0.2", port)
		switch {
		case err == nil:
			defer two.Close()
			ports = append(ports, port)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			t.Skip("this machine has one loopback address: ", err)
		}
		if len(ports) == 2 {
			return ports[0], ports[1]
		}
	}
	t.Fatal("no two ports are free on two addresses")
	return 0, 0
}

// TestCheckOfMappedPort: with turn.public_ports, a check from outside works through a port that another machine maps, and
// invites lead there.
func TestCheckOfMappedPort(t *testing.T) {
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var forwarding sync.WaitGroup
	t.Cleanup(forwarding.Wait)
	t.Cleanup(func() { _ = outside.Close() })
	inside := freeTCPPort(t)
	forwarding.Go(func() { forwardTo(outside, fmt.Sprintf("127.0.0.1:%d", inside), &forwarding) })
	public := outside.Addr().(*net.TCPAddr).Port

	args := []string{"--state", filepath.Join(t.TempDir(), "state"), "--http-listen", fmt.Sprintf("127.0.0.1:%d", inside), "--public-host", "127.0.0.1",
		"--turn-listen", "", "--turn-public-ports", fmt.Sprintf("tcp:%d=%d", inside, public)}
	start(t, args...)
	var out, errs syncBuffer
	p := &program{stdout: &out, stderr: &errs}
	status := p.run(t.Context(), []string{"check", "http://" + outside.Addr().String()})
	if want := fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", public); status != 0 || !strings.Contains(out.String(), want) {
		t.Errorf("status %d, no %q in: %s%s", status, want, out.String(), errs.String())
	}
	status = p.run(t.Context(), append([]string{"invite", "--room", "standup"}, args...))
	if want := fmt.Sprintf("http://127.0.0.1:%d/r/standup#invite=", public); status != 0 || !strings.Contains(out.String(), want) {
		t.Errorf("status %d, no %q in: %s%s", status, want, out.String(), errs.String())
	}
}

// freeTCPPort finds a port that nobody listens on.
func freeTCPPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// forward carries the connections of l to addr, as a container's port does.
func forwardTo(l net.Listener, addr string, forwarding *sync.WaitGroup) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", addr)
		if err != nil {
			_ = from.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
			forwarding.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_, _ = pair[0].Close(), pair[1].Close()
			})
		}
	}
}
