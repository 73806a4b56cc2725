package turnserver

import (
	"sync"

	"turnpike/auth"
	"turnpike/turnserver/front"
	"turnpike/turnserver/wire"
)

// quota counts allocations by owner, by source, and in total.
type quota struct {
	mu        sync.Mutex
	total     int
	accounts  map[holder]*account
	addresses map[front.Source]int
}

// account is what a session, or a user at one address, with allocations has. All of its allocations share its bandwidth.
type account struct {
	holder holder // static
	rates  [2]bucket

	count int // guarded by quota.mu
}

func newQuota() quota {
	return quota{accounts: make(map[holder]*account), addresses: make(map[front.Source]int)}
}

// owner is who a credential belongs to: a session, else a user, of an app that has its own table or of nobody in
// particular.
type owner struct{ session, user, app string }

func ownerOf(g *auth.Grant) owner {
	if g.Kind == auth.GrantSession {
		return owner{session: g.Session}
	}
	return owner{user: g.User, app: g.App}
}

// holder is who an allocation is counted for. Several apps mint their REST credentials with one user part for all of their users,
// so these are told apart by the addresses that they come from.
type holder struct {
	owner
	from front.Source // of REST credentials only
}

func holderOf(g *auth.Grant, c *client) holder {
	h := holder{owner: ownerOf(g)}
	if g.Kind == auth.GrantREST {
		h.from = sourceOf(c.tuple.Client)
	}
	return h
}

// countAllocation counts one more allocation for a client with a grant. If a limit stands against it, it returns which
// one.
func (q *quota) countAllocation(g *auth.Grant, c *client, limits *Limits) (*account, reason) {
	ofOwner, owners := limits.AllocationsPerUser, limitUser
	if g.Kind == auth.GrantSession {
		ofOwner, owners = limits.AllocationsPerSession, limitSession
	} else if n := limits.AllocationsOfApp[g.App]; n > 0 {
		ofOwner = n
	}
	who, source := holderOf(g, c), sourceOf(c.tuple.Client)
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.accounts[who]
	switch {
	case h != nil && h.count >= ofOwner:
		return nil, owners
	case q.addresses[source] >= limits.AllocationsPerAddress:
		return nil, limitAddress
	case q.total >= limits.Allocations:
		return nil, limitTotal
	}
	if h == nil {
		h = &account{holder: who}
		q.accounts[who] = h
	}
	h.count++
	q.addresses[source]++
	q.total++
	return h, noReason
}

// uncountAllocation takes back what countAllocation counted.
func (q *quota) uncountAllocation(h *account, c *client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if h.count--; h.count == 0 {
		delete(q.accounts, h.holder)
	}
	q.uncountAddressLocked(c)
}

// countMove counts an allocation for the source where c is, to which it is about to move from was. It reports false if
// that source has too many. Until the allocation has moved, it counts for both sources.
func (q *quota) countMove(c, was *client, limits *Limits) bool {
	source := sourceOf(c.tuple.Client)
	q.mu.Lock()
	defer q.mu.Unlock()
	if source != sourceOf(was.tuple.Client) && q.addresses[source] >= limits.AllocationsPerAddress {
		return false
	}
	q.addresses[source]++
	return true
}

// uncountAddress takes back what countMove or countAllocation counted for the source where c is.
func (q *quota) uncountAddress(c *client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.uncountAddressLocked(c)
}

// uncountAddressLocked does the work of uncountAddress. The caller holds mu.
func (q *quota) uncountAddressLocked(c *client) {
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

// sourceOf returns the source that an endpoint belongs to.
func sourceOf(e wire.Endpoint) front.Source { return front.SourceOf(e.Addr()) }
