package turnserver

import (
	"sync"
	"time"

	"example.org/turnpike/turnserver/offload"
)

// meterPool gives the kernel's meters to the buckets whose flows it forwards, so that a limit of bandwidth is one limit
// for what the kernel and the process relay.
type meterPool struct {
	// Static after construction.
	srv  *Server
	path *offload.Path

	mu   sync.Mutex
	free []uint32 // ids that no bucket has
}

// bucketsAFlow is how many buckets bound one allocation.
const bucketsAFlow = 6

// metersFor is how many meters the limits may need at a time: two for each allocation, each account and the node, as far
// as they are limited, and some that stay free.
func metersFor(l *Limits) (n int) {
	if !newBandwidth(l).limited {
		return 0
	}
	n = bucketsAFlow
	if l.BandwidthPerAllocation > 0 {
		n += 2 * l.Allocations
	}
	if l.BandwidthPerUser > 0 {
		n += 2 * l.Allocations // an account has one at least
	}
	if l.Bandwidth > 0 {
		n += 2
	}
	return n
}

func newMeterPool(srv *Server, path *offload.Path, n int) *meterPool {
	p := &meterPool{srv: srv, path: path, free: make([]uint32, n)}
	for i := range p.free {
		p.free[i] = uint32(n - i)
	}
	return p
}

// buckets yields the buckets that bound an allocation, in both directions, with their rates.
func (p *meterPool) buckets(a *allocation, yield func(*bucket, int64)) {
	b := &p.srv.bandwidth
	for _, d := range [...]direction{clientToPeer, peerToClient} {
		yield(&a.budget[d], b.allocation)
		yield(&a.account.rates[d], b.account)
		yield(&b.total[d], b.node)
	}
}

// share counts one more flow of an allocation that the kernel forwards. It reports false if there are too few meters.
func (p *meterPool) share(a *allocation) bool {
	if !p.srv.bandwidth.limited {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < bucketsAFlow {
		return false
	}
	now := time.Duration(p.srv.now())
	p.buckets(a, func(b *bucket, rate int64) {
		if rate <= 0 {
			return
		}
		if b.flows++; b.flows > 1 {
			return
		}
		id := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		p.path.SetMeter(id, rate, burstOf(rate), b.tokens.FullIn(now))
		b.meter.Store(id)
	})
	return true
}

// unshare counts one flow less. A bucket that the kernel no longer uses continues where its meter ends.
func (p *meterPool) unshare(a *allocation) {
	if !p.srv.bandwidth.limited {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buckets(a, func(b *bucket, rate int64) {
		if rate <= 0 {
			return
		}
		if b.flows--; b.flows > 0 {
			return
		}
		id := b.meter.Load()
		b.tokens.SetFullIn(time.Duration(p.srv.now()), p.path.EndMeter(id))
		b.meter.Store(0)
		p.free = append(p.free, id)
	})
}

// metersOf lists the meters that bound one direction of an allocation's flows.
func (k *offloader) metersOf(a *allocation, d direction) [3]uint32 {
	return [3]uint32{a.budget[d].meter.Load(), a.account.rates[d].meter.Load(), k.srv.bandwidth.total[d].meter.Load()}
}
