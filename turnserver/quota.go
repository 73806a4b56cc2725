package turnserver

import (
	"container/list"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/wire"
)

// quota counts allocations by owner, by source, and in total.
type quota struct {
	// Static after construction.
	mostSpent int
	unlimited *budget // of allocations that have no limit of their own

	mu        sync.Mutex // also guards the accounts and which allocations have their budgets
	total     int
	accounts  map[holder]*account
	spent     list.List         // of *account: without allocations, kept until their budgets are whole again; the first to end stands first
	sessions  map[string]int    // allocations of each
	users     map[userRange]int // of REST credentials, around their IPv6 sources
	addresses map[front.Range]int
}

// account is what a user, or a user at one address, with allocations has. All of its allocations share its bandwidth, also those of
// different sessions. It outlives them until nothing of its budgets is missing. Its owner would else have them anew with each allocation.
type account struct {
	// Static after construction.
	holder holder
	rates  budget

	waiting atomic.Int64 // bytes for clients that read slowly; see backlog

	// Guarded by quota.mu.
	count      int           // of allocations
	ofSessions int           // so many of them belong to sessions, which have a limit of their own
	left       []*budget     // of allocations that have ended; the next ones go on with them
	place      *list.Element // among the spent, or nil

	offloaded int // flows that the kernel forwards; owned by offloader
}

