package link

import "time"

// Rate bounds what the other side can have this one do: so many times in so long. It begins to count with the first time. One
// goroutine may use it at a time.
type Rate struct {
	Most int
	Per  time.Duration

	count int
	since time.Time
}

// Allow counts one more time, and reports false if there were as many already.
func (r *Rate) Allow(now time.Time) bool {
	if now.Sub(r.since) >= r.Per {
		r.count, r.since = 0, now
	}
	r.count++
	return r.count <= r.Most
}

// A side that begins anew, or restarts, without end has the other make keys, and ask its TURN server, without end.
const (
	mostAnew     = 10
	mostRestarts = 20
	ratesPer     = 20 * time.Second
)

// NewConnections bounds the connections that take the place of others because the other side has begun anew.
func NewConnections() Rate { return Rate{Most: mostAnew, Per: ratesPer} }

// Restarts bounds the restarts that the other side asks for.
func Restarts() Rate { return Rate{Most: mostRestarts, Per: ratesPer} }
