package turnserver

import (
	"sync"

	"turnpike/auth"
	"turnpike/turnserver/front"
	"turnpike/turnserver/wire"
)

// quota counts allocations by who holds them, by where they are held from, and in total.
type quota struct {
	mu        sync.Mutex
	total     int
	owners    map[owner]*holder
	addresses map[front.Source]int
}

// holder is a session or a user with allocations. All of them share its bandwidth.
type holder struct {
	owner owner // static
	rates [2]bucket

	count int // guarded by quota.mu
}

func newQuota() quota {
	return quota{owners: make(map[owner]*holder), addresses: make(map[front.Source]int)}
}

// owner is who an allocation is counted for: the session, else the user.
type owner struct{ session, user string }

func ownerOf(g *auth.Grant) owner {
	if g.Kind == auth.GrantSession {
		return owner{session: g.Session}
	}
	return owner{user: g.User}
}

// take counts one more allocation for a client with a grant, unless a limit stands against it: then it says which, else goesOn.
func (q *quota) take(g *auth.Grant, c *client, limits *Limits) (*holder, reason) {
	ofOwner, owners := limits.AllocationsPerUser, limitUser
	if g.Kind == auth.GrantSession {
		ofOwner, owners = limits.AllocationsPerSession, limitSession
	}
	who, source := ownerOf(g), sourceOf(c.tuple.Client)
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.owners[who]
	switch {
	case h != nil && h.count >= ofOwner:
		return nil, owners
	case q.addresses[source] >= limits.AllocationsPerAddress:
		return nil, limitAddress
	case q.total >= limits.Allocations:
		return nil, limitTotal
	}
	if h == nil {
		h = &holder{owner: who}
		q.owners[who] = h
	}
	h.count++
	q.addresses[source]++
	q.total++
	return h, goesOn
}

// give takes back what take counted.
func (q *quota) give(h *holder, c *client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if h.count--; h.count == 0 {
		delete(q.owners, h.owner)
	}
	q.leaveLocked(c)
}

// enter counts for where c is an allocation that is to move there from where was is, unless there are too many. Until it leaves
// there, it is counted for both.
func (q *quota) enter(c, was *client, limits *Limits) bool {
	source := sourceOf(c.tuple.Client)
	q.mu.Lock()
	defer q.mu.Unlock()
	if source != sourceOf(was.tuple.Client) && q.addresses[source] >= limits.AllocationsPerAddress {
		return false
	}
	q.addresses[source]++
	return true
}

// leave takes back what enter counted, or what take counted for where c is.
func (q *quota) leave(c *client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leaveLocked(c)
}

// leaveLocked does leave's work. The caller holds mu.
func (q *quota) leaveLocked(c *client) {
	source := sourceOf(c.tuple.Client)
	if q.addresses[source]--; q.addresses[source] == 0 {
		delete(q.addresses, source)
	}
}

func (q *quota) inUse() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// sourceOf is what an endpoint's owner is counted by.
func sourceOf(e wire.Endpoint) front.Source { return front.SourceOf(e.Addr()) }
