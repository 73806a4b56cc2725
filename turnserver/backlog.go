package turnserver

import "sync/atomic"

const (
	// maxQueued bounds what waits for a client that reads slowly: a second of a fast video call.
	maxQueued = 256 << 10
	// freeBacklog is how many bytes may wait for each client without a share of the backlog. So a client that reads
	// gets its data whatever others leave unread. It is also the most memory that a queue keeps for the next burst.
	freeBacklog = 16 << 10
)

// backlog bounds the bytes that wait for all clients on streams and associations that read slowly, and those of each
// user. It is asked only for what is beyond freeBacklog.
type backlog struct {
	// Static after construction.
	ofNode, ofUser int64

	waiting atomic.Int64
}

// take takes n bytes for a user's client, or reports false if there are too many. a is nil before the client has an
// allocation.
func (b *backlog) take(a *account, n int) bool {
	if b.waiting.Add(int64(n)) > b.ofNode {
		b.waiting.Add(-int64(n))
		return false
	}
	if a != nil && a.waiting.Add(int64(n)) > b.ofUser {
		b.giveBack(a, n)
		return false
	}
	return true
}

// giveBack gives back what take took.
func (b *backlog) giveBack(a *account, n int) {
	b.waiting.Add(-int64(n))
	if a != nil {
		a.waiting.Add(-int64(n))
	}
}
