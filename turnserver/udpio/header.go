package udpio

import "net/netip"

// Header is what relaying looks at in a datagram's IP header (RFC 8656 §14): congestion control by ECN, L4S with it, works
// through the relay, packets keep their class, and one that is sent in circles dies. Its zero value is a header that nothing
// is known of, as on streams and on the portable path.
type Header struct {
	To       netip.Addr // where it came to; known if the socket asks for it
	Class    uint8      // DSCP and ECN
	HopLimit uint8      // TTL in IPv4; 0: not known
}

// lastHop reports whether the packet may not be sent on.
func (h *Header) lastHop() bool { return h.HopLimit == 1 }

// alike reports whether packets with these headers leave with equal ones.
func (h *Header) alike(o *Header) bool { return h.Class == o.Class && h.HopLimit == o.HopLimit }
