package udpio

import "net/netip"

// Header has the fields of a datagram's IP header that relaying keeps (RFC 8656 §14). So congestion control by ECN and
// L4S works through the relay, packets keep their class, and a packet that goes in circles dies. The zero value is an
// unknown header, as on streams and on the portable path.
type Header struct {
	To       netip.Addr // destination; known if the socket asks for it
	Class    uint8      // DSCP and ECN
	HopLimit uint8      // TTL in IPv4; 0: not known
}

// lastHop reports whether the packet must not be sent on.
func (h *Header) lastHop() bool { return h.HopLimit == 1 }

// alike reports whether packets with these headers leave with equal ones.
func (h *Header) alike(o *Header) bool { return h.Class == o.Class && h.HopLimit == o.HopLimit }
