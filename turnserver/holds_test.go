package turnserver

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// crowd fills a rig with n allocations of a user each, with flows to a few peers.
func crowd(t *testing.T, n, flows int) *flowRig {
	t.Helper()
	first := rigEndpoint(3, 0)
	srv := newServer(t, func(cfg *Config) {
		cfg.Limits.AllocationsPerUser, cfg.Limits.AllocationsPerAddress, cfg.Limits.Allocations = 2*n, 2*n, 2*n
	})
	r := &flowRig{
		srv: srv, shard: newShard(srv), other: newShard(srv),
		address: newRelayAddress("udp", RelayAddress{Local: first.Addr()}, first.Port, first.Port+uint16(2*n)),
	}
	r.srv.shards = []*shard{r.shard}
	limits := DefaultLimits()
	for i := range n {
		a := r.allocation(i, 0)
		r.srv.owned.add(a)
		for f := range flows {
			peer := wire.EndpointOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{8, byte(f), 0, 1}), 9))
			r.shard.bind(a, wire.MinChannel+uint16(f), destination{endpoint: peer, addr: peer.AddrPort()}, 0, &limits)
		}
	}
	return r
}

// longestHold returns the longest time that mu could not be had while do ran, and the time that do took.
func longestHold(mu *sync.Mutex, do func()) (longest, took time.Duration) {
	var stop atomic.Bool
	asking := make(chan struct{})
	var asker sync.WaitGroup
	asker.Go(func() {
		close(asking)
		for !stop.Load() {
			from := time.Now()
			mu.Lock()
			longest = max(longest, time.Since(from))
			mu.Unlock()
		}
	})
	<-asking
	from := time.Now()
	do()
	took = time.Since(from)
	stop.Store(true)
	asker.Wait()
	return longest, took
}

// TestShortHolds: packet loops, which take the lock of a shard, never wait until somebody has looked at many allocations. The other
// processes of the host may make a hold long, but not each time.
func TestShortHolds(t *testing.T) {
	const n = 4000
	for name, row := range map[string]struct {
		do func(*flowRig)
		mu func(*flowRig) *sync.Mutex
	}{
		"GET /allocations":      {func(r *flowRig) { r.srv.Snapshot() }, nil},
		"the sweep":             {func(r *flowRig) { r.shard.sweep(clock(channelLifetime)) }, nil},
		"the end of a user":     {func(r *flowRig) { r.srv.EndUser("alice") }, nil},
		"that, and the index":   {func(r *flowRig) { r.srv.EndUser("alice") }, func(r *flowRig) *sync.Mutex { return &r.srv.owned.mu }},
		"that, and the numbers": {func(r *flowRig) { r.srv.EndUser("alice") }, func(r *flowRig) *sync.Mutex { return &r.srv.quota.mu }},
	} {
		t.Run(name, func(t *testing.T) {
			least := 1.0
			for try := 0; try < 10 && least > 0.25; try++ {
				r := crowd(t, n, 4)
				mu := &r.shard.mu
				if row.mu != nil {
					mu = row.mu(r)
				}
				longest, took := longestHold(mu, func() { row.do(r) })
				least = min(least, float64(longest)/float64(took))
			}
			if least > 0.25 {
				t.Errorf("one hold of the lock takes %.0f %% of it all", 100*least)
			}
		})
	}
}

// TestSweepOfNothing: a sweep that finds nothing to end does not ask for the lock at all.
func TestSweepOfNothing(t *testing.T) {
	r := crowd(t, 500, 2)
	r.shard.sweep(1) // looks at each for the first time
	r.shard.mu.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.shard.sweep(clock(permissionLifetime) - 1)
	}()
	select {
	case <-done:
		r.shard.mu.Unlock()
	case <-time.After(patience):
		t.Error("the sweep waits for the lock though nothing is due")
		r.shard.mu.Unlock()
		<-done
	}
}

