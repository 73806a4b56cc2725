package main

import (
	"net/netip"
	"sync"
	"time"

	"turnpike/auth"
)

// maxFailing bounds the memory that strangers can make a limiter take: about 2 MB.
const maxFailing = 10_000

// limiter counts failures by address: perMinute are free and come back in a minute; each beyond them makes the address wait
// twice as long as the one before.
type limiter struct {
	perMinute int
	now       func() time.Time

	mu      sync.Mutex
	failing map[netip.Prefix]*auth.Backoff // guarded by mu; an address that is not in it has nothing to answer for
}

func newLimiter(perMinute int, now func() time.Time) *limiter {
	return &limiter{perMinute: perMinute, now: now, failing: map[netip.Prefix]*auth.Backoff{}}
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
	if f := l.failing[source(addr)]; f != nil {
		return f.Wait(l.now())
	}
	return 0
}

// failed counts a failure of addr.
func (l *limiter) failed(addr netip.Addr) {
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
}

func (l *limiter) perSecond() float64 { return float64(l.perMinute) / 60 }

// evict forgets a few addresses that map order happens to give, those with nothing to answer for if there are any. Looking
// at a few keeps the work bounded when a flood has filled the table. It needs mu.
func (l *limiter) evict(now time.Time) {
	const look = 16
	looked, evicted := 0, false
	for from, f := range l.failing {
		looked++
		if f.Forgotten(now, l.perSecond()) || looked == look && !evicted {
			delete(l.failing, from)
			evicted = true
		}
		if looked == look {
			return
		}
	}
}
