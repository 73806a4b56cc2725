package turnserver

import (
	"sync/atomic"
	"time"

	"example.org/turnpike/turnserver/tokenbucket"
)

// bandwidth holds relayed data to the limits, in each direction apart. It drops datagrams that come too fast, and keeps
// none for later. A stream has to wait.
type bandwidth struct {
	// Static after construction. Bits a second; 0 is no limit.
	limited                   bool
	allocation, account, node int64

	total     [2]bucket
	offloader *offloader // has the meters of buckets that it draws on, too; set before anything is relayed
}

func newBandwidth(l *Limits) bandwidth {
	return bandwidth{
		limited:    l.BandwidthPerAllocation > 0 || l.BandwidthPerUser > 0 || l.Bandwidth > 0,
		allocation: l.BandwidthPerAllocation, account: l.BandwidthPerUser, node: l.Bandwidth,
	}
}

// allows reports whether an allocation may relay size more bytes now. It asks the narrowest limit first. So a client
// that sends too much uses up its own tokens, and not the node's.
func (b *bandwidth) allows(a *allocation, d direction, size int, now clock) bool {
	if !b.limited {
		return true
	}
	return b.takeFrom(&a.budget[d], size, b.allocation, now) && b.takeFrom(&a.account.rates[d], size, b.account, now) && b.takeFrom(&b.total[d], size, b.node, now)
}

// takeFrom takes the tokens of size bytes from a bucket, or from the kernel's meter in its place.
func (b *bandwidth) takeFrom(from *bucket, size int, rate int64, now clock) bool {
	if id := from.meter.Load(); id != 0 {
		return b.offloader.path.Take(id, size)
	}
	return from.takeBytes(size, rate, now)
}

// patient is the shortest wait of a stream, so that many streams do not ask all the time. It is short beside burstTime,
// so that it does not slow a single stream.
const patient = 10 * time.Millisecond

// waitFor waits until an allocation may relay size more bytes of a stream, at most a bucket's burst. It reports false
// if ended closes before. A stream takes tokens only when all that it needs are there, and so leaves some to datagrams,
// which are smaller. A meter of the kernel's does not tell how long to wait, so waitFor asks it again after a moment.
func (b *bandwidth) waitFor(a *allocation, d direction, size int, now func() clock, ended <-chan struct{}) bool {
	if !b.limited {
		return true
	}
	for _, limit := range [...]struct {
		of   *bucket
		rate int64
	}{{&a.budget[d], b.allocation}, {&a.account.rates[d], b.account}, {&b.total[d], b.node}} {
		for at := now(); !b.takeFrom(limit.of, size, limit.rate, at); at = now() {
			select {
			case <-time.After(max(patient, limit.of.lacks(size, limit.rate, at))):
			case <-ended:
				return false
			}
		}
	}
	return true
}

// budget is the buckets of both directions.
type budget [2]bucket

// whole reports whether both buckets are full, and the kernel uses neither.
func (b *budget) whole(now clock) bool { return b[clientToPeer].full(now) && b[peerToClient].full(now) }

// bucket is a token bucket of bytes, full at first. While the kernel forwards flows that the bucket bounds, a meter of
// the kernel's stands in its place.
type bucket struct {
	tokens tokenbucket.Atomic
	meter  atomic.Uint32 // or 0

	flows int32 // that the kernel forwards; guarded by meterPool.mu
}

// A bucket holds the tokens of burstTime, and never less than a few datagrams of the greatest size.
const (
	burstTime  = 250 * time.Millisecond
	burstBytes = 4 * maxDatagram
)

// takeBytes takes the tokens of size bytes, at a rate in bits a second, or reports false if there are too few.
func (b *bucket) takeBytes(size int, rate int64, now clock) bool {
	if rate <= 0 {
		return true
	}
	return b.tokens.Take(time.Duration(now), sendingTime(size, rate), burstOf(rate))
}

// lacks is how long it takes until the bucket has the tokens of size bytes, if nobody takes any.
func (b *bucket) lacks(size int, rate int64, now clock) time.Duration {
	return b.tokens.Lack(time.Duration(now), sendingTime(size, rate), burstOf(rate))
}

func (b *bucket) full(now clock) bool {
	return b.meter.Load() == 0 && b.tokens.FullIn(time.Duration(now)) == 0
}

// burstOf is how long the bytes of a full bucket take at its rate.
func burstOf(rate int64) time.Duration { return max(burstTime, sendingTime(burstBytes, rate)) }

// sendingTime is how long bytes take at a rate in bits a second. It does not overflow below a terabyte.
func sendingTime(bytes int, rate int64) time.Duration {
	return time.Duration(int64(bytes) * 8 * 1e6 / max(rate/1e3, 1))
}
