package turnserver

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// UserOf says that sessions whose names agree up to a stroke are of one user, while they live. Of names without a stroke it knows nothing.
func (s *testScope) UserOf(session string) string {
	s.lookups.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	user, _, found := strings.Cut(session, "/")
	if !found || s.ended[session] {
		return ""
	}
	return testCredentials().RelayOnlyUsers(user)[0]
}

// count counts an allocation for a client whose session is of no known user.
func (q *quota) count(g *auth.Grant, c *client, limits *Limits) (*account, reason) {
	return q.countAllocation(holderOf(nil, g, c), g, c, limits)
}

// TestSessionsShareABudget: a user who signs in again does not have its bandwidth anew, whether the former session has ended or not. Nor
// does a credential of the same user that belongs to no session.
func TestSessionsShareABudget(t *testing.T) {
	const size, slow, rounds = 1200, 1000, 6 // bits a second: see TestBandwidth
	onEach(t, func(t *testing.T, network string) {
		scope := newScope(peerIP)
		s, _ := startClocked(t, func(cfg *Config) { allowLoopback(cfg); cfg.Scope, cfg.Limits.BandwidthPerUser = scope, slow })
		peer := newPeer(t)
		send := func(c *testClient, to uint16, packets int) uint64 {
			before := counterOf(t, s, "packets_relayed", "up")
			for range packets {
				c.sendChannel(to, pattern(size))
				c.barrier()
			}
			return counterOf(t, s, "packets_relayed", "up") - before
		}
		sent := uint64(0)
		for i := range rounds {
			session := fmt.Sprint("alice/", i)
			c := dialSession(t, s, network, session)
			c.allocate()
			c.bind(wire.MinChannel, peer.addr)
			sent += send(c, wire.MinChannel, burstBytes/size+5)
			if i%2 == 0 {
				scope.set(func() { scope.ended[session] = true })
				s.EndSession(session)
				waitFor(t, "the end of the session's relay", func() bool { return s.CountSession(session) == 0 })
			}
		}
		if most := uint64(burstBytes / size); sent != most {
			t.Errorf("%d packets of one user went through, want %d", sent, most)
		}
		// A relay of another session is where this one may send.
		other := dialSession(t, s, network, "bob/1")
		relayed := other.allocate()
		other.bind(wire.MinChannel, peer.addr)
		alone := dialAs(t, s, network, testCredentials().MintRelayOnly("alice", time.Hour))
		alone.allocate()
		alone.bind(wire.MinChannel, relayed)
		if got := send(alone, wire.MinChannel, 5); got != 0 {
			t.Errorf("%d packets of a credential without a session went through", got)
		}
		if got := send(other, wire.MinChannel, 5); got != 5 {
			t.Errorf("%d packets of another user went through", got)
		}
	})
}

// TestSessionsHaveLimitsOfTheirOwn: limits.allocations_per_session is for each session, and allocations_per_user for what belongs to none.
// An account that both have is gone with the last allocation.
func TestSessionsHaveLimitsOfTheirOwn(t *testing.T) {
	limits := Limits{AllocationsPerUser: 1, AllocationsPerSession: 2}.withDefaults()
	q, c, scope := newQuota(&limits), new(client), newScope()
	grants := []auth.Grant{
		{Kind: auth.GrantSession, Session: "alice/1"}, {Kind: auth.GrantSession, Session: "alice/2"},
		{Kind: auth.GrantRelayOnly, User: scope.UserOf("alice/1")},
	}
	var accounts []*account
	var of []*auth.Grant
	for _, row := range []struct {
		grant int
		want  reason
	}{{0, noReason}, {0, noReason}, {0, limitSession}, {1, noReason}, {2, noReason}, {2, limitUser}, {1, noReason}, {1, limitSession}} {
		g := &grants[row.grant]
		h, why := q.countAllocation(holderOf(scope, g, c), g, c, &limits)
		if why != row.want {
			t.Errorf("grant %d: %v stands against it, want %v", row.grant, why, row.want)
		}
		if h != nil {
			accounts, of = append(accounts, h), append(of, g)
		}
	}
	for i, h := range accounts {
		if h != accounts[0] {
			t.Errorf("allocation %d has an account of its own", i)
		}
		q.uncountAllocation(h, of[i], c, 0)
	}
	if len(q.accounts)+len(q.sessions)+q.total != 0 {
		t.Errorf("left are %v, %v", q.accounts, q.sessions)
	}
}

// TestSessionsShareRequests: a user's changes are counted over all sessions, and those of a relay whose session has ended stay the user's.
func TestSessionsShareRequests(t *testing.T) {
	const rate = 16
	scope := newScope()
	s := newServer(t, func(cfg *Config) { cfg.Scope, cfg.Limits.RequestsPerSecond = scope, rate })
	begin := time.Now()
	s.wallTime = func() time.Time { return begin } // no request comes back
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	left := rate * requestBursts
	first := dialSession(t, s, "udp", "alice/0")
	first.allocate()
	left--
	for i := 1; left > 0; i++ {
		c := dialSession(t, s, "udp", fmt.Sprint("alice/", i))
		c.allocate()
		left--
		for range min(left, rate/requestShare*requestBursts-1) {
			c.accept(stun.MethodRefresh)
			left--
		}
	}
	ignored := func(c *testClient, method stun.Method, attrs ...stun.Setter) {
		t.Helper()
		c.write(c.build(method, attrs...).Raw)
		c.wantSilence()
	}
	ignored(first, stun.MethodRefresh)
	scope.set(func() { scope.ended["alice/0"] = true }) // its relays live on
	ignored(first, stun.MethodRefresh)
	late := dialSession(t, s, "udp", "alice/late")
	late.challenged()
	ignored(late, stun.MethodAllocate, transport(transportUDP))
	dialSession(t, s, "udp", "bob/0").allocate()
}
