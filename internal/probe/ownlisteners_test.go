package probe

import (
	"net/netip"
	"testing"
)

// TestListenersCovered: a packet to an address tries only the listener that it arrives at, and no other on the same port.
func TestListenersCovered(t *testing.T) {
	listener := func(network, addr string, wide bool) ownListener {
		return ownListener{network, netip.MustParseAddrPort(addr), wide}
	}
	tried := listener("udp", "203.0.113.9:3478", false)
	for _, test := range []struct {
		l    ownListener
		want bool
	}{
		{listener("udp", "203.0.113.9:3478", false), true},
		{listener("udp", "127.0.0.1:3478", true), true},
		{listener("udp", "[::1]:3478", true), false},
		{listener("udp", "203.0.113.10:3478", false), false},
		{listener("udp", "203.0.113.9:3479", false), false},
		{listener("dtls", "203.0.113.9:3478", false), false},
	} {
		if got := test.l.covers(tried); got != test.want {
			t.Errorf("%v covered by %v: %v", test.l, tried, got)
		}
	}
}
