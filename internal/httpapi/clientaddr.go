package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// TrustedProxies are the reverse proxies whose X-Forwarded-For is believed.
type TrustedProxies []netip.Prefix

// ClientAddr is the address for quotas and logs: the connection's, or behind trusted proxies the right-most entry of
// X-Forwarded-For that is not one of them. Entries further left are the client's own claim.
func (p TrustedProxies) ClientAddr(r *http.Request) netip.Addr {
	addr := remoteAddr(r)
	if !p.contain(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		next, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			return addr // the nearest proxy that wrote something readable
		}
		addr = next
		if !p.contain(addr) {
			return addr
		}
	}
	return addr
}

// remoteAddr is the other end of the connection.
func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// parseHop reads an entry of X-Forwarded-For. Some proxies add the port.
func parseHop(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

func (p TrustedProxies) contain(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(proxy netip.Prefix) bool { return proxy.Contains(a) })
}
