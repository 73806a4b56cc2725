package signal

import (
	"net/netip"
	"sync"
	"time"

	"turnpike/auth"
	"turnpike/signal/wire"
)

// Limits bound what clients may do. A zero field takes its default.
type Limits struct {
	Sessions        int  // open connections of all clients; 20,000
	SessionsPerAddr int  // open connections from one IPv4 address or IPv6 /64; 256
	FailedHellos    Rate // bad tickets from one such address; 10, then one in 6 s, and then ever fewer
	Messages        Rate // of one session, pings included; 200, then 50 a second
	Joins           Rate // joins and calls of one session; 20, then one in 3 s
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
	setDefault(&l.FailedHellos, Rate{PerSecond: 1.0 / 6, Burst: 10})
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
	at    int64 // Unix nanoseconds: a session has several buckets, and a time.Time is thrice as long
}

// takeToken takes a token, or says after how long there will be one.
func (b *bucket) takeToken(now time.Time, rate Rate) (wait time.Duration) {
	b.refill(now, rate)
	if left := float64(rate.Burst) - b.spent; left < 1 {
		return max(time.Duration((1-left)/rate.PerSecond*float64(time.Second)), 1)
	}
	b.spent++
	return 0
}

func (b *bucket) refill(now time.Time, rate Rate) {
	at := now.UnixNano()
	passed := time.Duration(max(0, at-b.at)) // a clock may be set back
	b.spent = max(0, b.spent-passed.Seconds()*rate.PerSecond)
	b.at = at
}

// addrUse is what the clients of one address use. Guarded by Server.mu.
type addrUse struct {
	sockets       int
	away          int // sessions
	failed        auth.Backoff
	hellos, joins bucket
}

// limitPrefix returns the prefix by which limits count an address: one subscriber usually has a whole IPv6 /64.
func limitPrefix(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // the zero address has the zero prefix
	return prefix
}

// reserve counts a connection against the limits, or says why there may not be another.
func (srv *Server) reserve(addr netip.Prefix) (refused string) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	use := srv.addrs[addr]
	switch {
	case srv.draining:
		return refusedDraining
	case len(srv.conns) >= srv.cfg.Limits.Sessions:
		return refusedSessions
	case use == nil:
		use = new(addrUse)
		srv.addrs[addr] = use
	case use.sockets >= srv.cfg.Limits.SessionsPerAddr, use.failed.Wait(time.Now()) > 0:
		return refusedAddr
	}
	use.sockets++
	return ""
}

func (srv *Server) release(addr netip.Prefix) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.addrs[addr].sockets--
}

func (srv *Server) forgetConn(c *conn) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.conns, c)
	srv.addrs[c.addr].sockets--
}

// helloWait returns how long an address must wait that has sent bad tickets.
func (srv *Server) helloWait(addr netip.Prefix) time.Duration {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.addrs[addr].failed.Wait(time.Now())
}

func (srv *Server) countFailedHello(addr netip.Prefix) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.addrs[addr].failed.Fail(time.Now(), srv.cfg.Limits.FailedHellos.PerSecond, srv.cfg.Limits.FailedHellos.Burst)
}

// forgetAddrs drops the addresses that have nothing open and have used up nothing. The caller holds mu.
func (srv *Server) forgetAddrs(now time.Time) {
	for addr, use := range srv.addrs {
		use.hellos.refill(now, srv.cfg.Limits.AddrHellos)
		use.joins.refill(now, srv.cfg.Limits.AddrJoins)
		if use.sockets == 0 && use.away == 0 && use.hellos.spent+use.joins.spent == 0 && use.failed.Forgotten(now, srv.cfg.Limits.FailedHellos.PerSecond) {
			delete(srv.addrs, addr)
		}
	}
}

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
)

// maxSpentUsers bounds the users whose use is remembered after they went offline; the use of others is forgotten.
const maxSpentUsers = 1 << 16

// userUse is how much one user has used up of what the user's sessions may send together.
type userUse struct {
	mu sync.Mutex // after Server.mu
	// Guarded by mu.
	messages, joins bucket
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

// isIdle reports whether nothing is used up any more.
func (u *userUse) isIdle(now time.Time, l *Limits) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.messages.refill(now, l.UserMessages)
	u.joins.refill(now, l.UserJoins)
	return u.messages.spent+u.joins.spent == 0
}

// rememberUse keeps what a user who goes offline has used up, so that coming back gives nothing back. The caller holds
// mu.
func (srv *Server) rememberUse(u *user) {
	if len(srv.spent) < maxSpentUsers && !u.use.isIdle(time.Now(), &srv.cfg.Limits) {
		srv.spent[u.id] = u.use
	}
}

// useOf returns what a user who comes online has used up. The caller holds mu.
func (srv *Server) useOf(id string) *userUse {
	use := srv.spent[id]
	if use == nil {
		return new(userUse)
	}
	delete(srv.spent, id)
	return use
}

func (srv *Server) forgetSpent(now time.Time) {
	for id, use := range srv.spent {
		if use.isIdle(now, &srv.cfg.Limits) {
			delete(srv.spent, id)
		}
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
	return srv.addrs[s.reader.addr].joins.takeToken(now, srv.cfg.Limits.AddrJoins)
}

// takeHello counts a hello against its address.
func (srv *Server) takeHello(c *conn) *wire.Error {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	wait := srv.addrs[c.addr].hellos.takeToken(time.Now(), srv.cfg.Limits.AddrHellos)
	if wait == 0 {
		return nil
	}
	srv.counters.limited.count(limitedAddrHellos)
	return rateLimited(wait, "Too many clients come from your address at once.")
}

// mayHaveAnother says why a user may not have one more session. The caller holds mu.
func (srv *Server) mayHaveAnother(id string) *wire.Error {
	u := srv.users[id]
	if u == nil || len(u.sessions) < srv.cfg.Limits.SessionsPerUser {
		return nil
	}
	srv.counters.limited.count(limitedUserSessions)
	return newError(wire.CodeForbidden, "You have as many sessions as you may; end one first.")
}
