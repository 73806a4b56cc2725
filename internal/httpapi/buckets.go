package httpapi

import (
	"net/netip"
	"sync"
	"time"

	"example.org/turnpike/auth"
)

// buckets let each range of addresses do something so many times a minute, all at once if it likes.
type buckets struct{ table bucketTable[netip.Prefix] }

func newBuckets(perMinute int, now func() time.Time) *buckets {
	return &buckets{newBucketTable[netip.Prefix](perMinute, now)}
}

// lack returns how long addr must wait before it may go on; zero: not at all.
func (b *buckets) lack(addr netip.Addr) time.Duration { return b.table.lack(sharesOf(addr)...) }

// take counts for addr, or returns how long it must wait.
func (b *buckets) take(addr netip.Addr) (wait time.Duration) { return b.table.take(sharesOf(addr)...) }

func sharesOf(addr netip.Addr) []bucketShare[netip.Prefix] {
	ranges := auth.AddressRanges(addr)
	shares := make([]bucketShare[netip.Prefix], len(ranges))
	for i, r := range ranges {
		shares[i] = bucketShare[netip.Prefix]{r.Prefix, r.Share}
	}
	return shares
}

// bucketTable has the buckets of whatever is counted.
type bucketTable[K comparable] struct {
	perMinute int
	now       func() time.Time

	mu     sync.Mutex
	fullAt map[K]time.Time // guarded by mu: when all is given back; an absent key has used up nothing
}

// bucketShare is one that counts, and how many times as much it may do.
type bucketShare[K comparable] struct {
	key   K
	times int
}

func newBucketTable[K comparable](perMinute int, now func() time.Time) bucketTable[K] {
	return bucketTable[K]{perMinute: perMinute, now: now, fullAt: map[K]time.Time{}}
}

func (b *bucketTable[K]) lack(shares ...bucketShare[K]) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lackLocked(shares, b.now())
}

// take counts for all shares, or for none and returns how long they must wait.
func (b *bucketTable[K]) take(shares ...bucketShare[K]) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if wait = b.lackLocked(shares, now); wait > 0 {
		return wait
	}
	for _, s := range shares {
		fullAt, known := b.fullAt[s.key]
		if !known && len(b.fullAt) >= maxFailing {
			b.evict(now)
		}
		b.fullAt[s.key] = later(fullAt, now).Add(b.interval(s))
	}
	return 0
}

func (b *bucketTable[K]) lackLocked(shares []bucketShare[K], now time.Time) (wait time.Duration) {
	for _, s := range shares {
		if fullAt, known := b.fullAt[s.key]; known {
			wait = max(wait, fullAt.Add(b.interval(s)).Sub(now)-time.Minute)
		}
	}
	return wait
}

// interval is the time in which one comes back.
func (b *bucketTable[K]) interval(s bucketShare[K]) time.Duration {
	return time.Minute / time.Duration(b.perMinute*s.times)
}

// evict looks at a few keys, which the map picks, and forgets those that have used up nothing, or one if there is none. mu is held.
func (b *bucketTable[K]) evict(now time.Time) {
	looked, evicted := 0, false
	for key, fullAt := range b.fullAt {
		looked++
		if !fullAt.After(now) || looked == evictLook && !evicted {
			delete(b.fullAt, key)
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
