package signal

import (
	"container/list"
	"math"
	"net/netip"
	"sync"
	"time"

	"example.org/turnpike/signal/wire"
)

// Limits bound what clients may do. A zero field takes its default.
type Limits struct {
	// An IPv6 address counts for its /64, and for its /56 and /48, which may use 4 and 16 times as much.

	Sessions        int  // connections of all clients that have said hello; 20,000. An eighth more may resume
	SessionsPerAddr int  // likewise, from one IPv4 address or IPv6 /64; 256
	BeforeHello     int  // connections that have not said hello; beyond it the oldest goes; an eighth of Sessions
	FailedHellos    Rate // bad tickets from one such address, the first on each connection not included; 600, then 10 a second
	Messages        Rate // of one session, pings included; 200, then 50 a second
	Joins           Rate // joins, calls and new names of one session; 20, then one in 3 s
	RoomsPerSession int  // rooms that it waits for included; 16; a call's room is never refused

	SessionsPerUser int  // 64
	UserMessages    Rate // of all sessions of one user, pings not included; 800, then 200 a second
	UserJoins       Rate // joins and calls of all sessions of one user; 60, then 1 a second
	AddrHellos      Rate // hellos from one IPv4 address or IPv6 /64, good or bad; 400, then 100 a second
	AddrJoins       Rate // joins and calls from one such address; 600, then 10 a second

	QueueMessages int // messages that a client has not acknowledged; 1,024
	QueueBytes    int // their bytes; 1 MiB
	KeptBytes     int // the bytes of all clients; one may take a 64th of what is free; 256 MiB

	// ScopeLinger is how long a lost session's relays may refresh their permissions. It must not be less than the
	// greatest age of an allocation. 24 h.
	ScopeLinger time.Duration
}

// told are the limits that a session is told of in its welcome.
func (l *Limits) told() *wire.Limits {
	rate := func(r Rate) wire.Rate {
		return wire.Rate{Burst: r.Burst, PerMinute: math.Round(r.PerSecond*60*1000) / 1000}
	}
	return &wire.Limits{
		MessageBytes: wire.MaxMessage, Messages: rate(l.Messages), UserMessages: rate(l.UserMessages),
		Joins: rate(l.Joins), UserJoins: rate(l.UserJoins), Sessions: l.SessionsPerUser,
		Rooms: l.RoomsPerSession, RoomSize: wire.MaxRoomSize, Waiting: wire.MaxWaiting,
		UnacknowledgedMessages: l.QueueMessages, UnacknowledgedBytes: l.QueueBytes,
		DataBytes: wire.MaxData, CallDataBytes: wire.MaxCallData,
	}
}

// Rate is the rate of a token bucket: so many tokens at once, and so many more a second.
type Rate struct {
	PerSecond float64
	Burst     int
}

// badMessageRate has the tenth bad message in a minute end the session.
var badMessageRate = Rate{PerSecond: (wire.MaxBadMessages - 1) / wire.BadMessageWindow.Seconds(), Burst: wire.MaxBadMessages - 1}

// refusalRate is how often the server tells a session that it sends too much, before it closes the connection.
var refusalRate = Rate{PerSecond: 0.5, Burst: 20}

// DefaultLimits are the limits that zero fields mean. The defaults of the configuration and PROTOCOL.md have the same.
func DefaultLimits() Limits {
	var l Limits
	l.fill()
	return l
}

func (l *Limits) fill() {
	setDefault(&l.Sessions, 20_000)
	setDefault(&l.SessionsPerAddr, 256)
	setDefault(&l.BeforeHello, max(l.Sessions/8, 16))
	setDefault(&l.FailedHellos, Rate{PerSecond: 10, Burst: 600})
	setDefault(&l.Messages, Rate{PerSecond: 50, Burst: 200})
	setDefault(&l.Joins, Rate{PerSecond: 1.0 / 3, Burst: 20})
	setDefault(&l.RoomsPerSession, 16)
	setDefault(&l.SessionsPerUser, 64)
	setDefault(&l.UserMessages, Rate{PerSecond: 200, Burst: 800})
	setDefault(&l.UserJoins, Rate{PerSecond: 1, Burst: 60})
	setDefault(&l.AddrHellos, Rate{PerSecond: 100, Burst: 400})
	setDefault(&l.AddrJoins, Rate{PerSecond: 10, Burst: 600})
	setDefault(&l.QueueMessages, 1024)
	setDefault(&l.QueueBytes, 1<<20)
	setDefault(&l.KeptBytes, 256<<20)
	setDefault(&l.ScopeLinger, 24*time.Hour)
}

