package node

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// TestForwarders asks for a ticket through forwarders on the same host that do not name their client.
func TestForwarders(t *testing.T) {
	proxied := []string{"--public-host", "turn.example.org", "--http-trusted-proxies", "127.0.0.1/32"}
	for name, test := range map[string]struct {
		args   []string
		direct bool
		host   string // empty: as the forwarder has it by default
		status int
		body   string
	}{
		"a person on this machine":               {direct: true, status: 200, body: `"role":"member"`},
		"a proxy that says nothing":              {args: proxied, status: 401, body: "invite-required"},
		"a proxy that hands the Host on":         {args: proxied, host: "localhost", status: 401, body: "invite-required"},
		"a forwarder below HTTP":                 {args: []string{"--public-host", "turn.example.org"}, direct: true, host: "localhost", status: 401, body: "invite-required"},
		"guests = always, through a proxy":       {args: append([]string{"--auth-guests", "always"}, proxied...), status: 200, body: `"role":"guest"`},
		"guests = always, by a silent forwarder": {args: []string{"--auth-guests", "always"}, direct: true, host: "localhost", status: 200, body: `"role":"guest"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.args...)
			_, port, err := net.SplitHostPort(s.listener(t))
			if err != nil {
				t.Fatal(err)
			}
			to := "http://127.0.0.1:" + port
			if !test.direct {
				to = silentProxy(t, to, test.host).URL
			}
			req, _ := http.NewRequest(http.MethodPost, to+"/api/v1/tickets", strings.NewReader(`{"name":"Ada"}`))
			req.Header.Set("Content-Type", "application/json")
			if test.host != "" {
				req.Host = test.host
			}
			if test.args != nil && !test.direct {
				req.Header.Set("Origin", "https://turn.example.org") // as the browser of somebody who opened the public URL
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != test.status || !strings.Contains(string(body), test.body) {
				t.Errorf("%d %s, want %d with %s", resp.StatusCode, body, test.status, test.body)
			}
		})
	}
}

// listener is the loopback address at which a server serves HTTP.
func (s *testNode) listener(t *testing.T) string {
	t.Helper()
	for shown := range strings.SplitSeq(s.row("web"), "  ") {
		if u, err := url.Parse(shown); err == nil && u.Hostname() == "localhost" {
			return u.Host
		}
	}
	t.Fatalf("no loopback URL in %q", s.row("web"))
	return ""
}

// silentProxy is a reverse proxy that adds no header about its client, as nginx with nothing but proxy_pass. It sends
// the Host of the server behind it, or hands on the request's if host is set.
func silentProxy(t *testing.T, to, host string) *httptest.Server {
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if host != "" {
			r.Out.Host = r.In.Host
		}
	}}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return s
}
