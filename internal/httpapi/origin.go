package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// origins are the sites whose pages may use the API.
type origins struct {
	allowed []string // other sites: scheme://host[:port], lower-case
	own     string   // our public origin; empty: the Host header alone tells
}

// allow reports whether the page that sent the request may use us: one of our own, or of an allowed origin. A request
// with no Origin header comes from a program, not from a page.
func (o *origins) allow(r *http.Request) bool {
	sent := r.Header.Values("Origin")
	if len(sent) == 0 {
		return true
	}
	if len(sent) > 1 {
		return false
	}
	if o.foreign(r) || strings.EqualFold(sent[0], o.own) {
		return true
	}
	u, err := url.Parse(sent[0])
	isPage := err == nil && (u.Scheme == "https" || u.Scheme == "http") // a packaged app's host is not ours, even if its name is
	return isPage && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// foreign reports whether the request's Origin is one of the allowed ones, which need CORS headers.
func (o *origins) foreign(r *http.Request) bool {
	return slices.Contains(o.allowed, strings.ToLower(r.Header.Get("Origin")))
}
