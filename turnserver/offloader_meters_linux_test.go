package turnserver

import (
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// TestOffloadedBandwidth: a limit is one limit for the kernel and the process together, and holds on when a flow leaves
// the kernel.
func TestOffloadedBandwidth(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	const size, slow, most = 1200, 1000, burstBytes / 1200 // bits a second: see TestBandwidth
	for name, row := range map[string]struct {
		limit             func(*Limits)
		others, everybody bool
	}{
		"allocation": {func(l *Limits) { l.BandwidthPerAllocation = slow }, false, false},
		"user":       {func(l *Limits) { l.BandwidthPerUser = slow }, true, false},
		"node":       {func(l *Limits) { l.Bandwidth = slow }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, clock := startClocked(t, func(cfg *Config) { allowLoopback(cfg); row.limit(&cfg.Limits) })
			greedy := callOffloaded(t, s, dialREST(t, s, "udp", "alice"), wire.MinChannel)
			other, stranger := callOffloaded(t, s, dialREST(t, s, "udp", "alice"), wire.MinChannel), callOffloaded(t, s, dialREST(t, s, "udp", "bob"), wire.MinChannel)
			count := func(name, reason string) uint64 { return counterOf(t, s, name, reason) }
			relayed, below := count("packets_relayed", "up"), count("packets_offloaded", "up")
			for i := range most + 20 {
				if i%3 == 0 {
					greedy.indicate(greedy.peer.addr, pattern(size))
				} else {
					greedy.sendChannel(wire.MinChannel, pattern(size))
				}
				greedy.barrier()
			}
			relayed, below = count("packets_relayed", "up")-relayed, count("packets_offloaded", "up")-below
			// The greetings took a little, and kernel and process may give one too many between them.
			if relayed > most+1 || relayed < most-1 || below < relayed/2 || below == relayed {
				t.Fatalf("%d packets went through, %d of them in the kernel, want %d", relayed, below, most)
			}
			dropped := count("packets_dropped", "bandwidth")
			if dropped != most+20-relayed {
				t.Errorf("%d packets were counted as over the limit", dropped)
			}
			var counted uint64
			for _, a := range s.Snapshot() {
				for _, c := range a.Dropped {
					counted += c.Value
				}
			}
			if counted != dropped {
				t.Errorf("%d packets over the limit are counted with allocations, and %d in total", counted, dropped)
			}
			sends := func(c offloadedCall) bool {
				before := count("packets_relayed", "up")
				c.sendChannel(wire.MinChannel, pattern(size))
				c.barrier()
				return count("packets_relayed", "up") > before
			}
			if sends(greedy) || sends(other) == row.others || sends(stranger) == row.everybody {
				t.Error("who is held back is not who shares the limit")
			}
			greedy.accept(stun.MethodRefresh, lifetime(3600))
			clock.advance(channelLifetime) // the kernel's meters do not notice, as their clock is the real one
			s.sweep()
			s.flowQueue.told()
			if got := s.Offload().Flows; got != 0 {
				t.Fatalf("%d flows are left", got)
			}
			const refill = 5 * time.Minute
			clock.advance(refill)
			greedy.permit(greedy.peer.addr)
			before := count("packets_relayed", "up")
			for range 200 {
				greedy.indicate(greedy.peer.addr, pattern(size))
				greedy.barrier()
			}
			refilled := uint64(refill / time.Second * slow / 8 / size)
			if got := count("packets_relayed", "up") - before; got < refilled-1 || got > refilled+1 {
				t.Errorf("%d packets went through in the process afterwards, want %d", got, refilled)
			}
		})
	}
}

// TestOffloadedBudgetOutlives: so it is when the kernel has used up the limit.
func TestOffloadedBudgetOutlives(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	const size, slow, most = 1200, 1000, burstBytes / 1200 // bits a second: see TestBandwidth
	for name, limit := range map[string]func(*Limits){
		"allocation": func(l *Limits) { l.BandwidthPerAllocation = slow },
		"user":       func(l *Limits) { l.BandwidthPerUser = slow },
	} {
		t.Run(name, func(t *testing.T) {
			s, clock := startClocked(t, func(cfg *Config) { allowLoopback(cfg); limit(&cfg.Limits) })
			relayed, below := func() uint64 { return counterOf(t, s, "packets_relayed", "up") }, func() uint64 { return counterOf(t, s, "packets_offloaded", "up") }
			greedy := callOffloaded(t, s, dialREST(t, s, "udp", "alice"), wire.MinChannel)
			before, inKernel := relayed(), below()
			for range most + 5 {
				greedy.sendChannel(wire.MinChannel, pattern(size))
				greedy.barrier()
			}
			if got := relayed() - before; got > most || got < most-1 || below()-inKernel != got {
				t.Fatalf("%d packets went through, %d of them in the kernel, want %d", got, below()-inKernel, most)
			}
			greedy.accept(stun.MethodRefresh, lifetime(0))
			waitFor(t, "the end of its flow", func() bool { return s.Offload().Flows == 0 })
			const wait = 100 * time.Second
			clock.advance(wait) // the kernel uses no bucket now
			c := dialREST(t, s, "udp", "alice")
			c.allocate()
			c.bind(wire.MinChannel, greedy.peer.addr)
			before = relayed()
			for range 30 {
				c.sendChannel(wire.MinChannel, pattern(size))
				c.barrier()
			}
			if got, want := relayed()-before, uint64(wait/time.Second*slow/8/size); got > want+1 || got < want-1 {
				t.Errorf("%d packets of the next allocation went through, want %d", got, want)
			}
		})
	}
}