func setDefault[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}

// bucket is a token bucket; the zero bucket is full.
type bucket struct {
	spent float64
	at    int64 // nanoseconds since epoch: a session has several buckets, and a time.Time is thrice as long
}

// epoch is what buckets count from. The difference to a time of time.Now's stays right when the host's clock is set.
var epoch = time.Now()

// takeToken takes a token, or says after how long there will be one.
func (b *bucket) takeToken(now time.Time, rate Rate) (wait time.Duration) {
	if wait = b.lack(now, rate); wait == 0 {
		b.spent++
	}
	return wait
}

// lack returns after how long there will be a token.
func (b *bucket) lack(now time.Time, rate Rate) time.Duration {
	b.refill(now, rate)
	if left := float64(rate.Burst) - b.spent; left < 1 {
		return max(time.Duration((1-left)/rate.PerSecond*float64(time.Second)), 1)
	}
	return 0
}

// spend takes so many tokens, whether they are there or not.
func (b *bucket) spend(now time.Time, rate Rate, n int) {
	b.refill(now, rate)
	b.spent += float64(n)
}

func (b *bucket) refill(now time.Time, rate Rate) {
	at := int64(now.Sub(epoch))
	passed := time.Duration(max(0, at-b.at)) // callers may overtake each other
	b.spent = max(0, b.spent-passed.Seconds()*rate.PerSecond)
	b.at = at
}

// times returns the rate of a range of addresses that may use so many times as much.
func (r Rate) times(share int) Rate { return Rate{r.PerSecond * float64(share), r.Burst * share} }

// resumeRoom returns how many connections may be open beyond a limit for the sake of sessions that come back: at the limit, new
// sessions are refused, but not those.
func resumeRoom(limit int) int { return limit/8 + 1 }

// reserve counts a connection from an address, or says why there may not be another. A full range gives up its oldest connections that
// have not said hello: crowdedOut, which the caller must close. One that is still being upgraded finds out when it starts.
func (srv *Server) reserve(c *conn, addr netip.Addr) (crowdedOut []*conn, refused string) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.draining {
		return nil, refusedDraining
	}
	limits := &srv.cfg.Limits
	c.use = srv.addrs.pin(addr)
	crowdOut := func(oldest *conn) {
		srv.removeStranger(oldest)
		srv.counters.limited.count(limitedBeforeHello)
		if srv.conns.has(oldest) {
			crowdedOut = append(crowdedOut, oldest)
		}
	}
	for u := range c.use.ranges() {
		perAddr := limits.SessionsPerAddr + resumeRoom(limits.SessionsPerAddr)
		if u.strangers.Len()+u.signedIn < perAddr*u.share {
			continue
		}
		oldest := u.strangers.Front()
		if oldest == nil {
			srv.addrs.unpin(c.use)
			return crowdedOut, refusedAddr
		}
		crowdOut(oldest.Value.(*conn))
	}
	if srv.strangers.Len() >= limits.BeforeHello {
		crowdOut(srv.strangers.Front().Value.(*conn))
	}
	srv.addStranger(c)
	return crowdedOut, ""
}

// release takes back what reserve counted, for a connection that did not come about.
func (srv *Server) release(c *conn) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if c.place != nil {
		srv.removeStranger(c)
	}
	srv.addrs.unpin(c.use)
}

// strangerPlace is where a connection that has not been welcomed stands among the others.
type strangerPlace struct {
	ofAll    *list.Element
	ofRanges [3]*list.Element // of its address's ranges, the narrowest first
}

// addStranger puts a connection among those before their welcome. The caller holds mu.
func (srv *Server) addStranger(c *conn) {
	place, i := &strangerPlace{ofAll: srv.strangers.PushBack(c)}, 0
	for u := range c.use.ranges() {
		place.ofRanges[i] = u.strangers.PushBack(c)
		i++
	}
	c.place = place
}

// removeStranger takes a connection from those before their welcome. The caller holds mu.
func (srv *Server) removeStranger(c *conn) {
	srv.strangers.Remove(c.place.ofAll)
	i := 0
	for u := range c.use.ranges() {
		u.strangers.Remove(c.place.ofRanges[i])
		i++
	}
	c.place = nil
}

