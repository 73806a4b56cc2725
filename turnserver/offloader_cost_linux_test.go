package turnserver

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v3"

	"turnpike/turnserver/wire"
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

// TestOffloadedShares: no user takes the kernel's whole table, however many channels that has. What found no room is
// tried again once there is some.
func TestOffloadedShares(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	s := startServer(t, allowLoopback)
	limit := func(n int) {
		s.flowQueue.later(func() { s.offloader.most = n })
		s.flowQueue.told()
	}
	const most, channels = 90, 60
	limit(most)
	flows := func() int { return s.Offload().Flows }
	greedy := manyChannels(t, s, channels)
	if got := flows(); got < most/fairShare/2 || got > most/fairShare+1 {
		t.Errorf("one user has %d flows of %d in the kernel", got, most)
	}
	for i := range 8 {
		before := flows()
		callOffloaded(t, s, dialREST(t, s, "udp", fmt.Sprint("user", i)), wire.MinChannel)
		if flows() != before+1 {
			t.Fatalf("there is no room for user %d", i)
		}
	}
	limit(flows())
	late := callOffloaded(t, s, dialREST(t, s, "udp", "late"), wire.MinChannel)
	if got := counterOf(t, s, "packets_offloaded", "down"); got != 8 {
		t.Errorf("%d packets went through the kernel, though there was no room", got)
	}
	greedy.accept(stun.MethodRefresh, lifetime(0))
	waitFor(t, "the late flow to find room", func() bool { return flows() == 9 })
	before := counterOf(t, s, "packets_offloaded", "up")
	late.exchange(pattern(10), pattern(10))
	late.exchange(pattern(10), pattern(10))
	if counterOf(t, s, "packets_offloaded", "up") == before {
		t.Error("its packets do not go through the kernel")
	}
}
