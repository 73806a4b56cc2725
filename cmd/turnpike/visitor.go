package main

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"turnpike/internal/config"
)

// visitors judges where a request comes from. It is not changed once made.
type visitors struct {
	proxies []netip.Prefix // whose X-Forwarded-For is believed
	origins []string       // of other sites that may use us: scheme://host[:port], lower-case
	self    string         // our own origin, if public_host is set: a proxy may have changed the Host header

	// localOnly: by the configuration nobody from elsewhere can be here (config.Config.LocalOnly). Without it no request is local.
	localOnly bool
}

// remoteAddr is the other end of the connection.
func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// clientAddr is the address that quotas and logs go by: the connection's, or behind trusted proxies the right-most
// entry of X-Forwarded-For that is not one of them. What stands further left is the client's own claim.
func (v *visitors) clientAddr(r *http.Request) netip.Addr {
	addr := remoteAddr(r)
	if !v.trusts(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		next, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			return addr // the nearest proxy that wrote something readable
		}
		addr = next
		if !v.trusts(addr) {
			return addr
		}
	}
	return addr
}

// parseHop reads an entry of X-Forwarded-For. Some proxies add the port.
func parseHop(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

func (v *visitors) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(v.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// local reports whether the request comes from a person on this machine. The connection alone does not say so. A reverse
// proxy on this machine connects from loopback for strangers, and may add no header that tells. A page of a stranger may
// have bound its own name to 127.0.0.1 (DNS rebinding), which the Host and Origin headers show.
func (v *visitors) local(r *http.Request) bool {
	host := hostOnly(r.Host)
	if !v.localOnly || !remoteAddr(r).IsLoopback() || !config.LoopbackHost(host) {
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

// hostOnly takes the port and the brackets off a Host header.
func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

// allowsOrigin reports whether the page that sent the request may use us: one of our own, or of an allowed origin. No
// Origin header at all is a program, not a page.
func (v *visitors) allowsOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false
	}
	if v.foreignOrigin(r) || strings.EqualFold(origins[0], v.self) {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// foreignOrigin reports whether the request's Origin is one of the allowed ones, which need CORS headers.
func (v *visitors) foreignOrigin(r *http.Request) bool {
	return slices.Contains(v.origins, strings.ToLower(r.Header.Get("Origin")))
}
