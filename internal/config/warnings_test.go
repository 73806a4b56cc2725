package config

import (
	"net/netip"
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	private, public := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("203.0.113.9")
	tests := []struct {
		name  string
		relay netip.Addr
		set   func(*Config)
		want  string // part of the one warning; empty: none
	}{
		{"by default", private, func(*Config) {}, ""},
		{"public_host, but only loopback", public, func(c *Config) { c.PublicHost = "turn.example.org" },
			`public_host is "turn.example.org", but http.listen has only loopback addresses, so nobody outside reaches the pages: set http.listen = [":443"]`},
		{"behind a proxy", public, func(c *Config) {
			c.PublicHost, c.HTTP.TrustedProxies = "turn.example.org", []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		}, ""},
		{"public_host that is loopback itself", public, func(c *Config) { c.PublicHost = "localhost" }, ""},
		{"open without TLS", public, func(c *Config) { c.HTTP.Listen = []string{":80"} }, "browsers give no camera or microphone to pages without https"},
		{"open with TLS", public, func(c *Config) {
			c.PublicHost, c.HTTP.Listen, c.TLS.Mode = "turn.example.org", []string{":443"}, TLSFiles
		}, ""},
		{"private relay address", private, func(c *Config) {
			c.PublicHost, c.HTTP.Listen, c.TLS.Mode = "turn.example.org", []string{":443"}, TLSFiles
		}, `behind 1:1 NAT set turn.external_addresses = { "10.0.0.5" = "your public address" }`},
		{"private relay address with its external one", private, func(c *Config) {
			c.PublicHost, c.HTTP.Listen, c.TLS.Mode = "turn.example.org", []string{":443"}, TLSFiles
			c.TURN.ExternalAddresses[private] = public
		}, ""},
		{"private on purpose", private, func(c *Config) {
			c.PublicHost, c.HTTP.Listen, c.TLS.Mode = "turn.corp.internal", []string{":443"}, TLSFiles
		}, ""},
		{"private behind a carrier's NAT", private, func(c *Config) {
			c.PublicHost, c.HTTP.Listen, c.TLS.Mode = "100.64.7.8", []string{":443"}, TLSFiles
		}, ""},
		{"metrics for all", private, func(c *Config) { c.Metrics.Listen = ":9090" }, "pprof is off there"},
	}
	for _, test := range tests {
		cfg := Default("state")
		test.set(cfg)
		got := cfg.Warnings([]netip.Addr{test.relay})
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestOwnPortsWarning: ports that are opened on no address are told of, with the address that would open them.
func TestOwnPortsWarning(t *testing.T) {
	local, external := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("203.0.113.9")
	for _, test := range []struct {
		name  string
		allow []string
		ports []PortRange
		want  string
	}{
		{"no ports", nil, nil, ""},
		{"no peers", nil, []PortRange{{7882, 7882}}, `add "203.0.113.9/32" to turn.allow_peers`},
		{"a range that has it", []string{"203.0.113.0/24", "10.0.0.0/8"}, []PortRange{{7882, 7882}}, `add "203.0.113.9/32" to turn.allow_peers`},
		{"another host", []string{"203.0.113.10/32"}, []PortRange{{7882, 7882}}, `add "203.0.113.9/32" to turn.allow_peers`},
		{"its external form", []string{"10.1.0.0/16", "203.0.113.9/32"}, []PortRange{{7882, 7882}}, ""},
		{"its local form", []string{"10.0.0.5/32"}, []PortRange{{7882, 7882}}, ""},
	} {
		cfg := Default("state")
		cfg.TURN.AllowOwnPorts = test.ports
		for _, p := range test.allow {
			cfg.TURN.AllowPeers = append(cfg.TURN.AllowPeers, netip.MustParsePrefix(p))
		}
		got := cfg.OwnPortsWarning([]netip.Addr{local, external, {}})
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	cfg := Default("state")
	cfg.TURN.AllowOwnPorts = []PortRange{{7882, 7882}}
	if got := cfg.OwnPortsWarning(nil); !strings.Contains(got, "an address that relays have here, alone") {
		t.Errorf("without a relay address: %q", got)
	}
}
