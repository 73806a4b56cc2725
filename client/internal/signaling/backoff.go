package signaling

import "time"

const (
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
)

// backoff is the pause before an attempt, from 0. It doubles with each, up to 15 s. Half of it is random, so that the clients of
// a restarted server do not all come back at once.
func backoff(attempt int, random func() float64) time.Duration {
	whole := min(longestPause, firstPause<<min(attempt, 10))
	return whole/2 + time.Duration(random()*float64(whole/2))
}
