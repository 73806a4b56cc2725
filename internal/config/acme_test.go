package config

import (
	"slices"
	"strings"
	"testing"
)

// TestACMEKeys: what no certificate can be got for is refused, with what to do, and pages are where browsers look.
func TestACMEKeys(t *testing.T) {
	const acme = "tls.mode = \"acme\"\n"
	for name, test := range map[string]struct {
		text, want string
	}{
		"a name":            {acme + `public_host = "turn.example.org"`, ""},
		"an address":        {acme + `public_host = "45.33.7.10"`, ""},
		"an IPv6 address":   {acme + `public_host = "2600:3c00::10"`, ""},
		"nothing":           {acme, `public_host: is empty, but tls.mode = "acme" gets a certificate for it`},
		"a private address": {acme + `public_host = "10.0.0.5"`, `"10.0.0.5" is no public address`},
		"a local name":      {acme + `public_host = "turn.lan"`, `"turn.lan" is no public name`},
		"loopback":          {acme + `public_host = "localhost"`, `"localhost" is no public name`},
		"of one's own":      {acme + "public_host = \"10.0.0.5\"\ntls.acme_directory = \"https://ca.lan/acme\"", ""},
		"http":              {acme + "public_host = \"a.example.org\"\ntls.acme_directory = \"http://ca.lan/acme\"", "is not the https:// URL of an ACME directory"},
		"an address of Ada": {acme + "public_host = \"a.example.org\"\ntls.acme_email = \"Ada <ada@example.org>\"", "is no e-mail address"},
		"files, too":        {acme + "public_host = \"a.example.org\"\ntls.cert_file = \"x\"", `tls.cert_file: is set, but tls.mode is "acme"`},
		"redirects to none": {`http.redirect_listen = [":80"]`, `sends browsers to https, but tls.mode is "off"`},
		"a load balancer": {acme + "public_host = \"a.example.org\"\nhttp.proxy_protocol = true\nhttp.trusted_proxies = [\"10.0.0.2\"]\nhttp.redirect_listen = [\":80\"]",
			"redirect at the load balancer"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parsed(t, test.text)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

// TestACMEListeners: with acme and nothing else named, the pages are on 443 and port 80 leads there.
func TestACMEListeners(t *testing.T) {
	for name, test := range map[string]struct {
		flags         map[string]string
		web, redirect []string
	}{
		"default": {nil, []string{":443"}, []string{":80"}},
		"named":   {map[string]string{"http.listen": ":8443", "http.redirect_listen": ""}, []string{":8443"}, nil},
		"both":    {map[string]string{"http.listen": ":443,:80"}, []string{":443"}, []string{":80"}},
		"behind":  {map[string]string{"http.proxy_protocol": "true", "http.trusted_proxies": "10.0.0.2"}, []string{":443"}, nil},
	} {
		flags := Flags{set: map[string][]string{"public_host": {"turn.example.org"}, "tls.mode": {"acme"}}, names: map[string]string{}}
		for key, value := range test.flags {
			flags.set[key] = []string{value}
		}
		for key := range flags.set {
			flags.names[key] = "--" + key
		}
		t.Chdir(t.TempDir())
		cfg, err := flags.Load(func(string) (string, bool) { return "", false }, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(cfg.HTTP.Listen, test.web) || !slices.Equal(cfg.HTTP.RedirectListen, test.redirect) {
			t.Errorf("%s: %q and %q", name, cfg.HTTP.Listen, cfg.HTTP.RedirectListen)
		}
		if got := cfg.PublicURL(cfg.HTTP.Listen); test.web[0] == ":443" && got != "https://turn.example.org" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestOnlyPort80: with acme, port 80 alone is no place for pages, and the error says so.
func TestOnlyPort80(t *testing.T) {
	t.Chdir(t.TempDir())
	flags := Flags{set: map[string][]string{"public_host": {"turn.example.org"}, "tls.mode": {"acme"}, "http.listen": {":80"}}, names: map[string]string{"http.listen": "--http-listen"}}
	_, err := flags.Load(func(string) (string, bool) { return "", false }, nil)
	if err == nil || !strings.Contains(err.Error(), `has only port 80, which with tls.mode = "acme" answers challenges`) {
		t.Error(err)
	}
}
