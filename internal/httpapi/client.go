package httpapi

import (
	"net/http"
	"net/netip"
)

type clientAnswer struct {
	Address netip.Addr `json:"address"`           // by which limits and logs know the client
	Ignored string     `json:"ignored,omitempty"` // a forwarding header that counted for nothing
	Version string     `json:"version,omitempty"` // of this server
	URLs    []string   `json:"urls,omitempty"`    // of STUN and TURN here, as clients reach them
}

// getClient tells a client by which address the server knows it, so that a proxy that nobody told of is found from outside,
// which version this is, and where it speaks TURN: signaling leaves out what browsers do not use.
func (a *API) getClient(r *http.Request) (any, *apiError) {
	answer := clientAnswer{Address: a.client(r), Version: a.cfg.Version, URLs: a.cfg.ICEServers.all(hostOnly(r.Host))}
	if !a.cfg.TrustedProxies.contain(remoteAddr(r)) {
		answer.Ignored = forwardingHeader(r.Header)
	}
	return answer, nil
}
