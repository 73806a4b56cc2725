package turnserver

import (
	"sync"

	"turnpike/auth"
)

// quota counts allocations by who holds them, by where they are held from, and in total.
type quota struct {
	mu        sync.Mutex
	total     int
	owners    map[string]*holder
	addresses map[[16]byte]int // by sourceOf
}

// holder is a session or a user with allocations. All of them share its bandwidth.
type holder struct {
	name  string // static; see owner
	rates [2]bucket

	count int // guarded by quota.mu
}

func newQuota() quota {
	return quota{owners: make(map[string]*holder), addresses: make(map[[16]byte]int)}
}

// owner is who an allocation is counted for: the session, else the user.
func owner(g *auth.Grant) string {
	if g.Kind == auth.GrantSession {
		return "session:" + g.Session
	}
	return "user:" + g.User
}

// quotaLimit says which limit stands against one more allocation.
type quotaLimit uint8

const (
	withinLimits quotaLimit = iota
	ownerLimit
	addressLimit
	totalLimit
)

// take counts one more allocation for a client with a grant, unless a limit stands against it.
func (q *quota) take(g *auth.Grant, c *client, limits *Limits) (*holder, quotaLimit) {
	ofOwner := limits.AllocationsPerUser
	if g.Kind == auth.GrantSession {
		ofOwner = limits.AllocationsPerSession
	}
	name, source := owner(g), sourceOf(c.tuple.client)
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.owners[name]
	switch {
	case h != nil && h.count >= ofOwner:
		return nil, ownerLimit
	case q.addresses[source] >= limits.AllocationsPerAddress:
		return nil, addressLimit
	case q.total >= limits.Allocations:
		return nil, totalLimit
	}
	if h == nil {
		h = &holder{name: name}
		q.owners[name] = h
	}
	h.count++
	q.addresses[source]++
	q.total++
	return h, withinLimits
}

// give takes back what take counted.
func (q *quota) give(h *holder, c *client) {
	source := sourceOf(c.tuple.client)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if h.count--; h.count == 0 {
		delete(q.owners, h.name)
	}
	if q.addresses[source]--; q.addresses[source] == 0 {
		delete(q.addresses, source)
	}
}

func (q *quota) inUse() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}
