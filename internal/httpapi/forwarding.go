package httpapi

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// forwardingEvery is how often a forwarding header from a stranger is logged.
const forwardingEvery = time.Minute

// ForwardingNotice logs forwarding headers that count for nothing, because they come from an address that is no trusted proxy. If it
// is the operator's proxy, all of its clients count as one address, and the line says what would mend that. Strangers can send the
// headers as well, so lines about addresses of the public network do not take the place of those about private ones.
func ForwardingNotice(trusted TrustedProxies, now func() time.Time, log *slog.Logger, next http.Handler) http.Handler {
	private, public := &seldom{every: forwardingEvery}, &seldom{every: forwardingEvery}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if header := forwardingHeader(r.Header); header != "" {
			notice, from := public, remoteAddr(r)
			if from.IsPrivate() || from.IsLoopback() || from.IsLinkLocalUnicast() {
				notice = private
			}
			if from.IsValid() && !trusted.contain(from) && notice.allows(now()) {
				log.Warn("a forwarding header counts for nothing, because it comes from an address that is no trusted proxy; if this is your proxy, "+
					"all of its clients count as one address until you trust it", "header", header, "from", from, "mend", trusted.lineWith(from))
			}
		}
		next.ServeHTTP(w, r)
	})
}

// forwardingHeader returns the name of a header that a proxy tells its client's address in; empty: there is none.
func forwardingHeader(h http.Header) string {
	for _, name := range []string{"X-Forwarded-For", "Forwarded"} {
		if len(h[name]) > 0 {
			return name
		}
	}
	return ""
}

// lineWith is the line of the configuration that trusts one more proxy.
func (p TrustedProxies) lineWith(proxy netip.Addr) string {
	words := make([]string, 0, len(p)+1)
	for _, known := range p {
		if known.IsSingleIP() {
			words = append(words, `"`+known.Addr().String()+`"`)
		} else {
			words = append(words, `"`+known.String()+`"`)
		}
	}
	return "http.trusted_proxies = [" + strings.Join(append(words, `"`+proxy.String()+`"`), ", ") + "]"
}
