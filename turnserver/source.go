package turnserver

import "turnpike/turnserver/wire"

// sourceOf is what one customer of a network has: an IPv4 address, or an IPv6 /64.
func sourceOf(e wire.Endpoint) [16]byte {
	if !e.Addr().Is4() {
		clear(e.IP[8:])
	}
	return e.IP
}
