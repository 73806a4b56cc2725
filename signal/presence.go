package signal

import (
	"cmp"
	"slices"
	"time"

	"turnpike/signal/wire"
)

// presenceDelay is how long the server gathers changes, so that a rush of n log-ins is not n messages to each member.
const presenceDelay = 200 * time.Millisecond

// presence is what has changed since members were last told. Guarded by Server.mu, except for the timer's channel, on
// which the sweep waits.
type presence struct {
	timer   *time.Timer        // runs while there are changes
	clock   uint64             // counts changes; each session remembers its value at the welcome
	began   uint64             // the clock before the first of changes
	changes map[string]*change // by user
}

// change is what happened to one user since members were last told.
type change struct {
	at     uint64    // the presence.clock of the last event
	was    bool      // whether the user was online before the first event
	before wire.User // the user before the first event; if it was not online, as it came

	// Set when members are told.
	online bool
	isNews bool // to members that were there before the first of all changes
	text   []byte
}

func newPresence() presence {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return presence{timer: timer, changes: make(map[string]*change)}
}

// note remembers that u has come, or is about to go or to change its name. was says whether u has been online so far,
// with its present name.
func (p *presence) note(u *user, was bool) {
	if len(p.changes) == 0 {
		p.began = p.clock
		p.timer.Reset(presenceDelay)
	}
	p.clock++
	c := p.changes[u.id]
	if c == nil {
		c = &change{was: was, before: u.wire()}
		p.changes[u.id] = c
	}
	c.at = p.clock
}

// tellPresence tells members what has changed in the end. It does not tell of a user that came and went meanwhile,
// except to members that came in between: they get all changes after their welcome.
func (srv *Server) tellPresence() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	p := &srv.presence
	if len(p.changes) == 0 {
		return
	}
	changes := srv.settledChanges()
	var shared presenceNews
	for _, c := range changes {
		if c.isNews {
			shared.add(c)
		}
	}
	shared.encode()
	for s := range srv.members {
		cameAfter, changed := s.presenceAt > p.began, p.changes[s.user.id] != nil
		if !cameAfter && !changed {
			shared.tell(s)
			continue
		}
		var own presenceNews
		for _, c := range changes {
			isNews := c.isNews || cameAfter
			if isNews && c.at > s.presenceAt && c.before.User != s.user.id {
				own.add(c)
			}
		}
		own.encode()
		own.tell(s)
	}
	clear(p.changes)
}

// settledChanges fills in the outcome of each change, and returns them in their order.
func (srv *Server) settledChanges() []*change {
	changes := make([]*change, 0, len(srv.presence.changes))
	for id, c := range srv.presence.changes {
		now := c.before
		u := srv.users[id]
		if c.online = u != nil; c.online {
			now = u.wire()
		}
		c.isNews = c.online != c.was || c.online && now != c.before
		c.text = wire.EncodeUser(now)
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(a, b *change) int { return cmp.Compare(a.at, b.at) })
	return changes
}

// presenceNews is what some members are told: at most one message of each kind.
type presenceNews struct {
	came, went      [][]byte
	online, offline []byte // encoded; nil: nobody
}

func (n *presenceNews) add(c *change) {
	if c.online {
		n.came = append(n.came, c.text)
	} else {
		n.went = append(n.went, c.text)
	}
}

func (n *presenceNews) encode() {
	if len(n.came) > 0 {
		n.online = wire.EncodeUsers(wire.TypeOnline, n.came)
	}
	if len(n.went) > 0 {
		n.offline = wire.EncodeUsers(wire.TypeOffline, n.went)
	}
}

func (n *presenceNews) tell(s *session) {
	if n.online != nil {
		s.tellText(n.online)
	}
	if n.offline != nil {
		s.tellText(n.offline)
	}
}
