package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/auth"
)

// TestCheckSaysWhatToDo holds that each way to fail ends in a sentence for the server's operator.
func TestCheckSaysWhatToDo(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	good := start(t)
	_, turnUDP, _ := strings.Cut(strings.Fields(good.row("turn"))[0], "://")

	tests := []struct {
		name, url, want string
	}{
		{"STUN without an answer", "stun:" + silent.LocalAddr().String(), "no answer from udp port"},
		{"TURN without an answer", "turn:" + silent.LocalAddr().String() + "?transport=udp", "open it in the firewall"},
		{"a closed port", "turn:" + closed.Addr().String() + "?transport=tcp", "refuses the connection"},
		{"a name that nobody knows", "turn:turnpike.invalid:3478?transport=udp", "set public_host to one that clients can look up"},
		{"another server's credential", "turn:" + turnUDP + "?transport=udp", "does not accept what signaling hands out"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			uri, err := stun.ParseURI(test.url)
			if err != nil {
				t.Fatal(err)
			}
			target := iceTarget{uri: uri, credential: auth.Credential{Username: "1900000000:s.x", Password: "wrong"}}
			timeout := 20 * time.Second
			if strings.Contains(test.name, "without an answer") {
				timeout = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			if uri.Scheme == stun.SchemeTypeSTUN {
				err = target.bind(ctx, new(result))
			} else {
				err = target.relay(ctx, new(result))
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
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

func TestBaseURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://turn.example.org/r/standup#invite=x": "https://turn.example.org",
		"http://localhost:8080":                       "http://localhost:8080",
		"turn.example.org":                            "https://turn.example.org",
		"[2001:db8::1]:8443":                          "https://[2001:db8::1]:8443",
		"ftp://turn.example.org":                      "",
		"https://":                                    "",
	} {
		if got, err := baseURL(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestInviteToken(t *testing.T) {
	for in, want := range map[string]string{
		inviteLink("https://turn.example.org", "standup", "a.b-c_d.e"): "a.b-c_d.e",
		"a.b.c\n": "a.b.c",
		"":        "",
	} {
		if got := inviteToken(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestListenersCovered: a listener is tried but if something has come to it, and not to another of the same port.
func TestListenersCovered(t *testing.T) {
	listener := func(network, addr string, wide bool) ownListener {
		return ownListener{network, netip.MustParseAddrPort(addr), wide}
	}
	tried := listener("udp", "203.0.113.9:3478", false)
	for _, test := range []struct {
		l    ownListener
		want bool
	}{
		{listener("udp", "203.0.113.9:3478", false), true},
		{listener("udp", "127.0.0.1:3478", true), true},
		{listener("udp", "[::1]:3478", true), false},
		{listener("udp", "203.0.113.10:3478", false), false},
		{listener("udp", "203.0.113.9:3479", false), false},
		{listener("dtls", "203.0.113.9:3478", false), false},
	} {
		if got := test.l.covers(tried); got != test.want {
			t.Errorf("%v covered by %v: %v", test.l, tried, got)
		}
	}
}
