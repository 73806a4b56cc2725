package tokenbucket

import (
	"hash/maphash"
	"time"
)

// tableSize is a power of two. With so many buckets, a flood of forged keys empties the buckets of others only if it
// brings more than tableSize times the tokens of one key, each period.
const tableSize = 1 << 15

// Table has a token bucket for each key, in memory that does not grow however many keys somebody invents. Keys share
// buckets, by two hashes that nobody outside can compute: a key is refused in error only if it shares both of its
// buckets with keys that have used up their tokens.
type Table[K comparable] struct {
	// Static after construction.
	seed     maphash.Seed
	interval time.Duration // in which a token comes back; 0: there is no limit
	burst    time.Duration // in which all tokens of a bucket come back

	rows [2][tableSize]Atomic
}

// NewTable gives each key n tokens in each period, and lets it take those of several periods at once. More than one
// token in a nanosecond is no limit.
func NewTable[K comparable](n int, period time.Duration, periods int) *Table[K] {
	interval := period / time.Duration(n)
	return &Table[K]{seed: maphash.MakeSeed(), interval: interval, burst: interval * time.Duration(n*periods)}
}

// Take takes a token of a key, or reports false if the key has none.
func (t *Table[K]) Take(key K, now time.Duration) bool {
	if t.interval == 0 {
		return true
	}
	first, second := t.buckets(key)
	inFirst, inSecond := first.Take(now, t.interval, t.burst), second.Take(now, t.interval, t.burst)
	return inFirst || inSecond
}

// UsedUp reports whether a key has no token.
func (t *Table[K]) UsedUp(key K, now time.Duration) bool {
	if t.interval == 0 {
		return false
	}
	first, second := t.buckets(key)
	return !first.Has(now, t.interval, t.burst) && !second.Has(now, t.interval, t.burst)
}

func (t *Table[K]) buckets(key K) (first, second *Atomic) {
	hash := maphash.Comparable(t.seed, key)
	return &t.rows[0][hash%tableSize], &t.rows[1][hash>>32%tableSize]
}
