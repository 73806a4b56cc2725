package turnserver

import (
	"net/netip"
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
	users     map[userRange]int // of REST credentials, around their IPv6 sources
	addresses map[front.Range]int
}

// account is what a session, or a user at one address, with allocations has. All of its allocations share its bandwidth.
type account struct {
	holder holder // static
	rates  [2]bucket

	count int // guarded by quota.mu
}

func newQuota() quota {
	return quota{accounts: make(map[holder]*account), users: make(map[userRange]int), addresses: make(map[front.Range]int)}
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

// userRange is a user of REST credentials in a range of addresses wider than a source. A customer of a network may have a /56 or a /48
// of IPv6, and would else have as many shares as that has sources.
type userRange struct {
	owner
	from front.Range
}

// wider returns the ranges around the source that a holder's allocations are counted from; none for sessions and users of ours.
func (h *holder) wider() []userRange {
	if h.from == (front.Source{}) {
		return nil
	}
	ranges, n := front.RangesOf(netip.AddrFrom16(h.from))
	out := make([]userRange, 0, n)
	for _, r := range ranges[1:n] {
		out = append(out, userRange{h.owner, r})
	}
	return out
}

// countAllocation counts one more allocation for a client with a grant, unless a limit stands against it: then it says which, else noReason.
func (q *quota) countAllocation(g *auth.Grant, c *client, limits *Limits) (*account, reason) {
	ofOwner, owners := limits.AllocationsPerUser, limitUser
	if g.Kind == auth.GrantSession {
		ofOwner, owners = limits.AllocationsPerSession, limitSession
	} else if n := limits.AllocationsOfApp[g.App]; n > 0 {
		ofOwner = n
	}
	who := holderOf(g, c)
	wider := who.wider()
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.accounts[who]
	switch {
	case h != nil && h.count >= ofOwner, q.userIsFullLocked(wider, ofOwner):
		return nil, owners
	case q.addressIsFullLocked(c, nil, limits):
		return nil, limitAddress
	case q.total >= limits.Allocations:
		return nil, limitTotal
	}
	if h == nil {
		h = &account{holder: who}
		q.accounts[who] = h
	}
	h.count++
	for _, r := range wider {
		q.users[r]++
	}
	q.countAddressLocked(c, 1)
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
	for _, r := range h.holder.wider() {
		if q.users[r]--; q.users[r] == 0 {
			delete(q.users, r)
		}
	}
	q.countAddressLocked(c, -1)
}

// countMove counts an allocation for the source where c is, to which it is about to move from was. It reports false if
// that source has too many. Until the allocation has moved, it counts for both sources.
func (q *quota) countMove(c, was *client, limits *Limits) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.addressIsFullLocked(c, was, limits) {
		return false
	}
	q.countAddressLocked(c, 1)
	return true
}

// uncountAddress takes back what countMove counted, or what countAllocation counted for where c is.
func (q *quota) uncountAddress(c *client) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.countAddressLocked(c, -1)
}

// userIsFullLocked reports whether a user has as many allocations as it may in one of the ranges around its source: four times as many in
// each as in the one before. The caller holds mu.
func (q *quota) userIsFullLocked(wider []userRange, ofOwner int) bool {
	for i, r := range wider {
		if q.users[r] >= ofOwner<<(2*(i+1)) {
			return true
		}
	}
	return false
}

// addressIsFullLocked reports whether one of the ranges of an address has as many allocations as it may. Ranges that was is in, too, are not
// asked; it may be nil. The caller holds mu.
func (q *quota) addressIsFullLocked(c, was *client, limits *Limits) bool {
	ranges, n := front.RangesOf(c.tuple.Client.Addr())
	var known [3]front.Range
	if was != nil {
		known, _ = front.RangesOf(was.tuple.Client.Addr())
	}
	for i, r := range ranges[:n] {
		if r != known[i] && q.addresses[r] >= limits.AllocationsPerAddress<<(2*i) {
			return true
		}
	}
	return false
}

// countAddressLocked counts one allocation more or less for where c is. The caller holds mu.
func (q *quota) countAddressLocked(c *client, more int) {
	ranges, n := front.RangesOf(c.tuple.Client.Addr())
	for _, r := range ranges[:n] {
		if q.addresses[r] += more; q.addresses[r] == 0 {
			delete(q.addresses, r)
		}
	}
}

func (q *quota) inUse() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// sourceOf returns the source that an endpoint belongs to.
func sourceOf(e wire.Endpoint) front.Source { return front.SourceOf(e.Addr()) }
