package httpapi

import (
	"net/http"
	"net/netip"
)

type clientAnswer struct {
	Address netip.Addr `json:"address"`           // by which limits and logs know the client
	Ignored string     `json:"ignored,omitempty"` // a forwarding header that counted for nothing
	Version string     `json:"version,omitempty"` // of this server
}

// getClient tells a client by which address the server knows it, so that a proxy that nobody told of is found from outside,
// and which version this is.
func (a *API) getClient(r *http.Request) (any, *apiError) {
	answer := clientAnswer{Address: a.client(r), Version: a.cfg.Version}
	if !a.cfg.TrustedProxies.contain(remoteAddr(r)) {
		answer.Ignored = forwardingHeader(r.Header)
	}
	return answer, nil
}
