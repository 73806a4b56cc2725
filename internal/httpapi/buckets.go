package httpapi

import (
	"net/netip"
	"sync"
	"time"

	"turnpike/auth"
)

// buckets let each range of addresses do something so many times a minute, all at once if it likes.
type buckets struct {
	perMinute int
	now       func() time.Time

	mu     sync.Mutex
	fullAt map[netip.Prefix]time.Time // guarded by mu: when all is given back; an absent range has used up nothing
}

func newBuckets(perMinute int, now func() time.Time) *buckets {
	return &buckets{perMinute: perMinute, now: now, fullAt: map[netip.Prefix]time.Time{}}
}

// lack returns how long addr must wait before it may go on; zero: not at all.
func (b *buckets) lack(addr netip.Addr) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lackLocked(auth.AddressRanges(addr), b.now())
}

// take counts for addr, or returns how long it must wait.
func (b *buckets) take(addr netip.Addr) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, ranges := b.now(), auth.AddressRanges(addr)
	if wait = b.lackLocked(ranges, now); wait > 0 {
		return wait
	}
	for _, r := range ranges {
		fullAt, known := b.fullAt[r.Prefix]
		if !known && len(b.fullAt) >= maxFailing {
			b.evict(now)
		}
		b.fullAt[r.Prefix] = later(fullAt, now).Add(b.interval(r))
	}
	return 0
}

func (b *buckets) lackLocked(ranges []auth.AddressRange, now time.Time) (wait time.Duration) {
	for _, r := range ranges {
		if fullAt, known := b.fullAt[r.Prefix]; known {
			wait = max(wait, fullAt.Add(b.interval(r)).Sub(now)-time.Minute)
		}
	}
	return wait
}

// interval is the time in which one comes back.
func (b *buckets) interval(r auth.AddressRange) time.Duration {
	return time.Minute / time.Duration(b.perMinute*r.Share)
}

// evict looks at a few ranges, which the map picks, and forgets those that have used up nothing, or one if there is none. mu is held.
func (b *buckets) evict(now time.Time) {
	looked, evicted := 0, false
	for prefix, fullAt := range b.fullAt {
		looked++
		if !fullAt.After(now) || looked == evictLook && !evicted {
			delete(b.fullAt, prefix)
			evicted = true
		}
		if looked == evictLook {
			return
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// seldom keeps a line of the log from coming too often.
type seldom struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time // guarded by mu
}

// allows reports whether the line may come now, and then not for a while.
func (s *seldom) allows(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		return false
	}
	s.next = now.Add(s.every)
	return true
}
