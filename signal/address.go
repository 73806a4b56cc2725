package signal

import (
	"container/list"
	"iter"
	"net/netip"
	"time"

	"example.org/turnpike/auth"
)

// maxIdleAddrs bounds the ranges of addresses that have nothing open and are remembered for what they have used up. The range that
// has been idle for longest is forgotten first.
const maxIdleAddrs = 10_000

// addrs is what the server remembers of the addresses that clients come from. Guarded by Server.mu.
type addrs struct {
	uses map[netip.Prefix]*addrUse
	idle list.List // of *addrUse: those that nothing pins, the longest idle first
}

// addrUse is what the clients of one range of addresses use. Guarded by Server.mu, but for what is static.
type addrUse struct {
	// Static.
	prefix netip.Prefix
	share  int      // times the limits of one address
	wider  *addrUse // the range around this one, nil for the widest

	pins int           // connections, absences and narrower ranges that need it
	idle *list.Element // its place in addrs.idle, nil while something pins it

	strangers list.List // of *conn: connections before their welcome, the oldest first
	signedIn  int       // connections since their welcome
	away      int       // sessions

	failed, hellos, resumes, joins bucket
}

func newAddrs() addrs { return addrs{uses: make(map[netip.Prefix]*addrUse)} }

// pin returns what an address uses, and keeps it until unpin.
func (a *addrs) pin(addr netip.Addr) *addrUse {
	ranges := auth.AddressRanges(addr)
	var use *addrUse
	for i := len(ranges) - 1; i >= 0; i-- { // the widest first
		known := a.uses[ranges[i].Prefix]
		if known == nil {
			known = &addrUse{prefix: ranges[i].Prefix, share: ranges[i].Share, wider: use}
			a.uses[known.prefix] = known
			if use != nil {
				a.pinUse(use)
			}
		}
		use = known
	}
	a.pinUse(use)
	return use
}

func (a *addrs) pinUse(use *addrUse) {
	if use.pins++; use.idle != nil {
		a.idle.Remove(use.idle)
		use.idle = nil
	}
}

// unpin gives up what pin or pinUse returned.
func (a *addrs) unpin(use *addrUse) {
	if use.pins--; use.pins > 0 {
		return
	}
	use.idle = a.idle.PushBack(use)
	if a.idle.Len() > maxIdleAddrs {
		a.forgetOldest()
	}
}

// forgetIdle forgets the ranges that have used up nothing, beginning with the one that has been idle for longest: at most
// so many. more says that there may be others.
func (a *addrs) forgetIdle(now time.Time, l *Limits, most int) (more bool) {
	for front := a.idle.Front(); front != nil && front.Value.(*addrUse).isFresh(now, l); front = a.idle.Front() {
		if most--; most < 0 {
			return true
		}
		a.forgetOldest()
	}
	return false
}

func (a *addrs) forgetOldest() {
	use := a.idle.Remove(a.idle.Front()).(*addrUse)
	delete(a.uses, use.prefix)
	if use.wider != nil {
		a.unpin(use.wider)
	}
}

// ranges yields the range and those around it.
func (use *addrUse) ranges() iter.Seq[*addrUse] {
	return func(yield func(*addrUse) bool) {
		for u := use; u != nil && yield(u); u = u.wider {
		}
	}
}

// isFresh reports whether nothing is used up any more.
func (use *addrUse) isFresh(now time.Time, l *Limits) bool {
	use.failed.refill(now, l.FailedHellos.times(use.share))
	use.hellos.refill(now, l.AddrHellos.times(use.share))
	use.resumes.refill(now, l.AddrHellos.times(use.share))
	use.joins.refill(now, l.AddrJoins.times(use.share))
	return use.failed.spent+use.hellos.spent+use.resumes.spent+use.joins.spent == 0
}

// The buckets of a range.
func failedHellos(use *addrUse) *bucket { return &use.failed }
func hellos(use *addrUse) *bucket       { return &use.hellos }
func resumes(use *addrUse) *bucket      { return &use.resumes }
func joins(use *addrUse) *bucket        { return &use.joins }

// lack returns after how long a bucket of the range, and of each around it, will have a token.
func (use *addrUse) lack(now time.Time, rate Rate, of func(*addrUse) *bucket) (wait time.Duration) {
	for u := range use.ranges() {
		wait = max(wait, of(u).lack(now, rate.times(u.share)))
	}
	return wait
}

// take takes a token from a bucket of the range and of each around it, or says after how long there will be one.
func (use *addrUse) take(now time.Time, rate Rate, of func(*addrUse) *bucket) (wait time.Duration) {
	if wait = use.lack(now, rate, of); wait > 0 {
		return wait
	}
	for u := range use.ranges() {
		of(u).takeToken(now, rate.times(u.share))
	}
	return 0
}

// mayBeAway reports whether one more session may wait for its client.
func (use *addrUse) mayBeAway(l *Limits) bool {
	for u := range use.ranges() {
		if u.away >= l.SessionsPerAddr*u.share {
			return false
		}
	}
	return true
}
