package turnserver

import (
	"fmt"
	"net/netip"

	"github.com/pion/stun/v3"

	"turnpike/turnserver/wire"
)

// Alternate is an address of another server that accepts this one's credentials.
type Alternate struct {
	Addr    netip.AddrPort
	Secured bool // for clients that use TLS or DTLS; else for those that use UDP or TCP
}

func validateAlternates(alternates []Alternate) error {
	for i, a := range alternates {
		ip := wire.Canonical(a.Addr.Addr())
		if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || a.Addr.Port() == 0 {
			return fmt.Errorf("alternate server %v is not an address that clients can go to", a.Addr)
		}
		for _, b := range alternates[:i] {
			if a.Secured == b.Secured && ip.Is4() == wire.Canonical(b.Addr.Addr()).Is4() {
				return fmt.Errorf("alternate servers %v and %v are for the same clients", b.Addr, a.Addr)
			}
		}
	}
	return nil
}

// alternate returns the other server for clients of a family, with or without TLS.
func (s *Server) alternate(is4, secured bool) (wire.Endpoint, bool) {
	for _, a := range s.cfg.Alternates {
		if e := wire.EndpointOf(a.Addr); e.Addr().Is4() == is4 && a.Secured == secured {
			return e, true
		}
	}
	return wire.Endpoint{}, false
}

// tryAlternate answers 300 with another server's address (RFC 8489 §10). The address must have the family by which the
// client came; if there is none, tryAlternate reports false. An address of the other family goes with it.
func (r *request) tryAlternate() bool {
	srv, secured := r.w.srv, r.c.tuple.Protocol.Secured()
	is4 := r.c.tuple.Client.Addr().Is4()
	first, ok := srv.alternate(is4, secured)
	if !ok {
		return false
	}
	r.startAnswer(stun.ClassErrorResponse)
	r.addError(stun.CodeTryAlternate)
	r.addAlternate(first)
	if second, ok := srv.alternate(!is4, secured); ok {
		r.addAlternate(second)
	}
	if secured && srv.cfg.AlternateDomain != "" {
		r.w.res.Add(stun.AttrAlternateDomain, []byte(srv.cfg.AlternateDomain))
	}
	r.sendAnswer()
	return true
}

func (r *request) addAlternate(e wire.Endpoint) {
	var value [20]byte
	wire.PutAddress(value[:], e)
	r.w.res.Add(stun.AttrAlternateServer, value[:wire.XORAddressSize(e.Addr().Is4())])
}
