package turnserver

import (
	"fmt"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// TestBucket: over any time a bucket lets its rate through and a burst besides, and never more.
func TestBucket(t *testing.T) {
	const rate = 8_000_000 // a megabyte a second
	for _, size := range []int{120, 1200, maxDatagram} {
		var b bucket
		taken := 0
		now := clock(0)
		for ; now < clock(10*time.Second); now = now.plus(time.Millisecond) {
			for b.takeBytes(size, rate, now) {
				taken += size
			}
		}
		burst := max(rate/8*int(burstTime)/int(time.Second), burstBytes)
		if most := 10_000_000 + burst + size; taken > most || taken < 9_900_000 {
			t.Errorf("%d bytes went through in datagrams of %d, at most %d should", taken, size, most)
		}
		if now = now.plus(time.Hour); !b.takeBytes(burst/2, rate, now) {
			t.Error("a bucket at rest is not full")
		}
	}
	for _, rate := range []int64{1, 999, 1e12} { // the least and the greatest
		var b bucket
		if !b.takeBytes(maxDatagram, rate, 0) {
			t.Errorf("at %d bits a second a full bucket has too little for a datagram", rate)
		}
	}
}

// TestBandwidth: packets over a limit are dropped and counted, and do not use up the share of others.
func TestBandwidth(t *testing.T) {
	const size, slow = 1200, 1000 // bits a second: a bucket holds burstBytes, and gets a packet in ten seconds
	for name, row := range map[string]struct {
		limit     func(*Limits)
		others    bool // of the same user are held back with it
		everybody bool
	}{
		"allocation": {func(l *Limits) { l.BandwidthPerAllocation = slow }, false, false},
		"user":       {func(l *Limits) { l.BandwidthPerUser = slow }, true, false},
		"node":       {func(l *Limits) { l.Bandwidth = slow }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, network string) {
				s, _ := startClocked(t, func(cfg *Config) { allowLoopback(cfg); row.limit(&cfg.Limits) })
				peer := newPeer(t)
				client := func(user string) *testClient {
					c := dialREST(t, s, network, user)
					c.allocate()
					c.bind(wire.MinChannel, peer.addr)
					return c
				}
				greedy, other, stranger := client("alice"), client("alice"), client("bob")
				const packets = burstBytes/size + 20
				for range packets {
					greedy.sendChannel(wire.MinChannel, pattern(size))
					greedy.barrier()
				}
				relayed := func() uint64 { return counterOf(t, s, "packets_relayed", "up") }
				if got, most := relayed(), uint64(burstBytes/size); got != most {
					t.Fatalf("%d packets went through, want %d", got, most)
				}
				if got := counterOf(t, s, "packets_dropped", "bandwidth"); got != packets-burstBytes/size {
					t.Errorf("%d packets were counted as over the limit", got)
				}
				sends := func(c *testClient) bool {
					before := relayed()
					c.sendChannel(wire.MinChannel, pattern(size))
					c.barrier()
					return relayed() > before
				}
				if sends(other) == row.others {
					t.Errorf("another relay of the same user: held back %v, want %v", !row.others, row.others)
				}
				if sends(stranger) == row.everybody {
					t.Errorf("another user: held back %v, want %v", !row.everybody, row.everybody)
				}
			})
		})
	}
}

// TestBandwidthDown: the limit holds for data from peers as well, and the client gets data up to it.
func TestBandwidthDown(t *testing.T) {
	const size, slow = 1200, 1000 // bits a second
	onEach(t, func(t *testing.T, network string) {
		s, _ := startClocked(t, func(cfg *Config) { allowLoopback(cfg); cfg.Limits.BandwidthPerAllocation = slow })
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed := c.allocate()
		c.bind(wire.MinChannel, peer.addr)
		const most, over = burstBytes / size, 20
		for range most {
			peer.send(relayed, pattern(size))
			c.wantData(wire.MinChannel, peer.addr, pattern(size))
		}
		for i := range uint64(over) {
			peer.send(relayed, pattern(size))
			waitCounted(t, s, "packets_dropped", "bandwidth", i+1)
		}
		c.wantSilence()
		waitCounted(t, s, "packets_relayed", "down", most)
		if dropped := s.Snapshot()[0].Dropped; len(dropped) != 1 || dropped[0].Reason != "bandwidth" || dropped[0].Value != over {
			t.Errorf("of this relay were dropped %+v", dropped)
		}
	})
}

