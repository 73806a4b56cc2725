package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// local reports whether the request comes from a person on this machine. The connection alone does not say so. A
// reverse proxy on this machine connects from loopback for strangers, and may add no header that tells. A stranger's
// page may have bound its own name to 127.0.0.1 (DNS rebinding), which the Host and Origin headers show.
func (a *API) local(r *http.Request) bool {
	host := hostOnly(r.Host)
	if !a.cfg.LocalOnly || !remoteAddr(r).IsLoopback() || !loopbackHost(host) {
		return false
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "Via"} {
		if _, forwarded := r.Header[header]; forwarded {
			return false
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		// Names are compared without ports, because editors and WSL forward one port to another.
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Hostname(), host) {
			return false
		}
	}
	return true
}

// RefuseRebinding refuses requests that reach loopback under a foreign name. A page whose owner bound that name to
// 127.0.0.1 sends them from a browser on this machine.
func RefuseRebinding(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if remoteAddr(r).IsLoopback() && !loopbackHost(hostOnly(r.Host)) {
			http.Error(w, "use this address by its own name", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOnly takes the port and the brackets off a Host header.
func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

// loopbackHost reports whether host, without a port, can only mean this machine.
func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
