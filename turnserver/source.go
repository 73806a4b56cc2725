package turnserver

// sourceOf is what one customer of a network has: an IPv4 address, or an IPv6 /64.
func sourceOf(e endpoint) [16]byte {
	if !e.addr().Is4() {
		clear(e.ip[8:])
	}
	return e.ip
}