// TestSweepWhenDue: the sweep looks at an allocation whenever something of it ends, however it came to end then.
func TestSweepWhenDue(t *testing.T) {
	r := crowd(t, 1, 0)
	a, limits := r.shard.find(rigTuple(0)), DefaultLimits()
	peer := func(i byte) destination {
		e := wire.EndpointOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{8, i, 0, 1}), 9))
		return destination{endpoint: e, addr: e.AddrPort()}
	}
	has := func(now clock, permissions, flows int) {
		t.Helper()
		r.shard.sweep(now)
		if p, f := len(a.permitted()), len(a.flows); p != permissions || f != flows {
			t.Errorf("after %v there are %d permissions and %d flows, want %d and %d", time.Duration(now), p, f, permissions, flows)
		}
	}
	minute := clock(time.Minute)
	has(0, 0, 0)
	r.shard.permit(a, [][16]byte{peer(1).endpoint.IP}, 0, 10)
	has(minute, 1, 0)
	r.shard.bind(a, wire.MinChannel, peer(2), minute, &limits)
	has(5*minute-1, 2, 1)
	has(5*minute, 1, 1)                                                       // the permission without a channel ends
	r.shard.permit(a, [][16]byte{peer(3).endpoint.IP}, 5*minute+minute/2, 10) // it ends before the channel does
	has(10*minute+minute/2-1, 2, 1)
	has(10*minute+minute/2, 1, 1)
	r.shard.bind(a, wire.MinChannel, peer(2), 10*minute+minute/2, &limits) // refreshed
	has(15*minute+minute/2, 1, 1)
	has(20*minute+minute/2-1, 1, 1)
	has(20*minute+minute/2, 0, 0)
}

// TestOwned: the end of an owner misses no allocation of its own while others begin and end, and touches none of others.
func TestOwned(t *testing.T) {
	const n = 5 * mostListed
	r := crowd(t, n, 0)
	var other []*allocation
	for i := range 50 {
		a := r.allocation(n+i, 0)
		a.grant = auth.Grant{Kind: auth.GrantSession, Session: fmt.Sprint(i % 3)}
		r.srv.owned.add(a)
		other = append(other, a)
	}
	mine := slices.DeleteFunc(r.srv.owned.all(), func(a *allocation) bool { return a.grant.User != "alice" })
	if len(mine) != n {
		t.Fatalf("%d allocations are listed, want %d", len(mine), n)
	}
	first := mine[n-1]
	r.srv.EndGrants("alice", func(g *auth.Grant) bool { return g.Session != "" })
	if r.shard.allocations.Size() != n+len(other) {
		t.Error("allocations have ended whose grants do not match")
	}
	var ending sync.WaitGroup
	ending.Go(func() {
		for _, i := range rand.Perm(n / 2) {
			mine[i].end()
		}
	})
	r.srv.EndUser("alice")
	ending.Wait()
	if !first.first.over.Load() || r.shard.allocations.Size() != len(other) {
		t.Errorf("%d allocations are left, want %d", r.shard.allocations.Size(), len(other))
	}
	for i := range 3 {
		r.srv.EndSession(fmt.Sprint(i))
	}
	if len(r.srv.owned.by) != 0 || r.shard.allocations.Size() != 0 {
		t.Errorf("left are %d allocations, and %d in the index", r.shard.allocations.Size(), len(r.srv.owned.by))
	}
}

// TestPartedMap: a map in parts has what was put into it, and no part has much more than its share, whether clients differ by address or port.
func TestPartedMap(t *testing.T) {
	const n = 100_000
	random := rand.New(rand.NewPCG(1, 2))
	for name, of := range map[string]func(i int) netip.AddrPort{
		"one address": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{9, byte(i >> 15), 0, 1}), uint16(i))
		},
		"one port": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{9, byte(i >> 16), byte(i >> 8), byte(i)}), 3478)
		},
		"any": func(int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{9, byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())}), uint16(random.Uint32()))
		},
	} {
		m, want := newPartedMap[wire.FiveTuple, *allocation](partOf), make(map[wire.FiveTuple]*allocation)
		for i := range n {
			k, a := wire.FiveTuple{Client: wire.EndpointOf(of(i))}, new(allocation)
			m.Store(k, a)
			want[k] = a
			if i%3 == 0 {
				m.Delete(k)
				delete(want, k)
			}
		}
		if m.Size() != len(want) {
			t.Errorf("%s: it has %d entries, want %d", name, m.Size(), len(want))
		}
		for k, a := range m.All() {
			if got, ok := m.Load(k); want[k] != a || !ok || got != a {
				t.Fatalf("%s: %v is not what was put in", name, k)
			}
		}
		for i := range m.maps {
			if got := m.maps[i].Load().Size(); got > 2*len(want)/mapParts {
				t.Errorf("%s: a part has %d of %d entries", name, got, len(want))
			}
		}
	}
}
