package httpapi

import (
	"net/netip"
	"sync"
	"time"

	"example.org/turnpike/auth"
)

// maxFailing bounds the memory that strangers can make a limiter take: about 2 MB.
const maxFailing = 10_000

// evictLook is how many addresses are looked at to make room for another.
const evictLook = 16

// limiter counts wrong API keys by address. An address may fail perMinute times a minute; each failure beyond that makes
// it wait twice as long as the one before.
type limiter struct {
	perMinute int
	now       func() time.Time

	mu      sync.Mutex
	failing map[netip.Prefix]*auth.Backoff // guarded by mu; an absent address has nothing to answer for
}

func newLimiter(perMinute int, now func() time.Time) *limiter {
	return &limiter{perMinute: perMinute, now: now, failing: map[netip.Prefix]*auth.Backoff{}}
}

// source is the range that one customer of a network has: an IPv4 address, or an IPv6 /64.
func source(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// wait returns how long addr must wait before it may try again; zero: not at all.
func (l *limiter) wait(addr netip.Addr) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.failing[source(addr)]; f != nil {
		return f.Wait(l.now())
	}
	return 0
}

// failed counts a failure of addr, and reports whether it must wait now.
func (l *limiter) failed(addr netip.Addr) (waits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, from := l.now(), source(addr)
	f := l.failing[from]
	if f == nil {
		if len(l.failing) >= maxFailing {
			l.evict(now)
		}
		f = new(auth.Backoff)
		l.failing[from] = f
	}
	f.Fail(now, l.perSecond(), l.perMinute)
	return f.Wait(now) > 0
}

func (l *limiter) perSecond() float64 { return float64(l.perMinute) / 60 }

// evict looks at a few addresses, which the map picks, and forgets those with nothing to answer for, or one if there is
// none. Looking at a few keeps the work bounded when a flood has filled the table. mu is held.
func (l *limiter) evict(now time.Time) {
	looked, evicted := 0, false
	for from, f := range l.failing {
		looked++
		if f.Forgotten(now, l.perSecond()) || looked == evictLook && !evicted {
			delete(l.failing, from)
			evicted = true
		}
		if looked == evictLook {
			return
		}
	}
}
