package turnserver

import (
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/auth"
)

// TestRequestsPerSecond: an allocation, and a user with all allocations together, change things at a rate. What is beyond
// it gets no answer, and others notice nothing.
func TestRequestsPerSecond(t *testing.T) {
	const rate = 16 // of a user
	s := newServer(t, func(cfg *Config) { allowLoopback(cfg); cfg.Limits.RequestsPerSecond = rate })
	clock, begin := &testClock{srv: s}, time.Now()
	s.wallTime = func() time.Time { return begin.Add(time.Duration(clock.ahead.Load())) } // it stands still
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	peer := newPeer(t)
	ignored := func(c *testClient, method stun.Method, attrs ...stun.Setter) {
		t.Helper()
		before := counterOf(t, s, "packets_dropped", "requests_per_second")
		c.write(c.build(method, attrs...).Raw)
		c.wantSilence()
		if got := counterOf(t, s, "packets_dropped", "requests_per_second"); got != before+1 {
			t.Errorf("%d requests are counted as too many, want %d", got, before+1)
		}
	}
	one, left := dialREST(t, s, "udp", "alice"), rate*requestBursts
	one.allocate()
	left--
	for range rate / requestsToAlloc * requestBursts {
		one.permit(peer.addr)
		left--
	}
	ignored(one, stun.MethodCreatePermission, peersOf(peer.addr)...)
	ignored(one, stun.MethodChannelBind, peersOf(peer.addr)...)
	ignored(one, stun.MethodRefresh)
	clock.advance(time.Second)
	left = min(left+rate, rate*requestBursts)
	for range rate / requestsToAlloc {
		one.accept(stun.MethodRefresh)
		left--
	}
	ignored(one, stun.MethodRefresh)

	for left > 0 {
		other := dialREST(t, s, "udp", "alice")
		other.allocate()
		left--
		for range min(left, 50) {
			other.permit(peer.addr)
			left--
		}
	}
	late := dialREST(t, s, "udp", "alice")
	late.challenged()
	ignored(late, stun.MethodAllocate, transport(transportUDP))
	dialREST(t, s, "udp", "bob").allocate()
	clock.advance(time.Second)
	late.allocate()
}

// TestRequestsOfACall: a browser with three interfaces and three TURN URLs joins a call of sixteen, and all of its
// connections start over twice.
func TestRequestsOfACall(t *testing.T) {
	const peers, relays, candidates, channels = 15, 3 * 3, 12, 2
	s := newServer(t, nil)
	tries := 0
	mayChange := func(a *allocation) {
		t.Helper()
		r := request{alloc: a, c: &client{tuple: rigTuple(0)}, grant: auth.Grant{Kind: auth.GrantSession, Session: "S1"}}
		if tries++; !s.mayChange(&r) {
			t.Fatalf("request %d is too many", tries)
		}
	}
	for range 3 {
		for range peers * relays {
			mayChange(nil) // Allocate
			a := new(allocation)
			for range candidates + channels + 1 {
				mayChange(a)
			}
		}
	}
}
