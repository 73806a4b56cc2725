package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// request is one that came from remote, with headers as "Name: value".
func request(remote, host string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr, r.Host = remote, host
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func TestLocal(t *testing.T) {
	tests := []struct {
		name    string
		remote  string
		host    string
		headers []string
		want    bool
	}{
		{"a browser of this machine", "127.0.0.1:5000", "localhost:8080", nil, true},
		{"by address", "127.0.0.1:5000", "127.0.0.1:8080", nil, true},
		{"by IPv6", "[::1]:5000", "[::1]:8080", nil, true},
		{"IPv4 on an IPv6 socket", "[::ffff:127.0.0.1]:5000", "LocalHost", nil, true},
		{"another loopback address", "127.9.9.9:5000", "127.9.9.9", nil, true},
		{"a page of ours", "127.0.0.1:5000", "localhost:8080", []string{"Origin: http://localhost:8080"}, true},
		{"a page of ours on IPv6", "[::1]:5000", "[::1]:8080", []string{"Origin: http://[::1]:8080"}, true},
		{"a port that an editor forwards", "127.0.0.1:5000", "localhost:8080", []string{"Origin: http://LOCALHOST:3000"}, true},

		{"the network", "192.0.2.1:5000", "localhost:8080", nil, false},
		{"DNS rebinding", "127.0.0.1:5000", "evil.example:8080", nil, false},
		{"a name that begins well", "127.0.0.1:5000", "localhost.evil.example", nil, false},
		{"a name that ends well", "127.0.0.1:5000", "evil.localhost", nil, false},
		{"no host", "127.0.0.1:5000", "", nil, false},
		{"the machine's own name", "127.0.0.1:5000", "turn.example.org", nil, false},
		{"no address", "@", "localhost", nil, false},

		{"a proxy: X-Forwarded-For", "127.0.0.1:5000", "localhost", []string{"X-Forwarded-For: 127.0.0.1"}, false},
		{"a proxy: empty X-Forwarded-For", "127.0.0.1:5000", "localhost", []string{"X-Forwarded-For: "}, false},
		{"a proxy: Forwarded", "127.0.0.1:5000", "localhost", []string{"Forwarded: for=127.0.0.1"}, false},
		{"a proxy: X-Real-IP", "127.0.0.1:5000", "localhost", []string{"X-Real-IP: 127.0.0.1"}, false},
		{"a proxy: Via", "127.0.0.1:5000", "localhost", []string{"Via: 1.1 proxy"}, false},
		{"a proxy: X-Forwarded-Host", "127.0.0.1:5000", "localhost", []string{"X-Forwarded-Host: turn.example.org"}, false},
		{"a silent proxy: the page's Origin", "127.0.0.1:5000", "127.0.0.1:8080", []string{"Origin: https://turn.example.org"}, false},
		{"a page of another app", "127.0.0.1:5000", "localhost:8080", []string{"Origin: https://app.example.org"}, false},
		{"a page by another name of this machine", "127.0.0.1:5000", "localhost:8080", []string{"Origin: http://127.0.0.1:8080"}, false},
		{"a sandboxed page", "127.0.0.1:5000", "localhost:8080", []string{"Origin: null"}, false},
		{"two Origins", "127.0.0.1:5000", "localhost:8080", []string{"Origin: http://localhost:8080", "Origin: https://evil.example"}, false},
		{"a proxy: X-Forwarded-Proto", "127.0.0.1:5000", "localhost", []string{"X-Forwarded-Proto: https"}, false},
	}
	for _, test := range tests {
		r := request(test.remote, test.host, test.headers...)
		if got := (&visitors{localOnly: true}).local(r); got != test.want {
			t.Errorf("%s: local is %v, want %v", test.name, got, test.want)
		}
		if new(visitors).local(r) {
			t.Errorf("%s: local, though strangers can reach the server", test.name)
		}
	}
}

func TestClientAddr(t *testing.T) {
	v := &visitors{proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	tests := []struct {
		name      string
		remote    string
		forwarded []string
		want      string
	}{
		{"no proxy", "203.0.113.5:1", nil, "203.0.113.5"},
		{"a stranger's claim", "203.0.113.5:1", []string{"198.51.100.1"}, "203.0.113.5"},
		{"a proxy", "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy that a client lied to", "10.0.0.1:1", []string{"192.0.2.66, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", []string{"192.0.2.66, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"two headers", "10.0.0.1:1", []string{"192.0.2.66", "198.51.100.1"}, "198.51.100.1"},
		{"only proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"garbage", "10.0.0.1:1", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"garbage behind a proxy", "10.0.0.1:1", []string{"unknown, 10.0.0.2"}, "10.0.0.2"},
		{"with a port", "10.0.0.1:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"IPv6", "[::1]:1", []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 with a port", "[::1]:1", []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{"IPv6 in brackets", "[::1]:1", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
	}
	for _, test := range tests {
		r := request(test.remote, "turn.example.org")
		r.Header["X-Forwarded-For"] = test.forwarded
		if got := v.clientAddr(r).String(); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func FuzzClientAddr(f *testing.F) {
	f.Add("10.0.0.1:1", "192.0.2.66, 198.51.100.1:80,[::1]")
	f.Add("203.0.113.5:1", "x")
	v := &visitors{proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := request(remote, "turn.example.org")
		r.Header.Set("X-Forwarded-For", forwarded)
		connection, client := remoteAddr(r), v.clientAddr(r)
		if !v.trusts(connection) && client != connection {
			t.Errorf("%q made %v of the untrusted %v", forwarded, client, connection)
		}
		if connection.IsValid() && (!client.IsValid() || client.Is4In6() || client.Zone() != "") {
			t.Errorf("%q gave %v, which is not canonical", forwarded, client)
		}
	})
}

func TestAllowsOrigin(t *testing.T) {
	v := &visitors{origins: []string{"https://app.example.org"}, self: "https://turn.example.org"}
	tests := []struct {
		origin string
		want   bool
	}{
		{"http://10.0.0.5:8080", true}, // the Host header
		{"https://turn.example.org", true},
		{"https://app.example.org", true},
		{"HTTPS://App.example.org", true},
		{"http://app.example.org", false},
		{"https://app.example.org:444", false},
		{"https://evil.example", false},
		{"http://10.0.0.5", false},
		{"null", false},
		{"", false},
	}
	for _, test := range tests {
		if got := v.allowsOrigin(request("192.0.2.1:1", "10.0.0.5:8080", "Origin: "+test.origin)); got != test.want {
			t.Errorf("origin %q: allowed is %v, want %v", test.origin, got, test.want)
		}
	}
	if !v.allowsOrigin(request("192.0.2.1:1", "10.0.0.5:8080")) {
		t.Error("a program, which sends no Origin, is refused")
	}
	if v.allowsOrigin(request("192.0.2.1:1", "10.0.0.5:8080", "Origin: https://app.example.org", "Origin: https://evil.example")) {
		t.Error("two Origin headers are allowed")
	}
}
