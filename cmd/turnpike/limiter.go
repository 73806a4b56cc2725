package main

import (
	"net/netip"
	"sync"
	"time"
)

// maxBuckets bounds the memory that strangers can make a limiter take: about 1 MB.
const maxBuckets = 10_000

// maxPenalty is the longest that an address has to wait between two failures.
const maxPenalty = 15 * time.Minute

// limiter counts failures by address. An address may fail perMinute times at once, and gets them back over a minute. When
// they are spent it has to wait, and twice as long after each failure that follows: who mistypes is held up for seconds,
// who guesses for ever longer. It is forgiven after a rest as long as its last wait, and at least a minute.
type limiter struct {
	perMinute float64
	now       func() time.Time

	mu      sync.Mutex
	buckets map[netip.Prefix]bucket // guarded by mu; an address that is not in it has a full bucket
}

type bucket struct {
	tokens  float64
	at      time.Time     // when there were so many tokens
	penalty time.Duration // the last wait; 0: none to be remembered
	until   time.Time     // its end
}

func newLimiter(perMinute int, now func() time.Time) *limiter {
	return &limiter{perMinute: float64(perMinute), now: now, buckets: map[netip.Prefix]bucket{}}
}

// source is what one customer of a network has: an IPv4 address, or an IPv6 /64.
func source(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// wait returns how long addr has to wait before it may try again: zero if it need not.
func (l *limiter) wait(addr netip.Addr) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return max(0, l.bucket(source(addr), now).until.Sub(now))
}

// failed counts a failure of addr.
func (l *limiter) failed(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, from := l.now(), source(addr)
	b := l.bucket(from, now)
	switch {
	case now.Before(b.until): // asked before the wait began: one of several at a time
	case b.penalty > 0:
		b.penalty = min(2*b.penalty, maxPenalty)
		b.until = now.Add(b.penalty)
	default:
		if b.tokens--; b.tokens < 1 {
			b.penalty = time.Duration((1 - b.tokens) / l.perMinute * float64(time.Minute))
			b.until = now.Add(b.penalty)
		}
	}
	if _, known := l.buckets[from]; !known && len(l.buckets) >= maxBuckets {
		l.evict(now)
	}
	l.buckets[from] = b
}

// bucket is the bucket of from as it is now. It needs mu.
func (l *limiter) bucket(from netip.Prefix, now time.Time) bucket {
	b, ok := l.buckets[from]
	if !ok || b.penalty > 0 && !now.Before(b.until.Add(max(b.penalty, time.Minute))) {
		return bucket{tokens: l.perMinute, at: now}
	}
	b.tokens, b.at = min(l.perMinute, b.tokens+now.Sub(b.at).Minutes()*l.perMinute), now
	return b
}

// evict forgets a few addresses that map order happens to give, those with full buckets if there are any. Looking at a
// few keeps the work bounded when a flood has filled the table. It needs mu.
func (l *limiter) evict(now time.Time) {
	const look = 16
	looked, evicted := 0, false
	for from := range l.buckets {
		looked++
		if b := l.bucket(from, now); b.penalty == 0 && b.tokens >= l.perMinute || looked == look && !evicted {
			delete(l.buckets, from)
			evicted = true
		}
		if looked == look {
			return
		}
	}
}
