// Package tokenbucket limits rates with token buckets, in the form of the generic cell rate algorithm: a bucket is one
// number.
//
// The number is the time at which the bucket will be full again. A caller that takes tokens moves it further into the
// future by their cost, the time in which as many tokens come back. It may do so as long as the bucket then is full
// again within its burst, the time in which all of its tokens come back.
//
//	Bucket   a bucket of one goroutine, or under its owner's lock
//	Atomic   a bucket of many goroutines
//	Table    an Atomic bucket for each of any number of keys, in memory that does not grow
//
// Times are durations since a moment of the caller's choice. A zero bucket is full from that moment on.
package tokenbucket

import (
	"sync/atomic"
	"time"
)

// Bucket is a token bucket that one goroutine uses at a time.
type Bucket struct{ fullAt time.Duration }

// Take takes the tokens of a cost, or reports false if the bucket has too few of them.
func (b *Bucket) Take(now, cost, burst time.Duration) bool {
	next := max(b.fullAt, now) + cost
	if next-now > burst {
		return false
	}
	b.fullAt = next
	return true
}

// Atomic is a token bucket that any number of goroutines use.
type Atomic struct{ fullAt atomic.Int64 }

// Take takes the tokens of a cost, or reports false if the bucket has too few of them.
func (b *Atomic) Take(now, cost, burst time.Duration) bool {
	for {
		fullAt := b.fullAt.Load()
		next := max(time.Duration(fullAt), now) + cost
		if next-now > burst {
			return false
		}
		if b.fullAt.CompareAndSwap(fullAt, int64(next)) {
			return true
		}
	}
}

// Has reports whether Take would succeed.
func (b *Atomic) Has(now, cost, burst time.Duration) bool { return b.Lack(now, cost, burst) <= 0 }

// Lack is how long it takes until the bucket has the tokens of a cost, if nobody takes any. It is negative if the
// bucket has more.
func (b *Atomic) Lack(now, cost, burst time.Duration) time.Duration {
	return b.FullIn(now) + cost - burst
}

// FullIn is how long it takes until the bucket is full, if nobody takes any tokens.
func (b *Atomic) FullIn(now time.Duration) time.Duration {
	return max(time.Duration(b.fullAt.Load())-now, 0)
}

// SetFullIn makes the bucket one that will be full after a while.
func (b *Atomic) SetFullIn(now, while time.Duration) { b.fullAt.Store(int64(now + while)) }
