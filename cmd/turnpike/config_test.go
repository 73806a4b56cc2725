package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"turnpike/auth"
)

func FuzzConfigFile(f *testing.F) {
	f.Add("public_host = \"turn.example.org\"\nhttp.listen = [\":443\"]\n[turn]\nexternal_addresses = { \"10.0.0.5\" = \"203.0.113.9\" }\n")
	f.Add("turn = { listen = [\"udp://[::]:3478\"], relay_ports = \"1-2\" }\n[limits]\nsessions = 7\n[[auth.issuers]]\n")
	f.Add("[auth]\nissuers = [{ name = \"a\", algorithms = [\"EdDSA\"], audience = \"*\", key_file = \"a.pem\", leeway = \"1m\" }]\n")
	f.Add("[[auth.issuers]]\nname = \"b\"\nalgorithms = [\"ES256\"]\naudience = \"x\"\njwks_url = \"https://x/y\"\nrole_claim = \"\"\n")
	f.Add("[turn]\nrealm = \"a\\u0007b\"\nallow_peers = [\"10.0.0.0/99\"]\n")
	f.Fuzz(func(t *testing.T, data string) {
		cfg := defaultConfig("state")
		if bad := cfg.parse("fuzz.toml", data); len(bad) > 0 {
			for _, err := range bad {
				if s := err.Error(); !strings.HasPrefix(s, "fuzz.toml") {
					t.Errorf("%q does not say which file", s)
				}
			}
			return
		}
		var first, second strings.Builder
		cfg.sources, cfg.TURN.SharedSecrets, cfg.Auth.APIKeys = map[string]string{}, nil, nil
		cfg.Auth.Issuers = slices.DeleteFunc(cfg.Auth.Issuers, func(is issuerConfig) bool { return !is.Secret.IsZero() })
		if err := cfg.print(&first); err != nil {
			t.Fatal(err)
		}
		again := defaultConfig("other")
		if bad := again.parse("printed.toml", first.String()); len(bad) > 0 {
			t.Fatalf("what was printed is refused: %v\n%s", bad, first.String())
		}
		again.sources = map[string]string{}
		if err := again.print(&second); err != nil {
			t.Fatal(err)
		}
		if first.String() != second.String() {
			t.Errorf("printed, read and printed again it differs:\n%s\n%s", first.String(), second.String())
		}
	})
}

func TestKeysHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]string{"config": "--config", "state": "--state"}
	for _, k := range new(Config).keys() {
		for _, name := range []string{k.flag(), k.env()} {
			if other := seen[name]; other != "" {
				t.Errorf("%s and %s are both %s", k.name, other, name)
			}
			seen[name] = k.name
		}
		if k.help == "" {
			t.Errorf("%s has no help", k.name)
		}
	}
}

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
			c.PublicHost, c.HTTP.Listen, c.TLS.Mode = "turn.example.org", []string{":443"}, tlsFiles
		}, ""},
		{"private relay address", private, func(c *Config) {
			c.PublicHost, c.HTTP.Listen, c.TLS.Mode = "turn.example.org", []string{":443"}, tlsFiles
		}, `behind 1:1 NAT set turn.external_addresses = { "10.0.0.5" = "your public address" }`},
		{"private relay address with its external one", private, func(c *Config) {
			c.PublicHost, c.HTTP.Listen, c.TLS.Mode = "turn.example.org", []string{":443"}, tlsFiles
			c.TURN.ExternalAddresses[private] = public
		}, ""},
		{"private on purpose", private, func(c *Config) {
			c.PublicHost, c.HTTP.Listen, c.TLS.Mode = "turn.corp.internal", []string{":443"}, tlsFiles
		}, ""},
		{"metrics for all", private, func(c *Config) { c.Metrics.Listen = ":9090" }, "pprof is off there"},
	}
	for _, test := range tests {
		cfg := defaultConfig("state")
		test.set(cfg)
		got := cfg.warnings([]netip.Addr{test.relay})
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	got := unknownVariables([]string{"HOME=/", "TURNPIKE_TURN_REALM=x", "TURNPIKE_CONFIG=y", "TURNPIKE_TRUN_REALM=z"})
	if len(got) != 1 || !strings.HasPrefix(got[0], "TURNPIKE_TRUN_REALM is not") {
		t.Errorf("got %q", got)
	}
}

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
		cfg := defaultConfig("state")
		cfg.PublicHost = test.publicHost
		cfg.HTTP.Listen = strings.Split(test.listen, ",")
		if test.tls {
			cfg.TLS.Mode = tlsFiles
		}
		if test.proxied {
			cfg.HTTP.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		}
		if got := cfg.publicURL(cfg.HTTP.Listen); got != test.want {
			t.Errorf("%q on %s: %s, want %s", test.publicHost, test.listen, got, test.want)
		}
		if got := strings.Join(cfg.webURLs(cfg.HTTP.Listen), " "); got != test.web {
			t.Errorf("%q on %s may be opened at %s, want %s", test.publicHost, test.listen, got, test.web)
		}
	}
}

// TestSecretKeysRedact holds that what is marked a secret never prints itself.
func TestSecretKeysRedact(t *testing.T) {
	cfg := defaultConfig("state")
	cfg.TURN.SharedSecrets = []auth.Secret{auth.NewSecret([]byte("correcthorsebatterystaple"))}
	for _, k := range cfg.keys() {
		if k.secret && strings.Contains(k.value.String(), "correcthorse") {
			t.Errorf("%s prints its secret", k.name)
		}
	}
}

// TestRealms: newer clients make their keys of the realm as RFC 8265 prepares it, older ones of what they are sent.
func TestRealms(t *testing.T) {
	for realm, good := range map[string]bool{
		"turnpike": true, "turn.example.org": true, "a realm": true, "r\u00e9al": true, strings.Repeat("x", 127): true,
		"": false, "a\"b": false, "a\nb": false, strings.Repeat("x", 128): false,
		"re\u0301al": false, "a\u00a0b": false, "a\u0007b": false, "a\xffb": false,
	} {
		if got, err := parseRealm(realm); (err == nil) != good || good && got != realm {
			t.Errorf("%q: %q, %v", realm, got, err)
		}
	}
}
