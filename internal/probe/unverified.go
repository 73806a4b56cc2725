package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"

	"github.com/pion/stun/v4"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// unverified goes on after a certificate that clients do not trust, with what takes no secret: anybody may be at the other end.
func (r *run) unverified(ctx context.Context) {
	r.note("secrets", r.Base, "nobody signed in and nothing was relayed: anybody may be at the other end of a connection without a certificate to trust. "+
		"What follows was tried without regard to it")
	anybody := &tls.Config{InsecureSkipVerify: true} // nothing secret goes over it
	open := web{r.Base, &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: r.Dial, DisableKeepAlives: true, TLSClientConfig: anybody,
	}}}
	var there about
	if !r.step(ctx, "web", r.Base, func(ctx context.Context, f *Finding) error {
		there = open.about(ctx)
		return open.health(ctx, f)
	}) {
		return
	}
	r.step(ctx, "signaling", r.signalURL(), func(ctx context.Context, f *Finding) error {
		socket, err := r.openSocket(ctx, anybody)
		if err != nil {
			return err
		}
		f.Detail = "opens"
		return socket.Close()
	})
	servers := []wire.ICEServer{{URLs: there.URLs}}
	r.gateway(r.bindings(ctx, there.URLs))
	if r.Own != nil {
		r.ownListeners(ctx, servers, auth.Credential{})
		r.ownRest(ctx)
	} else {
		r.proxies(ctx, open, servers)
	}
	r.nat(ctx, servers)
}

// bindings asks at each URL for this machine's address, which takes no credential. It asks once where one listener has several URLs.
func (r *run) bindings(ctx context.Context, urls []string) (found []reached) {
	asked := map[string]bool{}
	for _, raw := range urls {
		if uri, err := stun.ParseURI(raw); err == nil {
			at := fmt.Sprint(iceTarget{uri: uri}.network(), uri.Host, uri.Port)
			if asked[at] {
				continue
			}
			asked[at] = true
		}
		found = append(found, r.ice(ctx, raw, auth.Credential{})...)
	}
	return found
}
