//go:build linux

package netlab

import (
	"net/netip"
	"slices"
	"testing"
)

// TestHomeHairpin: two sockets of a host reach each other by the addresses that others see of them, behind a NAT that turns packets around, and
// behind no other.
func TestHomeHairpin(t *testing.T) {
	for _, turns := range []bool{true, false} {
		lab := New(t)
		server := listen(t, lab.Public("server"))
		alice := lab.Behind(FullCone, "alice")
		if turns {
			lab.Hairpin(alice)
		}
		one, two := listen(t, alice), listen(t, alice)
		deliver(t, two, server, "b")
		at := deliver(t, one, server, "a")
		write(t, two, at, "around")
		got := collect(t, one, server, at)
		if slices.Contains(got, "around") != turns {
			t.Errorf("turned around: %v, want %v", !turns, turns)
		}
		router := lab.Router(alice)
		if want := netip.AddrFrom4([4]byte{192, 168, alice.Public().As4()[3], 1}); router.Addr() != want || router.Public() != alice.Public() {
			t.Errorf("the router is %v and %v", router.Addr(), router.Public())
		}
	}
}
