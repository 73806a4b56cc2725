package turnserver

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"turnpike/turnserver/wire"
)

// sourceLimit is a token bucket for each source of packets, in memory that does not grow however many sources are forged.
// Sources share buckets, by two hashes that nobody outside can compute: to be taken for one that has used its tokens up, a
// source must share both.
type sourceLimit struct {
	// Static after construction.
	seed     maphash.Seed
	interval clock // in which a token comes back; 0: there is no limit
	burst    clock // in which all do

	rows [2][sourceBuckets]atomic.Int64 // each the clock at which the bucket is full again
}

// sourceBuckets is a power of two. With so many, a flood from forged sources empties the buckets of others only if it brings more
// than sourceBuckets times the tokens of one, each second.
const sourceBuckets = 1 << 15

// newSourceLimit gives a source n tokens in each period, and lets it take those of several periods at once. More than one in a
// nanosecond is no limit.
func newSourceLimit(n int, period time.Duration, periods int) *sourceLimit {
	interval := clock(period) / clock(n)
	return &sourceLimit{seed: maphash.MakeSeed(), interval: interval, burst: interval * clock(n*periods)}
}

// take takes a token of the source, and reports false if it has none.
func (l *sourceLimit) take(e wire.Endpoint, now clock) bool {
	first, second := l.buckets(e)
	return l.takeFromBoth(first, second, now)
}

// takeOf does the same for a session or a user instead of a source.
func (l *sourceLimit) takeOf(who owner, now clock) bool {
	first, second := l.bucketsAt(maphash.Comparable(l.seed, who))
	return l.takeFromBoth(first, second, now)
}

func (l *sourceLimit) takeFromBoth(first, second *atomic.Int64, now clock) bool {
	inFirst, inSecond := l.takeFrom(first, now), l.takeFrom(second, now)
	return inFirst || inSecond
}

// usedUp reports whether the source has no token.
func (l *sourceLimit) usedUp(e wire.Endpoint, now clock) bool {
	first, second := l.buckets(e)
	return !l.has(clock(first.Load()), now) && !l.has(clock(second.Load()), now)
}

func (l *sourceLimit) buckets(e wire.Endpoint) (first, second *atomic.Int64) {
	source := sourceOf(e)
	return l.bucketsAt(maphash.Bytes(l.seed, source[:]))
}

func (l *sourceLimit) bucketsAt(hash uint64) (first, second *atomic.Int64) {
	return &l.rows[0][hash%sourceBuckets], &l.rows[1][hash>>32%sourceBuckets]
}

func (l *sourceLimit) takeFrom(bucket *atomic.Int64, now clock) bool {
	for {
		fullAt := bucket.Load()
		if !l.has(clock(fullAt), now) {
			return false
		}
		if bucket.CompareAndSwap(fullAt, int64(max(clock(fullAt), now)+l.interval)) {
			return true
		}
	}
}

// has reports whether a bucket that is full again at fullAt has a token.
func (l *sourceLimit) has(fullAt, now clock) bool {
	return l.interval == 0 || fullAt-now+l.interval <= l.burst
}

// mayAnswer reports whether an answer of size bytes may go to a client who has asked in so many and has shown nothing that proves
// who it is. Over UDP the sender's address may be a victim's, so that beyond its share a source gets no more bytes than it sends.
func (w *worker) mayAnswer(c *client, size, asked int) bool {
	if c.conn != nil || size <= asked || w.srv.answers.take(c.tuple.Client, w.now()) {
		return true
	}
	w.counters.drop(dropAnswerLimit)
	return false
}