// maySignIn says why a connection may not carry a session. There is room beyond the limits for sessions that come back. The
// caller holds mu.
func (srv *Server) maySignIn(c *conn, comesBack bool) *wire.Error {
	limits := &srv.cfg.Limits
	all, perAddr := limits.Sessions, limits.SessionsPerAddr
	if comesBack {
		all, perAddr = all+resumeRoom(all), perAddr+resumeRoom(perAddr)
	}
	full := srv.signedIn >= all || c.place == nil // crowded out meanwhile: nobody reads the answer
	for u := range c.use.ranges() {
		if u.signedIn >= perAddr*u.share {
			srv.counters.limited.count(limitedAddrSessions)
			return rateLimited(retryAfter, "As many clients as may come from your address are here.")
		}
	}
	if full {
		srv.counters.limited.count(limitedSessions)
		return rateLimited(retryAfter, "The server has as many clients as it takes.")
	}
	return nil
}

// signIn moves a connection from the strangers to those that carry a session. The caller holds mu.
func (srv *Server) signIn(c *conn) {
	srv.removeStranger(c)
	srv.signedIn++
	for u := range c.use.ranges() {
		u.signedIn++
	}
}

func (srv *Server) forgetConn(c *conn) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.conns.remove(c)
	switch {
	case c.session != nil:
		srv.signedIn--
		for u := range c.use.ranges() {
			u.signedIn--
		}
	case c.place != nil: // else it was crowded out
		srv.removeStranger(c)
	}
	srv.addrs.unpin(c.use)
}

// failedWait returns how long a client must wait that has sent a bad ticket or resume token. The first on a connection is always
// looked at: a new client does not pay for others at its address.
func (srv *Server) failedWait(c *conn) time.Duration {
	if !c.hasFailed {
		return 0
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return c.use.lack(time.Now(), srv.cfg.Limits.FailedHellos, failedHellos)
}

// countFailedHello counts a bad ticket or resume token. Nobody can guess one, so that this protects nothing but the processor.
func (srv *Server) countFailedHello(c *conn) {
	c.hasFailed = true
	now, limits := time.Now(), &srv.cfg.Limits
	srv.mu.Lock()
	c.use.take(now, limits.FailedHellos, failedHellos)
	waits := c.use.lack(now, limits.FailedHellos, failedHellos) > 0
	srv.mu.Unlock()
	if waits {
		srv.logWait(c.use.prefix, "too many bad tickets: the clients that sent one wait, and no others", "limits.failed_tickets_per_minute")
	}
}

// logWait logs that an address has to wait, unless that was logged often of late.
func (srv *Server) logWait(addr netip.Prefix, why, limit string) {
	srv.mu.Lock()
	mayLog := srv.waitLogged.takeToken(time.Now(), waitLogRate) == 0
	srv.mu.Unlock()
	if mayLog {
		srv.cfg.Log.Info("an address must wait: "+why, "client", clientText(addr), "limit", limit)
	}
}

// waitLogRate is how often addresses that begin to wait are logged.
var waitLogRate = Rate{PerSecond: 0.1, Burst: 6}

// Which limits held something back, for the counter.
const (
	limitedMessages     = "messages" // of one session
	limitedUserMessages = "user_messages"
	limitedJoins        = "joins" // of one session
	limitedUserJoins    = "user_joins"
	limitedAddrJoins    = "address_joins"
	limitedAddrHellos   = "address_hellos"
	limitedFailedHellos = "address_failed_tickets"
	limitedUserSessions = "user_sessions"
	limitedAddrSessions = "address_sessions"
	limitedSessions     = "sessions"
	limitedBeforeHello  = "before_hello" // a connection that was closed to make room for a newer one
)

// maxSpentUsers bounds the users whose use is remembered after they went offline; the use of others is forgotten.
const maxSpentUsers = 1 << 16

// userUse is how much one user has used up of what the user's sessions may send together.
type userUse struct {
	mu sync.Mutex // after Server.mu
	// Guarded by mu.
	messages, joins bucket

	// Guarded by Server.mu, while it is in spent.
	user string
	at   int
}

func (u *userUse) takeMessage(now time.Time, rate Rate) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.messages.takeToken(now, rate)
}

func (u *userUse) takeJoin(now time.Time, rate Rate) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.joins.takeToken(now, rate)
}

// lackJoins returns after how long the user may join again.
func (u *userUse) lackJoins(now time.Time, rate Rate) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.joins.lack(now, rate)
}

