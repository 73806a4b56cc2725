package main

import (
	"net/netip"
	"sync"
	"time"
)

// maxBuckets bounds the memory that strangers can make a limiter take: about 1 MB.
const maxBuckets = 10_000

// limiter counts failures by address, a token bucket each: perMinute at once, and as many again each minute.
type limiter struct {
	perMinute float64
	now       func() time.Time

	mu      sync.Mutex
	buckets map[netip.Prefix]bucket // guarded by mu; an address that is not in it has a full bucket
}

type bucket struct {
	tokens float64
	at     time.Time
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
	tokens := l.tokens(source(addr), l.now())
	if tokens >= 1 {
		return 0
	}
	return time.Duration((1 - tokens) / l.perMinute * float64(time.Minute))
}

// failed takes a token from addr.
func (l *limiter) failed(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, from := l.now(), source(addr)
	tokens := l.tokens(from, now)
	if _, known := l.buckets[from]; !known && len(l.buckets) >= maxBuckets {
		l.evict(now)
	}
	l.buckets[from] = bucket{max(tokens-1, 0), now}
}

// tokens needs mu.
func (l *limiter) tokens(from netip.Prefix, now time.Time) float64 {
	b, ok := l.buckets[from]
	if !ok {
		return l.perMinute
	}
	return min(l.perMinute, b.tokens+now.Sub(b.at).Minutes()*l.perMinute)
}

// evict forgets a few addresses that map order happens to give, those with full buckets if there are any. Looking at a
// few keeps the work bounded when a flood has filled the table. It needs mu.
func (l *limiter) evict(now time.Time) {
	const look = 16
	looked, evicted := 0, false
	for from := range l.buckets {
		looked++
		if l.tokens(from, now) >= l.perMinute || looked == look && !evicted {
			delete(l.buckets, from)
			evicted = true
		}
		if looked == look {
			return
		}
	}
}
