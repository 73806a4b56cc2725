package turnserver

import (
	"bytes"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// testScope answers in place of signaling.
type testScope struct {
	mu     sync.Mutex
	ended  map[string]bool
	peers  map[netip.Addr]bool // of every session
	asking func(session string)

	lookups atomic.Int32 // of users
}

func newScope(peers ...netip.Addr) *testScope {
	s := &testScope{ended: make(map[string]bool), peers: make(map[netip.Addr]bool)}
	for _, p := range peers {
		s.peers[p] = true
	}
	return s
}

func (s *testScope) MayRelay(session string, ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[ip]
}

func (s *testScope) SessionLive(session string) bool {
	s.mu.Lock()
	live, asking := !s.ended[session], s.asking
	s.mu.Unlock()
	if asking != nil {
		asking(session)
	}
	return live
}

func (s *testScope) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func dialSession(t testing.TB, s *Server, network, session string) *testClient {
	t.Helper()
	return dialAs(t, s, network, testCredentials().MintSession(session, "alice", time.Hour))
}

func TestAllocateAnswer(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, func(cfg *Config) { cfg.Software = "turnpike test" })
		c := dialREST(t, s, network, "alice")
		res := c.accept(stun.MethodAllocate, transport(transportUDP))
		relayed := addressIn(t, res, stun.AttrXORRelayedAddress)
		if relayed.Addr() != loopback || relayed.Port() < 49152 {
			t.Errorf("relayed address %v", relayed)
		}
		if got := addressIn(t, res, stun.AttrXORMappedAddress); got != c.addr() {
			t.Errorf("mapped address %v, want %v", got, c.addr())
		}
		if got := lifetimeIn(t, res); got != defaultLifetime {
			t.Errorf("lifetime %v", got)
		}
		var software stun.Software
		if err := software.GetFrom(res); err != nil || software.String() != "turnpike test" {
			t.Errorf("software %q, %v", software, err)
		}
		if s.Allocations() != 1 || counterOf(t, s, "allocations_made", "") != 1 {
			t.Errorf("%d allocations", s.Allocations())
		}
	})
}

func TestAllocateRefusals(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		for name, row := range map[string]struct {
			code  int
			attrs []stun.Setter
		}{
			"no transport":        {400, nil},
			"transport too short": {400, []stun.Setter{attribute{stun.AttrRequestedTransport, []byte{transportUDP}}}},
			"SCTP":                {442, []stun.Setter{transport(132)}},
			"transport 0":         {442, []stun.Setter{transport(0)}},
			"family 3":            {440, []stun.Setter{transport(transportUDP), addressFamily(3)}},
			"family 0":            {440, []stun.Setter{transport(transportUDP), addressFamily(0)}},
			"family too short":    {400, []stun.Setter{transport(transportUDP), attribute{stun.AttrRequestedAddressFamily, []byte{1}}}},
			"no IPv6 relay":       {440, []stun.Setter{transport(transportUDP), addressFamily(wire.IPv6)}},
			"lifetime too short":  {400, []stun.Setter{transport(transportUDP), attribute{stun.AttrLifetime, []byte{1, 2}}}},
		} {
			t.Run(name, func(t *testing.T) {
				before := counterOf(t, s, "error_responses", map[int]string{400: "400", 440: "440", 442: "442"}[row.code])
				dialREST(t, s, network, "alice").refuse(row.code, stun.MethodAllocate, row.attrs...)
				if counterOf(t, s, "error_responses", map[int]string{400: "400", 440: "440", 442: "442"}[row.code]) != before+1 {
					t.Error("the error was not counted")
				}
			})
		}
		if s.Allocations() != 0 {
			t.Errorf("%d allocations were made", s.Allocations())
		}
	})
}

