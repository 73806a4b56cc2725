package auth

import "time"

const (
	// maxBackoff bounds the wait of an address. It is short, because a whole
	// office may share the address, and then everybody there waits.
	maxBackoff = 5 * time.Minute

	// backoffForgotten is how long an address must not fail after its last wait
	// before it starts afresh.
	backoffForgotten = 10 * time.Minute
)

// Backoff makes an address that fails to authenticate wait. A burst of failures
// is free, and comes back at the rate that each method is given, in failures a
// second. Each failure beyond the burst doubles the wait. The zero value has no
// failures. The caller locks.
type Backoff struct {
	spent float64   // Of the burst, at the time at.
	at    time.Time // Of the last failure within the burst.

	delay time.Duration // Length of the last wait; zero: none yet.
	until time.Time     // End of the last wait.
}

// Wait returns how long the address must wait before it may try again.
func (b *Backoff) Wait(now time.Time) time.Duration {
	return max(0, b.until.Sub(now))
}

// Fail counts a failure.
func (b *Backoff) Fail(now time.Time, perSecond float64, burst int) {
	if b.Forgotten(now, perSecond) {
		*b = Backoff{}
	}
	switch {
	case now.Before(b.until): // The client sent this attempt before the wait began.
	case b.delay > 0:
		b.startWait(now, min(2*b.delay, max(b.delay, maxBackoff)))
	default:
		b.spent, b.at = b.stillSpent(now, perSecond)+1, now
		if over := b.spent - float64(burst) + 1; over > 0 {
			b.startWait(now, max(time.Duration(over/perSecond*float64(time.Second)), 1))
		}
	}
}

func (b *Backoff) startWait(now time.Time, delay time.Duration) {
	b.delay, b.until = delay, now.Add(delay)
}

// Forgotten reports whether no past failure counts any more.
func (b *Backoff) Forgotten(now time.Time, perSecond float64) bool {
	if b.delay > 0 {
		return now.Sub(b.until) >= backoffForgotten
	}
	return b.stillSpent(now, perSecond) == 0
}

// stillSpent returns the part of the burst that has not come back yet.
func (b *Backoff) stillSpent(now time.Time, perSecond float64) float64 {
	return max(0, b.spent-now.Sub(b.at).Seconds()*perSecond)
}
