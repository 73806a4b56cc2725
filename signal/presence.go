package signal

import (
	"cmp"
	"slices"
	"time"

	"example.org/turnpike/signal/wire"
)

const (
	// presenceDelay is how long the server gathers changes, so that a rush of n log-ins is not n messages to each
	// member.
	presenceDelay = 200 * time.Millisecond
	// presencePerMember makes the delay longer where more than 2,000 members are online: somebody who comes and goes
	// without end makes the server send at most 10,000 messages of each kind a second.
	presencePerMember = 100 * time.Microsecond
	// presenceChunk is how many users one message names. All members get the same text, except in the chunk that has
	// the member itself or the end of what it knows.
	presenceChunk = 100
	// presenceAtOnce members are told, and then others have presencePause: what comes meanwhile would wait until all are told,
	// which takes a tenth of a second among 20,000. To yield is not enough, because the runtime looks for sockets that
	// can be read only when nothing else can run. The pauses take half as long as presencePerMember of all: the work of
	// a change is spread over the time in which the next ones are gathered.
	presenceAtOnce = 32
	presencePause  = presenceAtOnce * presencePerMember / 2
)

// presence is what has changed since members were last told. Guarded by Server.mu, except for the timer's channel, on
// which tellPresenceUntilStopped waits.
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
	moved  bool      // the user has had another name in between
	before wire.User // the user before the first event; if it was not online, as it came

	// Set when members are told.
	now    wire.User // the same as before, but for the name
	online bool
	isNews bool // to members that were there before the first of all changes
	text   []byte
	chunk  int
}

func newPresence() presence {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return presence{timer: timer, changes: make(map[string]*change)}
}

// notePresence remembers that u has come, or is about to go or to change its name. was says whether u has been online
// so far, with its present name. The caller holds mu.
func (srv *Server) notePresence(u *user, was bool) {
	p := &srv.presence
	if len(p.changes) == 0 {
		p.began = p.clock
		p.timer.Reset(max(presenceDelay, time.Duration(srv.countMembers())*presencePerMember))
	}
	p.clock++
	c := p.changes[u.id]
	if c == nil {
		c = &change{was: was, before: u.wire()}
		p.changes[u.id] = c
	}
	c.moved = c.moved || u.name != c.before.Name
	c.at = p.clock
}

// tellPresenceUntilStopped tells members of changes. It has a goroutine of its own, which writes to one member after
// the other: a goroutine for each member would hold up everything else.
func (srv *Server) tellPresenceUntilStopped() {
	defer srv.presence.timer.Stop()
	var members []*session
	for {
		select {
		case <-srv.stop:
			return
		case <-srv.presence.timer.C:
			members = srv.tellPresence(members)
		}
	}
}

// tellPresence tells members what has changed in the end. It does not tell of a user that came and went meanwhile,
// except to members that came in between: they get all changes after their welcome. It uses the memory of former, and
// returns it.
func (srv *Server) tellPresence(former []*session) []*session {
	batch, members, circles := srv.takeChanges(former[:0])
	batch.settle()
	srv.tellAll(members, batch)
	for issuer, members := range circles {
		srv.tellAll(members, batch.onlyOf(issuer))
	}
	clear(members) // keep no session
	return members
}

// takeChanges returns the changes, and the sessions that must hear of them: members, to which it appends those who see everybody,
// and those of each issuer who see each other alone. From now on there are no changes.
func (srv *Server) takeChanges(members []*session) (*presenceBatch, []*session, map[string][]*session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	p := &srv.presence
	b := &presenceBatch{began: p.began, byUser: p.changes}
	p.changes = make(map[string]*change)
	if len(b.byUser) == 0 {
		return b, members, nil
	}
	for id, c := range b.byUser {
		c.now = c.before
		u := srv.users[id]
		if c.online = u != nil; c.online {
			c.now = u.wire()
		}
	}
	circles := make(map[string][]*session)
	for issuer, c := range srv.circles {
		circles[issuer] = slices.Clone([]*session(c.members))
	}
	return b, append(members, srv.members...), circles
}

// presenceBatch is what changed in one delay. It lies outside of all locks, and one goroutine uses it.
type presenceBatch struct {
	began  uint64
	byUser map[string]*change
	chunks []presenceChange
}

// presenceChange is a part of a batch: changes of users next to each other in the order of the directory.
type presenceChange struct {
	changes     []*change
	first, last wire.User // the least and the greatest place of all
	renamed     bool      // somebody has moved to another place
	news, all   presenceNews
	some        map[selection]*presenceNews // what members hear who hear of some of the changes alone
}

// selection says which changes of a chunk a member hears of, by their places, and as what. Among many members most are the same.
type selection struct {
	came, went [(presenceChunk + 63) / 64]uint64
}

// place is where a change begins to matter in the order of the directory.
func (c *change) place() wire.User {
	switch {
	case c.moved:
		return wire.User{} // before all others
	case compareUsers(c.now, c.before) < 0:
		return c.now
	}
	return c.before
}

// settle fills in the outcome of each change, and puts the changes into chunks.
func (b *presenceBatch) settle() {
	changes := make([]*change, 0, len(b.byUser))
	for _, c := range b.byUser {
		c.isNews = c.online != c.was || c.online && c.now != c.before
		c.text = wire.EncodeUser(c.now)
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(a, b *change) int { return compareUsers(a.place(), b.place()) })
	for part := range slices.Chunk(changes, presenceChunk) {
		ch := presenceChange{changes: part, first: part[0].place(), last: part[0].place()}
		slices.SortFunc(part, func(a, b *change) int { return cmp.Compare(a.at, b.at) })
		for _, c := range part {
			c.chunk = len(b.chunks)
			ch.renamed = ch.renamed || c.moved || c.now != c.before
			for _, at := range []wire.User{c.before, c.now} {
				if compareUsers(at, ch.last) > 0 {
					ch.last = at
				}
			}
			ch.all.add(c)
			if c.isNews {
				ch.news.add(c)
			}
		}
		ch.all.encode()
		ch.news.encode()
		b.chunks = append(b.chunks, ch)
	}
}