func TestLifetime(t *testing.T) {
	s := startServer(t, nil)
	refreshed := dialREST(t, s, "udp", "bob")
	refreshed.allocate()
	for asked, want := range map[uint32]time.Duration{
		1: defaultLifetime, 599: defaultLifetime, 600: defaultLifetime, 601: 601 * time.Second,
		1800: 30 * time.Minute, 3600: maxLifetime, 3601: maxLifetime, math.MaxUint32: maxLifetime,
		0: defaultLifetime, // an Allocate that asks for nothing gets the default
	} {
		c := dialREST(t, s, "udp", "alice")
		if got := lifetimeIn(t, c.accept(stun.MethodAllocate, transport(transportUDP), lifetime(asked))); got != want {
			t.Errorf("Allocate for %d s is granted %v, want %v", asked, got, want)
		}
		if asked == 0 {
			continue
		}
		if got := lifetimeIn(t, refreshed.accept(stun.MethodRefresh, lifetime(asked))); got != want {
			t.Errorf("Refresh for %d s is granted %v, want %v", asked, got, want)
		}
	}
	if got := lifetimeIn(t, refreshed.accept(stun.MethodRefresh)); got != defaultLifetime {
		t.Errorf("Refresh with no lifetime is granted %v", got)
	}
	refreshed.refuse(400, stun.MethodRefresh, attribute{stun.AttrLifetime, []byte{1}})
}

func TestExpiry(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, nil)
		c := dialREST(t, s, network, "alice")
		c.allocate()
		clock.advance(defaultLifetime - time.Second)
		s.sweep()
		c.accept(stun.MethodRefresh, lifetime(1200))
		clock.advance(defaultLifetime)
		s.sweep()
		if s.Allocations() != 1 {
			t.Fatal("a refreshed allocation ended early")
		}
		clock.advance(defaultLifetime)
		s.sweep()
		if s.Allocations() != 0 {
			t.Fatal("an expired allocation lives on")
		}
		c.refuse(437, stun.MethodRefresh)
		c.allocate() // the five-tuple is free again
	})
}

// TestRefreshTooLate: a Refresh does not revive an expired allocation, even if no sweep has come by.
func TestRefreshTooLate(t *testing.T) {
	s, clock := startClocked(t, nil)
	c := dialREST(t, s, "udp", "alice")
	c.allocate()
	clock.advance(defaultLifetime)
	c.refuse(437, stun.MethodRefresh)
	s.sweep()
	c.allocate()
}

func TestAllocationMaxAge(t *testing.T) {
	s, clock := startClocked(t, func(cfg *Config) { cfg.Limits.AllocationMaxAge = 25 * time.Minute })
	c := dialREST(t, s, "udp", "alice")
	if got := lifetimeIn(t, c.accept(stun.MethodAllocate, transport(transportUDP), lifetime(3600))); got != 25*time.Minute {
		t.Errorf("Allocate is granted %v", got)
	}
	clock.advance(20 * time.Minute)
	if got := lifetimeIn(t, c.accept(stun.MethodRefresh)); got > 5*time.Minute || got < 4*time.Minute {
		t.Errorf("Refresh at 20 minutes is granted %v", got)
	}
	clock.advance(5 * time.Minute)
	s.sweep()
	if s.Allocations() != 0 {
		t.Error("an allocation outlived the greatest age")
	}
	waitCounted(t, s, "limits_reached", "allocation_max_age", 1)
}

func TestRetransmission(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		c := dialREST(t, s, network, "alice").challenged()
		m := c.build(stun.MethodAllocate, transport(transportUDP), lifetime(1800))
		first := c.wantCode(c.roundTrip(m), 0)
		c.accept(stun.MethodRefresh, lifetime(700)) // does not change what the Allocate was granted
		if again := c.roundTrip(m); !bytes.Equal(first.Raw, again.Raw) {
			t.Errorf("answered %v, and the retransmission %v", first, again)
		}
		c.refuse(437, stun.MethodAllocate, transport(transportUDP)) // another transaction is none
		if s.Allocations() != 1 {
			t.Errorf("%d allocations", s.Allocations())
		}
	})
}

func TestRefreshEnds(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		c := dialREST(t, s, network, "alice")
		for range 2 {
			c.allocate()
			if got := lifetimeIn(t, c.accept(stun.MethodRefresh, lifetime(0))); got != 0 {
				t.Errorf("ended with lifetime %v", got)
			}
			if s.Allocations() != 0 {
				t.Fatal("Refresh with 0 ended nothing")
			}
		}
		peer := peerAddr(netip.AddrPortFrom(loopback, 9))
		c.refuse(437, stun.MethodRefresh, lifetime(0))
		c.refuse(437, stun.MethodRefresh)
		c.refuse(437, stun.MethodCreatePermission, peer)
		c.refuse(437, stun.MethodChannelBind, channelNumber(wire.MinChannel), peer)
	})
}

