package signal

import (
	"cmp"
	"slices"
	"time"

	"turnpike/signal/wire"
)

// presenceDelay is how long news of who came and went are gathered, so that a
// rush of n log-ins is not n messages to each member.
const presenceDelay = 200 * time.Millisecond

// presence is what has changed since members were last told. Guarded by
// Server.mu, but for the timer's channel, on which the sweep waits.
type presence struct {
	timer   *time.Timer        // runs while there are changes
	clock   uint64             // counts changes; a session remembers it from its welcome
	began   uint64             // the clock before the first of changes
	changes map[string]*change // by user
}

// change is what happened to one user.
type change struct {
	at     uint64    // by presence.clock: the last thing that did
	was    bool      // whether the user was online before the first
	before wire.User // the user then; if it was not online, as it came

	// Once members are told.
	online bool
	isNews bool // to those who were there before all the changes
	text   []byte
}

func newPresence() presence {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return presence{timer: timer, changes: make(map[string]*change)}
}

// note remembers that u has come, or is about to go or to change its name; was
// says whether it has been online so far, with the name that it has.
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

// tellPresence tells the members what has changed in the end. Who came and went
// meanwhile is not told of, but to those who came themselves in between: they
// are told all that was after their welcome.
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

// settledChanges says of each change what came of it, in their order.
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

// presenceNews is what some members are told, at most one message of a kind.
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