// TestBudgetOutlives: a user whose allocation has used up a limit does not have it anew with the next allocation, however often it begins
// again.
func TestBudgetOutlives(t *testing.T) {
	const size, slow, rounds = 1200, 1000, 6 // bits a second: see TestBandwidth
	const wait = 10 * time.Second            // gives back a packet
	for name, limit := range map[string]func(*Limits){
		"allocation": func(l *Limits) { l.BandwidthPerAllocation = slow },
		"user":       func(l *Limits) { l.BandwidthPerUser = slow },
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, network string) {
				s, clock := startClocked(t, func(cfg *Config) { allowLoopback(cfg); limit(&cfg.Limits) })
				peer, other := newPeer(t), dialREST(t, s, network, "bob")
				relayed := func() uint64 { return counterOf(t, s, "packets_relayed", "up") }
				send := func(c *testClient, packets int) uint64 {
					before := relayed()
					c.allocate()
					c.bind(wire.MinChannel, peer.addr)
					for range packets {
						c.sendChannel(wire.MinChannel, pattern(size))
						c.barrier()
					}
					c.accept(stun.MethodRefresh, lifetime(0))
					waitFor(t, "the end of the allocation", func() bool { return s.Allocations() == 0 })
					return relayed() - before
				}
				sent := send(dialREST(t, s, network, "alice"), burstBytes/size+5)
				for range rounds {
					clock.advance(wait)
					s.sweep()
					sent += send(dialREST(t, s, network, "alice"), 5)
				}
				if most := uint64(burstBytes/size + rounds + 2); sent > most || sent < most-4 {
					t.Errorf("%d packets went through, want about %d", sent, most)
				}
				if got := send(other, 5); got != 5 {
					t.Errorf("of another user went %d packets through", got)
				}
				clock.advance(time.Hour)
				s.sweep()
				if s.quota.mu.Lock(); len(s.quota.accounts)+s.quota.spent.Len() != 0 {
					t.Errorf("left are %d accounts", len(s.quota.accounts))
				}
				s.quota.mu.Unlock()
			})
		})
	}
}

// TestBudgetsHandedOn: an account never has more budgets than it had allocations at a time.
func TestBudgetsHandedOn(t *testing.T) {
	limits := Limits{BandwidthPerAllocation: 1000}.withDefaults()
	q := newQuota(&limits)
	h, c := countUser(t, &q, "alice", &limits), new(client)
	seen := make(map[*budget]bool)
	var open []*budget
	for _, n := range []int{3, 1, 3, 2, 3} {
		for len(open) < n {
			b := q.budgetFor(h, &limits)
			seen[b], open = true, append(open, b)
		}
		for len(open) > n-1 {
			q.leaveBudget(h, open[0])
			open = open[1:]
		}
	}
	if len(seen) != 3 {
		t.Errorf("three allocations at a time had %d budgets", len(seen))
	}
	for b := range seen {
		b[peerToClient].takeBytes(1000, 1000, 0)
	}
	q.uncountAllocation(h, &auth.Grant{Kind: auth.GrantRelayOnly}, c, 0)
	again := countUser(t, &q, "alice", &limits)
	if again != h || q.spent.Len() != 0 {
		t.Error("the account began anew")
	}
	if q.uncountAllocation(h, &auth.Grant{Kind: auth.GrantRelayOnly}, c, clock(time.Hour)); len(q.accounts) != 0 {
		t.Error("an account is kept although nothing is missing")
	}
}

// TestSpentAccounts: no more accounts without allocations are kept than there may be allocations, and each only until its budget is whole
// again. While the kernel uses a bucket, it is not.
func TestSpentAccounts(t *testing.T) {
	const most = 3 * mostSwept
	limits := Limits{Allocations: most, BandwidthPerUser: 8000}.withDefaults()
	q := newQuota(&limits)
	c := new(client)
	var first *account
	for i := range most + 1 {
		h := countUser(t, &q, fmt.Sprint(i), &limits)
		h.rates[clientToPeer].takeBytes(1000, limits.BandwidthPerUser, 0) // a second
		q.uncountAllocation(h, &auth.Grant{Kind: auth.GrantRelayOnly}, c, 0)
		if i == 1 {
			first = h
		}
	}
	if len(q.accounts) != most || q.spent.Len() != most {
		t.Fatalf("%d accounts are kept, %d of them spent, want %d", len(q.accounts), q.spent.Len(), most)
	}
	q.sweep(clock(time.Second) - 1)
	first.rates[peerToClient].meter.Store(1)
	q.sweep(clock(time.Second))
	if len(q.accounts) != most {
		t.Errorf("%d accounts are kept before their time is over", len(q.accounts))
	}
	first.rates[peerToClient].meter.Store(0)
	if !q.sweepSome(clock(time.Second)) || len(q.accounts) != most-mostSwept {
		t.Errorf("one hold of the lock forgets %d accounts, want %d", most-len(q.accounts), mostSwept)
	}
	if q.sweep(clock(time.Second)); len(q.accounts)+q.spent.Len() != 0 {
		t.Errorf("%d accounts are left", len(q.accounts))
	}
}

func countUser(t *testing.T, q *quota, user string, limits *Limits) *account {
	t.Helper()
	h, why := q.count(&auth.Grant{Kind: auth.GrantRelayOnly, User: user}, new(client), limits)
	if why != noReason {
		t.Fatalf("%v stands against it", why)
	}
	return h
}