func TestRefreshFamily(t *testing.T) {
	c := dialREST(t, startServer(t, nil), "udp", "alice")
	c.allocate()
	c.accept(stun.MethodRefresh, addressFamily(wire.IPv4))
	c.refuse(443, stun.MethodRefresh, addressFamily(wire.IPv6), lifetime(0))
	c.refuse(440, stun.MethodRefresh, addressFamily(7), lifetime(0))
	c.accept(stun.MethodRefresh)
}

// anotherUser sends from the five-tuple of an allocation, with good credentials of another user. Allocate gets 437, as
// it does for anybody (RFC 8656 §7.2), and all other requests 441 (§5).
func anotherUser(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		peer := peerAddr(netip.AddrPortFrom(peerIP, 9))
		for name, other := range map[string]auth.Credential{
			"another user":             mintREST(t, "mallory", time.Hour),
			"the user's other session": mintREST(t, "alice", 2*time.Hour),
			"signaling's":              testCredentials().MintSession("S1", "alice", time.Hour),
		} {
			c := dialREST(t, s, network, "alice")
			c.allocate()
			c.as(other)
			c.refuse(441, stun.MethodRefresh, lifetime(0))
			c.refuse(441, stun.MethodCreatePermission, peer)
			c.refuse(441, stun.MethodChannelBind, channelNumber(wire.MinChannel), peer)
			c.refuse(441, stun.MethodConnect, peer)
			c.refuse(437, stun.MethodAllocate, transport(transportUDP))
			if s.Allocations() != 1 {
				t.Fatalf("%s could end the allocation", name)
			}
			c.as(mintREST(t, "alice", time.Hour))
			s.EndUser("alice")
		}
	})
}

func TestQuotas(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, func(cfg *Config) {
			cfg.Scope = newScope()
			cfg.Limits.AllocationsPerSession, cfg.Limits.AllocationsPerUser, cfg.Limits.Allocations = 2, 1, 4
		})
		dialSession(t, s, network, "S1").expectAllocate(0)
		second := dialSession(t, s, network, "S1").expectAllocate(0)
		dialSession(t, s, network, "S1").expectAllocate(486)
		dialREST(t, s, network, "alice").expectAllocate(0)
		dialREST(t, s, network, "alice").expectAllocate(486)
		dialAs(t, s, network, mintREST(t, "alice", 2*time.Hour)).expectAllocate(486) // another credential of the same user
		dialREST(t, s, network, "bob").expectAllocate(0)
		dialREST(t, s, network, "carol").expectAllocate(508)
		second.accept(stun.MethodRefresh, lifetime(0))
		dialSession(t, s, network, "S1").expectAllocate(0)
		if s.Allocations() != 4 {
			t.Errorf("%d allocations", s.Allocations())
		}
		for limit, want := range map[reason]uint64{limitSession: 1, limitUser: 2, limitTotal: 1, limitAddress: 0} {
			if got := counterOf(t, s, "limits_reached", reasonLabels()[limit].reason); got != want {
				t.Errorf("%s was reached %d times, want %d", reasonLabels()[limit].reason, got, want)
			}
		}
	})
}

// TestAddressQuota: one address has its share for all of its users together. An IPv6 /64 is one address.
func TestAddressQuota(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, func(cfg *Config) { cfg.Limits.AllocationsPerAddress = 2 })
		first := dialREST(t, s, network, "alice").expectAllocate(0)
		dialREST(t, s, network, "bob").expectAllocate(0)
		dialREST(t, s, network, "carol").expectAllocate(486)
		waitCounted(t, s, "limits_reached", "allocations_per_address", 1)
		first.accept(stun.MethodRefresh, lifetime(0))
		dialREST(t, s, network, "carol").expectAllocate(0)
	})
	limits := Limits{AllocationsPerAddress: 1}.withDefaults()
	q := newQuota(&limits)
	take := func(ip, user string) reason {
		c := client{tuple: wire.FiveTuple{Client: wire.EndpointOf(at(ip))}}
		_, limit := q.count(&auth.Grant{Kind: auth.GrantREST, User: user}, &c, &limits)
		return limit
	}
	for _, row := range []struct {
		ip   string
		want reason
	}{
		{"2001:db8::1", noReason}, {"2001:db8::ffff:2", limitAddress}, {"2001:db8:0:1::1", noReason},
		{"192.0.2.1", noReason}, {"192.0.2.2", noReason}, {"192.0.2.1", limitAddress},
	} {
		if got := take(row.ip, row.ip); got != row.want {
			t.Errorf("%s: %v, want %v", row.ip, got, row.want)
		}
	}
}

