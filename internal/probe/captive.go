package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// A captive portal answers in the place of every server until one has signed in. It shows in three ways: over plain http it sends
// elsewhere or answers 511 (RFC 6585), or answers with a page of its own, and over https it has no certificate for the server's name.

// identity is what a server says of itself at clientPath.
type identity struct {
	Address netip.Addr `json:"address"`
	Version string     `json:"version"`
	URLs    []string   `json:"urls"` // of STUN and TURN, DTLS too; servers of before tell none, and ours none to loopback
}

// identify asks the server who it is, and follows nobody elsewhere.
func identify(ctx context.Context, client *http.Client, base string) (identity, *http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+clientPath, nil)
	if err != nil {
		return identity{}, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return identity{}, nil, err
	}
	defer resp.Body.Close()
	var id identity
	err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&id)
	if resp.StatusCode != http.StatusOK || err != nil || !id.Address.IsValid() {
		return identity{}, resp, fmt.Errorf("%s answers %s, and not as a turnpike server does", base, printable(resp.Status))
	}
	id.Version = printable(id.Version)
	return id, resp, nil
}

// staying is a client that follows nobody elsewhere.
func staying(dial Dialer) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dial, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// judgePortal judges an answer over plain http that is not the server's own page. known is false if it may be the server's or anybody's.
func judgePortal(resp *http.Response) (portal CaptivePortal, known bool) {
	switch code := resp.StatusCode; {
	case code == http.StatusNetworkAuthenticationRequired:
		return CaptivePortal{Found: yes()}, true
	case code >= 300 && code < 400:
		to, err := resp.Location()
		if err != nil {
			return CaptivePortal{}, false
		}
		if to.Scheme == "https" && to.Path == clientPath { // to the same page, as our server and reverse proxies do
			return CaptivePortal{}, false
		}
		return CaptivePortal{Found: yes(), At: printable((&url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path}).String())}, true
	case code == http.StatusOK && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html"):
		return CaptivePortal{Found: yes()}, true
	}
	return CaptivePortal{}, false
}

// findPortal looks for a captive portal once the server itself could not be reached at base because of err.
func findPortal(ctx context.Context, dial Dialer, base string, resp *http.Response, err error) CaptivePortal {
	u, parseErr := url.Parse(base)
	if parseErr != nil {
		return CaptivePortal{Why: parseErr.Error()}
	}
	if proxied(base) {
		return CaptivePortal{Why: "this machine has a proxy of its own"}
	}
	if u.Scheme == "http" {
		if resp == nil {
			return CaptivePortal{Why: "nothing answers at all"}
		}
		if portal, known := judgePortal(resp); known {
			return portal
		}
		return CaptivePortal{Why: "the answer may be the server's or anybody's"}
	}
	_, plain, plainErr := identify(ctx, staying(dial), "http://"+hostForURL(u.Hostname()))
	if plainErr != nil && plain != nil {
		if portal, known := judgePortal(plain); known {
			return portal
		}
	}
	if isCertificate(err) {
		return CaptivePortal{Why: "the certificate is not the server's: somebody on the way may open connections"}
	}
	return CaptivePortal{Why: "nothing answers in the place of the server"}
}

func hostForURL(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		return "[" + host + "]"
	}
	return host
}
