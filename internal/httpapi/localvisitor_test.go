package httpapi

import "testing"

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
	local, remote := New(Config{LocalOnly: true}), New(Config{})
	for _, test := range tests {
		r := request(test.remote, test.host, test.headers...)
		if got := local.local(r); got != test.want {
			t.Errorf("%s: local is %v, want %v", test.name, got, test.want)
		}
		if remote.local(r) {
			t.Errorf("%s: local, though strangers can reach the server", test.name)
		}
	}
}
