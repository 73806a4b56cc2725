package turnserver

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v3"
)

// TestPermissionsCostFewSystemCalls: however often a client names a peer, in one request or in many, the kernel is told
// of a flow when its expiry there is about to be early, and not before.
func TestPermissionsCostFewSystemCalls(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	const channels = 120
	s, clock := startClocked(t, allowLoopback)
	c := manyChannels(t, s, channels)
	copies := slices.Repeat(peersOf(netip.AddrPortFrom(peerIP, 1)), 128)
	calls := func(what string, most uint64, do func()) {
		t.Helper()
		before := s.offloader.path.Calls()
		do()
		c.offloads()
		if got := s.offloader.path.Calls() - before; got > most {
			t.Errorf("%s took %d system calls, want at most %d", what, got, most)
		}
	}
	calls("20 requests with 128 copies of a peer", 0, func() {
		for range 20 {
			c.accept(stun.MethodCreatePermission, copies...)
		}
	})
	clock.ahead.Add(int64(expirySlack))
	calls("such a request after a minute", 4*channels, func() { c.accept(stun.MethodCreatePermission, copies...) })
	calls("the next one", 0, func() { c.accept(stun.MethodCreatePermission, copies...) })
	if got := s.offloader.path.Calls(); got < 4*channels {
		t.Errorf("%d system calls are counted for %d channels and their refresh", got, channels)
	}
}