// spendJoins counts what was as much work as so many joins. The user may be in debt afterwards.
func (u *userUse) spendJoins(now time.Time, rate Rate, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.joins.spend(now, rate, n)
}

// spendMessages counts what was as much work as so many messages.
func (u *userUse) spendMessages(now time.Time, rate Rate, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.messages.spend(now, rate, n)
}

// isIdle reports whether nothing is used up any more.
func (u *userUse) isIdle(now time.Time, l *Limits) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.messages.refill(now, l.UserMessages)
	u.joins.refill(now, l.UserJoins)
	return u.messages.spent+u.joins.spent == 0
}

// spent has what users have used up who are not online. Guarded by Server.mu.
type spent struct {
	by  map[string]*userUse // by the user's id
	all walked[*userUse]    // the same
}

func (u *userUse) walkedAt() *int { return &u.at }

// rememberUse keeps what a user who goes offline has used up, so that coming back gives nothing back. The caller holds
// mu.
func (srv *Server) rememberUse(u *user) {
	if len(srv.spent.by) < maxSpentUsers && !u.use.isIdle(time.Now(), &srv.cfg.Limits) {
		u.use.user = u.id
		srv.spent.by[u.id] = u.use
		srv.spent.all.add(u.use)
	}
}

// useOf returns what a user who comes online has used up. The caller holds mu.
func (srv *Server) useOf(id string) *userUse {
	use := srv.spent.by[id]
	if use == nil {
		return new(userUse)
	}
	srv.spent.forget(use)
	return use
}

func (s *spent) forget(use *userUse) {
	delete(s.by, use.user)
	s.all.remove(use)
}

func (s *spent) forgetIdle(use *userUse, now time.Time, l *Limits) {
	if use.isIdle(now, l) {
		s.forget(use)
	}
}

// takeMessage counts a message against its connection and its user.
func (c *conn) takeMessage(now time.Time) time.Duration {
	limits := &c.srv.cfg.Limits
	if wait := c.messages.takeToken(now, limits.Messages); wait > 0 {
		c.srv.counters.limited.count(limitedMessages)
		return wait
	}
	if c.session == nil {
		return 0
	}
	wait := c.session.user.use.takeMessage(now, limits.UserMessages)
	if wait > 0 {
		c.srv.counters.limited.count(limitedUserMessages)
	}
	return wait
}

// takeJoin counts a join or call against its session, user and address.
func (s *session) takeJoin() *wire.Error {
	now, limits := time.Now(), &s.srv.cfg.Limits
	wait, why := s.joins.takeToken(now, limits.Joins), limitedJoins
	if wait == 0 {
		wait, why = s.user.use.takeJoin(now, limits.UserJoins), limitedUserJoins
	}
	if wait == 0 {
		wait, why = s.srv.takeAddrJoin(s, now), limitedAddrJoins
	}
	if wait == 0 {
		return nil
	}
	s.srv.counters.limited.count(why)
	return rateLimited(wait, "Too many joins and calls.")
}

func (srv *Server) takeAddrJoin(s *session, now time.Time) time.Duration {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return s.reader.use.take(now, srv.cfg.Limits.AddrJoins, joins)
}

// takeHello counts a hello against its address. Good resumes have a bucket of their own: strangers at the same address cannot
// keep a session from coming back.
func (srv *Server) takeHello(c *conn, of func(*addrUse) *bucket) *wire.Error {
	srv.mu.Lock()
	wait := c.use.take(time.Now(), srv.cfg.Limits.AddrHellos, of)
	srv.mu.Unlock()
	if wait == 0 {
		return nil
	}
	srv.logWait(c.use.prefix, "too many hellos", "limits.hellos_per_second_per_address")
	srv.counters.limited.count(limitedAddrHellos)
	return rateLimited(wait, "Too many clients come from your address at once.")
}

// atLimit refuses what a fixed limit does not allow. limit is its name in welcome.limits.
func atLimit(limit, sentence string) *wire.Error {
	return &wire.Error{Code: wire.CodeForbidden, Message: sentence, Limit: limit}
}

// mayHaveAnother says why a user may not have one more session. The caller holds mu.
func (srv *Server) mayHaveAnother(id string) *wire.Error {
	u := srv.users[id]
	if u == nil || len(u.sessions) < srv.cfg.Limits.SessionsPerUser {
		return nil
	}
	srv.counters.limited.count(limitedUserSessions)
	return atLimit("sessions", "You have as many sessions as you may; end one first.")
}
