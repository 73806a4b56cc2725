package auth

import "time"

const (
	// maxFailureWait bounds how long an address waits. It is short, because an
	// address may be a whole office's, and its other people wait as well.
	maxFailureWait = 5 * time.Minute

	// failuresForgotten is how long after its last wait an address that fails no
	// more is as good as any other.
	failuresForgotten = 10 * time.Minute
)

// Failures are those of one address to authenticate. A burst of them is free
// and comes back with time; of those beyond it each makes the address wait
// twice as long as the one before. The zero value has none. The rate, which
// every call is given, is how many come back a second. Its owner locks.
type Failures struct {
	spent float64   // Of the burst.
	at    time.Time // When that was so.

	delay time.Duration // The last wait; zero: none yet.
	until time.Time     // Its end.
}

// Wait is how long the address has to wait before it may try again.
func (f *Failures) Wait(now time.Time) time.Duration {
	return max(0, f.until.Sub(now))
}

// Add counts a failure.
func (f *Failures) Add(now time.Time, perSecond float64, burst int) {
	if f.Forgotten(now, perSecond) {
		*f = Failures{}
	}
	switch {
	case now.Before(f.until): // It was tried before that wait began.
	case f.delay > 0:
		f.hold(now, min(2*f.delay, max(f.delay, maxFailureWait)))
	default:
		f.spent, f.at = f.left(now, perSecond)+1, now
		if over := f.spent - float64(burst) + 1; over > 0 {
			f.hold(now, max(time.Duration(over/perSecond*float64(time.Second)), 1))
		}
	}
}

func (f *Failures) hold(now time.Time, delay time.Duration) {
	f.delay, f.until = delay, now.Add(delay)
}

// Forgotten reports whether nothing is left to remember.
func (f *Failures) Forgotten(now time.Time, perSecond float64) bool {
	if f.delay > 0 {
		return now.Sub(f.until) >= failuresForgotten
	}
	return f.left(now, perSecond) == 0
}

// left is what has not come back yet of what was spent.
func (f *Failures) left(now time.Time, perSecond float64) float64 {
	return max(0, f.spent-now.Sub(f.at).Seconds()*perSecond)
}
