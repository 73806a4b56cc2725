package turnserver

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
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
	for range rate / requestShare * requestBursts {
		one.permit(peer.addr)
		left--
	}
	ignored(one, stun.MethodCreatePermission, peersOf(peer.addr)...)
	ignored(one, stun.MethodChannelBind, peersOf(peer.addr)...)
	ignored(one, stun.MethodRefresh)
	clock.advance(time.Second)
	left = min(left+rate, rate*requestBursts)
	for range rate / requestShare {
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

// TestUsersAreNotLookedUpForNothing: a session that asks too often, and has no allocation, does not have signaling look for its user.
func TestUsersAreNotLookedUpForNothing(t *testing.T) {
	const rate = 8
	scope := newScope(peerIP)
	s := newServer(t, func(cfg *Config) { cfg.Scope, cfg.Limits.RequestsPerSecond = scope, rate })
	begin := time.Now()
	s.wallTime = func() time.Time { return begin } // it stands still
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	for _, session := range []string{"alice/1", "of nobody known"} {
		c := dialSession(t, s, "udp", session)
		c.challenged()
		for range rate * requestBursts {
			c.refuse(437, stun.MethodRefresh)
		}
		looked, dropped := scope.lookups.Load(), counterOf(t, s, "packets_dropped", "requests_per_second")
		for range 10 {
			c.write(c.build(stun.MethodRefresh).Raw)
			c.wantSilence()
		}
		if n := scope.lookups.Load() - looked; n > 0 {
			t.Errorf("%s: the user of requests that get no answer was looked up %d times", session, n)
		}
		if n := counterOf(t, s, "packets_dropped", "requests_per_second") - dropped; n != 10 {
			t.Errorf("%s: %d requests are counted as too many, want 10", session, n)
		}
	}
}

// TestRequestsOfACall: a browser with three interfaces and three TURN URLs joins a call of sixteen, and all of its
// connections start over twice.
func TestRequestsOfACall(t *testing.T) {
	const peers, relays, candidates, channels = 15, 3 * 3, 12, 2
	s := newServer(t, nil)
	tries := 0
	mayChange := func(a *allocation) {
		t.Helper()
		r := request{w: &worker{srv: s}, m: stun.MustBuild(stun.NewType(stun.MethodAllocate, stun.ClassRequest)), alloc: a, c: &client{tuple: rigTuple(0)}, grant: auth.Grant{Kind: auth.GrantSession, Session: "S1"}}
		if tries++; !s.mayChange(&r) {
			t.Fatalf("request %d is too many", tries)
		}
	}
	for range 3 {
		for range peers * relays {
			mayChange(nil) // Allocate
			a := &allocation{account: &account{holder: holder{owner: owner{session: "S1"}}}}
			for range candidates + channels + 1 {
				mayChange(a)
			}
		}
	}
}

// manyChannels makes an allocation with channels to many ports of one address.
func manyChannels(t *testing.T, s *Server, n int) *testClient {
	t.Helper()
	c := dialREST(t, s, "udp", "alice")
	c.allocate()
	for i := range n {
		c.bind(wire.MinChannel+uint16(i), netip.AddrPortFrom(peerIP, uint16(10_000+i)))
	}
	return c
}

// TestPermissionsDoNotHoldTheLoop: a CreatePermission takes about as long on an allocation with many channels as on one
// without, and a peer that it names 128 times takes few times as long as one that it names once.
func TestPermissionsDoNotHoldTheLoop(t *testing.T) {
	const most, mostCopies = 8, 16 // times
	s := startServer(t, allowLoopback)
	plain, loaded := manyChannels(t, s, 0), manyChannels(t, s, 120)
	one := peersOf(netip.AddrPortFrom(peerIP, 1))
	copies := slices.Repeat(one, 128)
	var others []stun.Setter
	for i := range 127 {
		others = append(others, peersOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{9, 9, 9, byte(i)}), 1))...)
	}
	fastest := func(c *testClient, peers []stun.Setter) time.Duration {
		best := time.Hour
		for range 50 {
			m := c.build(stun.MethodCreatePermission, peers...)
			begin := time.Now()
			c.write(m.Raw)
			c.wantCode(c.answerTo(m), 0)
			best = min(best, time.Since(begin))
		}
		return best
	}
	for name, peers := range map[string][]stun.Setter{"one peer": one, "128 copies": copies, "127 others": others} {
		if got, least := fastest(loaded, peers), fastest(plain, peers); got > most*least {
			t.Errorf("%s: %v with many channels, %v without", name, got, least)
		} else {
			t.Logf("%s: %v with many channels, %v without", name, got, least)
		}
	}
	if got, least := fastest(loaded, copies), fastest(loaded, one); got > mostCopies*least {
		t.Errorf("128 copies of a peer: %v, one: %v", got, least)
	}
}

// TestRefusedRequestsCostTheirSender: a user who names another's allocation, by a ticket or on its five-tuple, takes nothing from its owner.
func TestRefusedRequestsCostTheirSender(t *testing.T) {
	const rate = 16
	s := newServer(t, func(cfg *Config) { allowMobility(cfg); cfg.Limits.RequestsPerSecond = rate })
	begin := time.Now()
	s.wallTime = func() time.Time { return begin } // no request comes back
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	alice, mallory := dialREST(t, s, "udp", "alice"), dialREST(t, s, "udp", "mallory")
	_, ticket := alice.allocateMobile()
	for range rate / requestShare * requestBursts {
		mallory.refuse(441, stun.MethodRefresh, mobilityTicket(ticket))
	}
	thief := dialREST(t, s, "udp", "mallory")
	thief.conn = alice.conn
	for range rate / requestShare * requestBursts {
		thief.refuse(441, stun.MethodRefresh)
	}
	next := alice.elsewhere(s, "udp")
	next.show(ticket)
	next.accept(stun.MethodRefresh)
}