// TestUserQuota: users of REST credentials are told apart by their addresses too, because apps mint one user part for all of them.
// An app may have a number of its own. Sessions and other users of ours are counted wherever they are.
func TestUserQuota(t *testing.T) {
	limits := Limits{AllocationsPerUser: 1, AllocationsPerSession: 1, AllocationsOfApp: map[string]int{"galene": 2}}.withDefaults()
	q := newQuota(&limits)
	rest := auth.Grant{Kind: auth.GrantREST, User: "galene"}
	app := auth.Grant{Kind: auth.GrantREST, User: "galene", App: "galene"}
	ours := auth.Grant{Kind: auth.GrantRelayOnly, User: "r.ann"}
	session := auth.Grant{Kind: auth.GrantSession, Session: "S1"}
	for i, row := range []struct {
		grant auth.Grant
		ip    string
		want  reason
	}{
		{rest, "192.0.2.1", noReason}, {rest, "192.0.2.1", limitUser}, {rest, "192.0.2.2", noReason},
		{rest, "2001:db8::1", noReason}, {rest, "2001:db8::2", limitUser},
		{app, "192.0.2.1", noReason}, {app, "192.0.2.1", noReason}, {app, "192.0.2.1", limitUser}, {app, "192.0.2.2", noReason},
		{ours, "192.0.2.1", noReason}, {ours, "192.0.2.2", limitUser},
		{session, "192.0.2.1", noReason}, {session, "192.0.2.2", limitSession},
	} {
		c := client{tuple: wire.FiveTuple{Client: wire.EndpointOf(at(row.ip))}}
		if _, got := q.count(&row.grant, &c, &limits); got != row.want {
			t.Errorf("%d: %v from %s: %v, want %v", i, row.grant.Kind, row.ip, got, row.want)
		}
	}
}

// TestQuotasOfIPv6: a /56 and a /48 have 4 and 16 times as many relays as a /64, of one user of REST credentials and of all users together.
// Nothing is left of them in the end.
func TestQuotasOfIPv6(t *testing.T) {
	const limit = 3
	perUser, perAddress := Limits{AllocationsPerUser: limit}.withDefaults(), Limits{AllocationsPerAddress: limit}.withDefaults()
	for _, row := range []struct{ step, want int }{{0, limit}, {1, 4 * limit}, {256, 16 * limit}} {
		for full, limits := range map[reason]*Limits{limitUser: &perUser, limitAddress: &perAddress} {
			q := newQuota(limits)
			var counted []*account
			var clients []*client
			for host := range 200 {
				third := host * row.step
				ip := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, byte(third >> 8), byte(third), 15: 1})
				for range limit + 1 {
					c := &client{tuple: wire.FiveTuple{Client: wire.EndpointOf(netip.AddrPortFrom(ip, 1))}}
					h, why := q.count(&auth.Grant{Kind: auth.GrantREST, User: "galene"}, c, limits)
					switch why {
					case noReason:
						counted, clients = append(counted, h), append(clients, c)
					case full:
					default:
						t.Fatalf("%v stands against it", why)
					}
				}
			}
			if len(counted) != row.want {
				t.Errorf("with /64s %d apart: %d, want %d", row.step, len(counted), row.want)
			}
			for i, h := range counted {
				q.uncountAllocation(h, &auth.Grant{Kind: auth.GrantREST}, clients[i], 0)
			}
			if len(q.accounts)+len(q.users)+len(q.addresses)+q.total != 0 {
				t.Errorf("left are %v, %v, %v", q.accounts, q.users, q.addresses)
			}
		}
	}
}