func newQuota(limits *Limits) quota {
	return quota{
		mostSpent: limits.Allocations, unlimited: new(budget),
		accounts: make(map[holder]*account), sessions: make(map[string]int), users: make(map[userRange]int), addresses: make(map[front.Range]int),
	}
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

// holder is who an allocation is charged to. Several apps mint their REST credentials with one user part for all of their users,
// so these are told apart by the addresses that they come from.
type holder struct {
	owner
	from front.Source // of REST credentials only
}

// holderOf returns who the allocations of a client with a grant are charged to. Those of a session are charged to its user, who would
// else have a new budget with each session. The scope may be nil.
func holderOf(scope Scope, g *auth.Grant, c *client) holder {
	h := holder{owner: ownerOf(g)}
	switch {
	case g.Kind == auth.GrantREST:
		h.from = sourceOf(c.tuple.Client)
	case g.Kind == auth.GrantSession && scope != nil:
		if user := scope.UserOf(g.Session); user != "" {
			h.owner = owner{user: user}
		}
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
// The account is that of who, which holderOf returns.
func (q *quota) countAllocation(who holder, g *auth.Grant, c *client, limits *Limits) (*account, reason) {
	ofOwner := limits.AllocationsPerUser
	if n := limits.AllocationsOfApp[g.App]; n > 0 {
		ofOwner = n
	}
	wider := who.wider()
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.accounts[who]
	switch {
	case g.Kind == auth.GrantSession:
		if q.sessions[g.Session] >= limits.AllocationsPerSession {
			return nil, limitSession
		}
	case h != nil && h.count-h.ofSessions >= ofOwner, q.userIsFullLocked(wider, ofOwner):
		return nil, limitUser
	}
	switch {
	case q.addressIsFullLocked(c, nil, limits):
		return nil, limitAddress
	case q.total >= limits.Allocations:
		return nil, limitTotal
	}
	if h == nil {
		h = &account{holder: who}
		q.accounts[who] = h
	}
	if h.place != nil {
		q.spent.Remove(h.place)
		h.place = nil
	}
	h.count++
	q.countSessionLocked(h, g, 1)
	for _, r := range wider {
		q.users[r]++
	}
	q.countAddressLocked(c, 1)
	q.total++
	return h, noReason
}

// uncountAllocation takes back what countAllocation counted.
func (q *quota) uncountAllocation(h *account, g *auth.Grant, c *client, now clock) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	q.countSessionLocked(h, g, -1)
	if h.count--; h.count == 0 {
		q.closeLocked(h, now)
	}
	for _, r := range h.holder.wider() {
		if q.users[r]--; q.users[r] == 0 {
			delete(q.users, r)
		}
	}
	q.countAddressLocked(c, -1)
}

// countSessionLocked counts one allocation more or less for the session that a grant is of, if it is of one. The caller holds mu.
func (q *quota) countSessionLocked(h *account, g *auth.Grant, more int) {
	if g.Kind != auth.GrantSession {
		return
	}
	h.ofSessions += more
	if q.sessions[g.Session] += more; q.sessions[g.Session] == 0 {
		delete(q.sessions, g.Session)
	}
}

// budgetFor returns the budget of an account's next allocation: one that an ended allocation has left, if there is one. So an account has
// no more budgets than it had allocations at a time.
func (q *quota) budgetFor(h *account, limits *Limits) *budget {
	if limits.BandwidthPerAllocation <= 0 {
		return q.unlimited
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(h.left) == 0 {
		return new(budget)
	}
	b := h.left[0]
	h.left = slices.Delete(h.left, 0, 1)
	return b
}

// leaveBudget takes back the budget of an allocation that has ended.
func (q *quota) leaveBudget(h *account, b *budget) {
	if b == q.unlimited {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	h.left = append(h.left, b)
}

// closeLocked forgets an account without allocations, or keeps it while something of its budgets is missing. If it keeps too many, the one
// that has waited longest goes. The caller holds mu.
func (q *quota) closeLocked(h *account, now clock) {
	if h.whole(now) {
		delete(q.accounts, h.holder)
		return
	}
	h.place = q.spent.PushBack(h)
	if q.spent.Len() > q.mostSpent {
		q.forgetSpentLocked(q.spent.Front())
	}
}

func (q *quota) forgetSpentLocked(place *list.Element) {
	h := q.spent.Remove(place).(*account)
	h.place = nil
	delete(q.accounts, h.holder)
}

// whole reports whether nothing is missing of the account's budgets, and nothing waits for its clients. The caller holds quota.mu.
func (h *account) whole(now clock) bool {
	return h.waiting.Load() == 0 && h.rates.whole(now) && !slices.ContainsFunc(h.left, func(b *budget) bool { return !b.whole(now) })
}

// mostSwept bounds what the sweep looks at under one hold of a lock.
const mostSwept = 64

// sweep forgets the accounts whose budgets are whole again. One that is not holds up those behind it for as long as its budgets take to fill.
func (q *quota) sweep(now clock) {
	for q.sweepSome(now) {
	}
}

// sweepSome does a part of the sweep, and reports whether there may be more to do.
func (q *quota) sweepSome(now clock) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range mostSwept {
		first := q.spent.Front()
		if first == nil || !first.Value.(*account).whole(now) {
			return false
		}
		q.forgetSpentLocked(first)
	}
	return true
}

// countMove counts an allocation for the source where c is, to which it is about to move from was. It reports false if
// that source has too many. Until the allocation has moved, it counts for both sources. If it was about to move
// elsewhere, to instead, it counts there no more; it does so still if it may not move to c.
func (q *quota) countMove(c, was, instead *client, limits *Limits) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if instead != nil {
		q.countAddressLocked(instead, -1)
	}
	full := q.addressIsFullLocked(c, was, limits)
	switch {
	case !full:
		q.countAddressLocked(c, 1)
	case instead != nil:
		q.countAddressLocked(instead, 1)
	}
	return !full
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

func (q *quota) countEntries(out map[string]int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	out["accounts"], out["accounts_spent"] = len(q.accounts), q.spent.Len()
	out["sessions"] = len(q.sessions)
	out["sources"] = len(q.users) + len(q.addresses)
}

func (q *quota) inUse() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// sourceOf returns the source that an endpoint belongs to.
func sourceOf(e wire.Endpoint) front.Source { return front.SourceOf(e.Addr()) }

// owned lists the allocations of each session and of each user, whichever app and address the user's credentials are of, so that ending
// theirs takes no look at those of others.
type owned struct {
	mu sync.Mutex
	by map[owner][]*allocation
}

func newOwned() owned { return owned{by: make(map[owner][]*allocation)} }

// namedBy is the owner that EndSession or EndUser names.
func namedBy(g *auth.Grant) owner { return owner{session: g.Session, user: g.User} }

// add enters an allocation that is not in its shard yet.
func (o *owned) add(a *allocation) {
	who := namedBy(&a.grant)
	o.mu.Lock()
	defer o.mu.Unlock()
	a.listed = len(o.by[who])
	o.by[who] = append(o.by[who], a)
}

func (o *owned) remove(a *allocation) {
	who := namedBy(&a.grant)
	o.mu.Lock()
	defer o.mu.Unlock()
	list := o.by[who]
	last := len(list) - 1
	if a.listed > last || list[a.listed] != a {
		return // it was never entered
	}
	list[a.listed] = list[last]
	list[a.listed].listed = a.listed
	list[last] = nil
	if o.by[who] = list[:last]; last == 0 {
		delete(o.by, who)
	}
}

// mostListed bounds how many allocations are listed under one hold of the lock.
const mostListed = 256

// end ends the allocations that an owner has now, as far as their grants match. It begins with the last: one that remove puts in the place of another is then one
// that had its turn.
func (o *owned) end(who owner, match func(*auth.Grant) bool) {
	var some [mostListed]*allocation
	for before := math.MaxInt; before > 0; {
		o.mu.Lock()
		list := o.by[who]
		list = list[:min(before, len(list))]
		n := copy(some[:], list[max(0, len(list)-mostListed):])
		o.mu.Unlock()
		before = len(list) - n
		for _, a := range some[:n] {
			if match(&a.grant) {
				a.end()
			}
		}
	}
}

func (o *owned) count(who owner) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.by[who])
}

// all lists every allocation.
func (o *owned) all() (all []*allocation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, list := range o.by {
		all = append(all, list...)
	}
	return all
}
