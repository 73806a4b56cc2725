package config

import (
	"net/netip"
	"strings"
	"testing"
)

func TestPublicURL(t *testing.T) {
	tests := []struct {
		publicHost string
		listen     string // commas between
		tls        bool
		proxied    bool
		want       string
		web        string // all that the operator may open
	}{
		{"", "127.0.0.1:8080", false, false, "http://localhost:8080", "http://localhost:8080"},
		{"", ":80", false, false, "http://localhost", "http://localhost"},
		{"", "[::1]:8080", false, false, "http://[::1]:8080", "http://[::1]:8080"},
		{"", "192.0.2.1:443", true, false, "https://192.0.2.1", "https://192.0.2.1"},
		{"turn.example.org", ":443", true, false, "https://turn.example.org", "https://turn.example.org"},
		{"turn.example.org", "127.0.0.1:8080,:8443", true, false, "https://turn.example.org:8443", "https://turn.example.org:8443 https://localhost:8080"},
		{"turn.example.org", "127.0.0.1:8080", false, true, "https://turn.example.org", "https://turn.example.org http://localhost:8080"},
		{"turn.example.org", "127.0.0.1:8080", false, false, "http://turn.example.org:8080", "http://turn.example.org:8080 http://localhost:8080"},
		{"2001:db8::1", ":443", true, false, "https://[2001:db8::1]", "https://[2001:db8::1]"},
	}
	for _, test := range tests {
		cfg := Default("state")
		cfg.PublicHost = test.publicHost
		cfg.HTTP.Listen = strings.Split(test.listen, ",")
		if test.tls {
			cfg.TLS.Mode = TLSFiles
		}
		if test.proxied {
			cfg.HTTP.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		}
		if got := cfg.PublicURL(cfg.HTTP.Listen); got != test.want {
			t.Errorf("%q on %s: %s, want %s", test.publicHost, test.listen, got, test.want)
		}
		if got := strings.Join(cfg.WebURLs(cfg.HTTP.Listen), " "); got != test.web {
			t.Errorf("%q on %s may be opened at %s, want %s", test.publicHost, test.listen, got, test.web)
		}
	}
}