// tellAll tells members, with pauses, until the server stops.
func (srv *Server) tellAll(members []*session, b *presenceBatch) {
	pause := time.NewTimer(presencePause)
	defer pause.Stop()
	for some := range slices.Chunk(members, presenceAtOnce) {
		for _, s := range some {
			b.tell(s)
		}
		if len(some) < presenceAtOnce {
			return
		}
		pause.Reset(presencePause)
		select {
		case <-srv.stop:
			return
		case <-pause.C:
		}
	}
}

// tell tells a member all that it does not know.
func (b *presenceBatch) tell(s *session) {
	defer s.srv.endUnlockedOnPanic(s)
	known := s.known.Load()
	isNew := max(s.presenceAt, s.listedAt.Load()) > b.began
	own := -1
	if c := b.byUser[s.user.id]; c != nil {
		own = c.chunk
	}
	for i := range b.chunks {
		ch := &b.chunks[i]
		if known != nil && compareUsers(ch.first, *known) > 0 {
			return // the others come still later
		}
		switch {
		case i == own, isNew && len(b.chunks) == 1, known != nil && (ch.renamed || compareUsers(ch.last, *known) > 0):
			ch.tellSome(s, known, isNew)
		case isNew:
			ch.all.tell(s) // some of which its welcome has said
		default:
			ch.news.tell(s)
		}
	}
}

// tellSome tells s of each change in the chunk that concerns it.
func (ch *presenceChange) tellSome(s *session, known *wire.User, isNew bool) {
	var which selection
	for i, c := range ch.changes {
		at, bit := i/64, uint64(1)<<(i%64)
		switch {
		case !c.isNews && !isNew, c.at <= s.presenceAt, c.now.User == s.user.id:
		case known != nil && compareUsers(c.now, *known) > 0:
			if c.moved || compareUsers(c.before, *known) <= 0 { // it goes by another name, which is beyond what s knows
				which.went[at] |= bit
			}
		case c.online:
			which.came[at] |= bit
		default:
			which.went[at] |= bit
		}
	}
	ch.selected(which).tell(s)
}

// selected returns what members hear of a selection.
func (ch *presenceChange) selected(which selection) *presenceNews {
	if news := ch.some[which]; news != nil {
		return news
	}
	news := new(presenceNews)
	for i, c := range ch.changes {
		at, bit := i/64, uint64(1)<<(i%64)
		if which.came[at]&bit != 0 {
			news.came = append(news.came, c.text)
		}
		if which.went[at]&bit != 0 {
			news.went = append(news.went, c.text)
		}
	}
	news.encode()
	if ch.some == nil {
		ch.some = make(map[selection]*presenceNews)
	}
	ch.some[which] = news
	return news
}

// presenceNews is what some members are told: at most one message of each kind.
type presenceNews struct {
	came, went      [][]byte
	online, offline *sharedText // nil: nobody
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
		n.online = share(wire.EncodeUsers(wire.TypeOnline, n.came))
	}
	if len(n.went) > 0 {
		n.offline = share(wire.EncodeUsers(wire.TypeOffline, n.went))
	}
}

// tell adds the messages to the member's stream, and writes what its socket takes at once.
func (n *presenceNews) tell(s *session) {
	for _, text := range []*sharedText{n.online, n.offline} {
		if text == nil {
			continue
		}
		if c := s.enqueueShared(text); c != nil {
			c.WriteBriefly()
		}
	}
}

// listOnline writes into a welcome the users that s sees, or the first of them. The caller holds mu.
func (srv *Server) listOnline(s *session, m *wire.Welcome) {
	m.Online, m.OnlineMore = srv.firstOnline(s)
}

// firstOnline returns the users that s sees, or the first of them. The caller holds mu.
func (srv *Server) firstOnline(s *session) (online []wire.User, more bool) {
	if s.sight == PresenceNobody {
		return []wire.User{}, false
	}
	s.known.Store(new(wire.User)) // nobody yet
	list, more := srv.page(s, wire.User{})
	online = make([]wire.User, 0, len(list))
	for _, u := range list {
		online = append(online, u.wire())
	}
	return online, more
}

// page lists users after a place, and notes that s knows everybody up to the end of the page: from now on it is told of
// changes up to there. The caller holds mu.
func (srv *Server) page(s *session, after wire.User) (list []*user, more bool) {
	list, more = srv.listFor(s).page(after, wire.MaxOnline, s.user)
	if !more {
		s.known.Store(nil)
	} else if known, last := s.known.Load(), list[len(list)-1].wire(); known != nil && compareUsers(last, *known) > 0 {
		s.known.Store(&last)
	}
	s.listedAt.Store(srv.presence.clock)
	return list, more
}

// listMore answers a client that asks for more of the users who are online. The answer enters the stream under the
// lock, so that it comes before all later changes.
func (s *session) listMore(m *wire.ListOnline) *wire.Error {
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	var list []*user
	more := false
	if s.sight != PresenceNobody {
		list, more = s.srv.page(s, m.After)
	}
	texts := make([][]byte, len(list))
	for i, u := range list {
		texts[i] = u.text
	}
	s.replyText(wire.EncodeOnline(m.ID, texts, more))
	return nil
}
