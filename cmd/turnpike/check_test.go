package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"turnpike/auth"
	"turnpike/internal/probe"
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
