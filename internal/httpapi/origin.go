package httpapi

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
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

// originEvery is how often a refused origin is logged.
const originEvery = time.Minute

// OriginNotice returns a function that logs an origin whose pages were refused, now and then. If it is the operator's, the line
// says what would admit it. Anybody can send any origin.
func OriginNotice(allowed []string, now func() time.Time, log *slog.Logger) (refused func(origin string)) {
	notices := seldom{every: originEvery}
	return func(origin string) {
		if !notices.allows(now()) {
			return
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+u.Host || len(origin) > maxShownOrigin {
			log.Warn("a page was refused that names no origin, as one from a file does; serve it over http or https", "origin", origin[:min(len(origin), maxShownOrigin)])
			return
		}
		log.Warn("a page of another origin was refused; if it is yours, allow it", "origin", origin, "mend", originLine(allowed, origin))
	}
}

// maxShownOrigin is how much the log has of an origin: names of hosts have at most 253 bytes.
const maxShownOrigin = 300

// originLine is the line of the configuration that allows one more origin.
func originLine(allowed []string, origin string) string {
	words := make([]string, 0, len(allowed)+1)
	for _, word := range append(slices.Clone(allowed), strings.ToLower(origin)) {
		words = append(words, strconv.Quote(word))
	}
	return "http.allowed_origins = [" + strings.Join(words, ", ") + "]"
}