// expectAllocate asks for an allocation and checks the answer's code.
func (c *testClient) expectAllocate(want int) *testClient {
	c.t.Helper()
	c.wantCode(c.do(stun.MethodAllocate, transport(transportUDP)), want)
	return c
}

func TestDrain(t *testing.T) {
	s := startServer(t, nil)
	c := dialREST(t, s, "udp", "alice")
	c.allocate()
	s.Drain()
	dialREST(t, s, "udp", "alice").expectAllocate(508)
	c.accept(stun.MethodRefresh)
	dial(t, s, "udp").barrier() // Binding is still answered
}

func TestSessionMustLive(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		scope := newScope()
		s := startServer(t, func(cfg *Config) { cfg.Scope = scope })
		c := dialSession(t, s, network, "S1").expectAllocate(0)
		scope.set(func() { scope.ended["S1"] = true })
		dialSession(t, s, network, "S1").expectAllocate(403)
		c.accept(stun.MethodRefresh) // a signaling outage kills no healthy relay
		dialSession(t, s, network, "S2").expectAllocate(0)
		dialREST(t, s, network, "alice").expectAllocate(0)
		dialAs(t, s, network, testCredentials().MintRelayOnly("alice", time.Hour)).expectAllocate(0)
	})
}

// TestSessionEndsMeanwhile kicks a session between the question whether it lives and the allocation.
func TestSessionEndsMeanwhile(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		scope := newScope()
		s := startServer(t, func(cfg *Config) { cfg.Scope = scope })
		scope.set(func() {
			scope.asking = func(session string) {
				scope.set(func() { scope.ended[session] = true })
				s.EndSession(session)
			}
		})
		dialSession(t, s, network, "S1").expectAllocate(403)
		waitFor(t, "the relayed port to be free", func() bool { return s.Allocations() == 0 && heldPorts(s) == 0 })
		scope.set(func() { // a resume that did not come ends nothing, but forbids
			scope.asking = func(session string) { scope.set(func() { scope.ended[session] = true }) }
		})
		dialSession(t, s, network, "S2").refuse(403, stun.MethodAllocate, transport(transportUDP), evenPortAttribute(true))
		waitFor(t, "both ports to be free", func() bool { return s.Allocations() == 0 && heldPorts(s) == 0 && s.reserved.count() == 0 })
	})
}

func TestEndSessionAndUser(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		s1, s2 := dialSession(t, s, network, "S1").expectAllocate(0), dialSession(t, s, network, "S2").expectAllocate(0)
		again := dialSession(t, s, network, "S1").expectAllocate(0)
		alice, bob := dialREST(t, s, network, "alice").expectAllocate(0), dialREST(t, s, network, "bob").expectAllocate(0)

		s.EndSession("")
		s.EndUser("")
		s.EndSession("alice")
		s.EndUser("S1")
		if s.Allocations() != 5 {
			t.Fatalf("%d allocations live, want 5", s.Allocations())
		}
		s.EndSession("S1")
		s1.refuse(437, stun.MethodRefresh)
		again.refuse(437, stun.MethodRefresh)
		s2.accept(stun.MethodRefresh)
		s.EndUser("alice")
		alice.refuse(437, stun.MethodRefresh)
		bob.accept(stun.MethodRefresh)
		if s.Allocations() != 2 {
			t.Errorf("%d allocations are left, want 2", s.Allocations())
		}
		waitFor(t, "the other ports to be free", func() bool { return heldPorts(s) == 2 })
	})
}

// TestCloseWhileAllocating: Close also ends allocations that are being made at that moment, and returns.
func TestCloseWhileAllocating(t *testing.T) {
	for range 20 {
		s := startServer(t, nil)
		begun, wg := make(chan struct{}, 4), sync.WaitGroup{}
		for i := range cap(begun) {
			c := dialREST(t, s, []string{"udp", "tcp"}[i%2], "alice").challenged()
			request := c.build(stun.MethodAllocate, transport(transportUDP)).Raw
			wg.Go(func() {
				_, _ = c.conn.Write(request)
				begun <- struct{}{}
			})
		}
		<-begun
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if s.Allocations() != 0 || heldPorts(s) != 0 {
			t.Fatalf("%d allocations and %d ports are left", s.Allocations(), heldPorts(s))
		}
	}
}
