package config

import (
	"net/netip"
	"testing"
)

func TestLocalOnly(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		want   bool
	}{
		"no configuration":       {func(*Config) {}, true},
		"public_host loopback":   {func(c *Config) { c.PublicHost = "localhost" }, true},
		"IPv6 and names":         {func(c *Config) { c.HTTP.Listen = []string{"[::1]:80", "localhost:81", "127.0.0.9:82"} }, true},
		"public_host":            {func(c *Config) { c.PublicHost = "turn.example.org" }, false},
		"trusted_proxies":        {func(c *Config) { c.HTTP.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} }, false},
		"proxy_protocol":         {func(c *Config) { c.HTTP.ProxyProtocol = true }, false},
		"TLS":                    {func(c *Config) { c.TLS.Mode = TLSFiles }, false},
		"every address":          {func(c *Config) { c.HTTP.Listen = []string{":8080"} }, false},
		"one address of several": {func(c *Config) { c.HTTP.Listen = []string{"127.0.0.1:80", "192.0.2.1:80"} }, false},
	} {
		cfg := Default("state")
		test.change(cfg)
		if got := cfg.LocalOnly(); got != test.want {
			t.Errorf("%s: local only is %v, want %v", name, got, test.want)
		}
	}
}
