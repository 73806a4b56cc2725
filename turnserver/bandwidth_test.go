package turnserver

import (
	"testing"
	"time"

	"turnpike/turnserver/wire"
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
