package probe

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/httpapi"
)

// TestProxyFault tries proxies as operators set them up before a real API: some tell of their clients, and the server trusts some.
func TestProxyFault(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has 127.0.0.2 without further ado")
	}
	adds := func(pr *httputil.ProxyRequest) {
		pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
		pr.SetXForwarded()
	}
	silent := func(*httputil.ProxyRequest) {}
	handsOn := func(pr *httputil.ProxyRequest) { pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"] }
	for name, row := range map[string]struct {
		rewrite func(*httputil.ProxyRequest) // nil: there is no proxy
		trusted string
		mapped  string
		want    string
	}{
		"none":                 {nil, "", "127.0.0.1", ""},
		"none, but trusted":    {nil, "127.0.0.1/32", "127.0.0.1", ""},
		"tells and is trusted": {adds, "127.0.0.2/32", "203.0.113.5", ""},
		"is not trusted":       {adds, "", "203.0.113.5", `takes all clients for 127.0.0.2: a proxy there sends X-Forwarded-For, but the server does not trust it; set http.trusted_proxies = ["127.0.0.2"]`},
		"silent":               {silent, "", "203.0.113.5", `a proxy that does not tell whom it speaks for; have it set X-Forwarded-For, and set http.trusted_proxies = ["127.0.0.2"]`},
		"silent and trusted":   {silent, "127.0.0.2/32", "203.0.113.5", "a proxy that does not tell"},
		"hands on":             {handsOn, "127.0.0.2/32", "203.0.113.5", "made up"},
		"a NAT, not a proxy":   {silent, "", "127.0.0.2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var trusted httpapi.TrustedProxies
			if row.trusted != "" {
				trusted = append(trusted, netip.MustParsePrefix(row.trusted))
			}
			mux := http.NewServeMux()
			httpapi.New(httpapi.Config{TrustedProxies: trusted, FailuresPerMinute: 1, KeyFailuresPerMinute: 1, GrantsPerMinute: 1,
				Now: time.Now, Log: slog.New(slog.DiscardHandler)}).Register(mux)
			server := httptest.NewServer(mux)
			defer server.Close()
			base := server.URL
			if row.rewrite != nil {
				target, _ := url.Parse(server.URL)
				transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext, DisableKeepAlives: true}
				proxy := httptest.NewServer(&httputil.ReverseProxy{Transport: transport, Rewrite: func(pr *httputil.ProxyRequest) {
					pr.SetURL(target)
					row.rewrite(pr)
				}})
				defer proxy.Close()
				base = proxy.URL
			}
			w := web{base, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
			err := w.proxyFault(t.Context(), func() netip.Addr { return netip.MustParseAddr(row.mapped) })
			switch {
			case row.want == "" && err != nil:
				t.Errorf("found %v", err)
			case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
				t.Errorf("found %v, want %q", err, row.want)
			}
		})
	}
}

// TestProxyOfAnotherServer: a server that does not tell by which address it knows a client is none to complain of.
func TestProxyOfAnotherServer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	w := web{server.URL, server.Client()}
	if err := w.proxyFault(t.Context(), func() netip.Addr { return netip.Addr{} }); err != nil {
		t.Error(err)
	}
}
