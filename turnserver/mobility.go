package turnserver

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/pion/stun/v3"
	"github.com/puzpuzpuz/xsync/v4"

	"example.org/turnpike/turnserver/tokenbucket"
	"example.org/turnpike/turnserver/wire"
)

// mobility lets clients take their allocations along to another five-tuple (RFC 8016). A client that has changed
// networks shows its ticket in a Refresh, from where it is now. From then on its allocation has an arrival there. The
// server goes on serving the client where it was, until the client sends data, a request or a keepalive from the new
// five-tuple, or loses its old connection. Then the allocation moves to a new home, with all that it has.
//
// The packet path knows nothing of this while it finds an allocation. It looks among the arrivals only before it would
// drop a packet.
type mobility struct {
	// Static after construction.
	srv *Server
	key wire.TicketKey

	arrivals *xsync.Map[wire.FiveTuple, *arrival] // written under mu, read without

	// Guarded by mu, which is taken before shard.mu, quota.mu and clientConnection.mu.
	mu      sync.Mutex
	last    uint64                 // serial number that was given out
	tickets map[uint64]*allocation // by the serial numbers of tickets that are still good for something
}

// mobile is the part of an allocation whose client can move.
type mobile struct {
	first wire.Ticket // static: of the answer to the Allocate

	// Guarded by mobility.mu. The answer to a Refresh with a ticket may get lost. So the ticket stays good until the
	// client shows that it has had the answer. After that it is good only for repeating the request from where the
	// client has moved to.
	next      uint64   // the serial number of the ticket to move with
	used      uint64   // the serial number of the ticket of the last move, done or about to be; 0: none
	confirmed bool     // the client has sent data or a request from where that ticket took it
	arrival   *arrival // or nil
	moves     tokenbucket.Bucket
}

// arrival is the place that an allocation's client is about to move to. It counts there as the allocation will.
type arrival struct {
	// Static after construction.
	alloc   *allocation
	home    *home
	expires clock
}

const (
	// arrivalTime is how long a client may take to send something from its new place. No NAT must keep an unused
	// mapping for longer (RFC 4787 REQ-5). After that the five-tuple may be another client's.
	arrivalTime = 2 * time.Minute
	// strandedTime is how long an allocation waits for a client that has lost its connection.
	strandedTime = time.Minute
	// A client may move movesAtOnce times at once, and gets one move back each moveInterval. Taking all its channels
	// along costs the server more than the two packets that ask for it.
	movesAtOnce  = 32
	moveInterval = 2 * time.Second
)

const (
	attrMobilityTicket    = stun.AttrType(0x8030) // RFC 8016 §3.3
	codeMobilityForbidden = stun.ErrorCode(405)   // RFC 8016 §3.4
)

// newMobility returns nil if clients may not move.
func newMobility(srv *Server) *mobility {
	if !srv.cfg.Mobility {
		return nil
	}
	return &mobility{
		srv: srv, key: wire.NewTicketKey(), arrivals: xsync.NewMap[wire.FiveTuple, *arrival](), tickets: make(map[uint64]*allocation),
	}
}

// wantsTicket reads the MOBILITY-TICKET of an Allocate (RFC 8016 §3.1.2), or answers 400 or 405. A client whose
// allocation relays TCP cannot move: its connections for data could not come along.
func (r *request) wantsTicket(tcp bool) (wants, ok bool) {
	attr, wants := r.m.Attributes.Get(attrMobilityTicket)
	switch {
	case wants && (tcp || r.w.srv.mobility == nil):
		r.fail(codeMobilityForbidden)
		return true, false
	case wants && len(attr.Value) != 0:
		r.fail(stun.CodeBadRequest)
		return true, false
	}
	return wants, true
}

// giveFirstTicket gives its first ticket to an allocation that is not in its shard yet.
func (m *mobility) giveFirstTicket(a *allocation) {
	if a.extras == nil {
		a.extras = new(extras)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	serial := m.issue(a)
	a.extras.mobile = &mobile{first: m.key.Seal(serial), next: serial}
}

// issue makes a serial number. The caller holds mu.
func (m *mobility) issue(a *allocation) uint64 {
	m.last++
	m.tickets[m.last] = a
	return m.last
}

// ticketed returns the allocation that a ticket is for, or nil. It also returns the ticket's serial number, or 0 if
// this server did not make the ticket.
func (m *mobility) ticketed(value []byte) (*allocation, uint64) {
	serial, ok := m.key.Open(value)
	if !ok {
		return nil, 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tickets[serial], serial
}

// refreshElsewhere answers a Refresh request with a ticket: it is about an allocation on another five-tuple (RFC 8016
// §3.2.2).
func (r *request) refreshElsewhere(value []byte) {
	m := r.w.srv.mobility
	if m == nil {
		r.authenticated(func() { r.fail(codeMobilityForbidden) })
		return
	}
	var serial uint64
	r.alloc, serial = m.ticketed(value)
	r.authenticated(r.limited(func() {
		switch {
		case serial == 0:
			r.fail(stun.CodeBadRequest)
		case r.alloc == nil:
			r.fail(stun.CodeAllocMismatch)
		case !r.isOwner(r.alloc):
			r.fail(stun.CodeWrongCredentials)
		default:
			r.refreshAndMove(serial)
		}
	}))
}

// refreshAndMove prepares the move that a good ticket is for. With lifetime 0 it ends the allocation where it is.
func (r *request) refreshAndMove(serial uint64) {
	how, ok := r.refreshing()
	if !ok {
		return
	}
	next, code := r.w.srv.mobility.prepareMove(r, serial, how.lifetime == 0)
	if code != 0 {
		r.fail(code)
		return
	}
	if !r.refreshed(&how) {
		return
	}
	if how.lifetime > 0 {
		r.w.res.Add(attrMobilityTicket, next[:])
	}
	r.sendAnswer()
}

// prepareMove prepares an allocation to move to the five-tuple of a request, unless the request ends it. It returns the
// ticket for the next move, or the error to answer with.
func (m *mobility) prepareMove(r *request, serial uint64, ends bool) (wire.Ticket, stun.ErrorCode) {
	a := r.alloc
	m.mu.Lock()
	defer m.mu.Unlock()
	mob := a.extras.mobile
	switch answered, code := m.judgeTicket(r, serial); {
	case code != 0, ends:
		return wire.Ticket{}, code
	case answered:
		return m.key.Seal(mob.next), 0
	}
	if !mob.moves.Take(time.Duration(m.srv.now()), moveInterval, movesAtOnce*moveInterval) {
		m.srv.counters.count(limitMoves)
		return wire.Ticket{}, stun.CodeAllocQuotaReached
	}
	// Unless the client can come here, the arrival that it has elsewhere stays.
	if _, taken := m.arrivals.Load(r.c.tuple); taken || r.w.shard.find(r.c.tuple) != nil {
		return wire.Ticket{}, stun.CodeAllocMismatch
	}
	var instead *client
	if mob.arrival != nil {
		instead = &mob.arrival.home.client
	}
	if !m.srv.quota.countMove(r.c, &a.home.Load().client, instead, &m.srv.cfg.Limits) {
		m.srv.counters.count(limitAddress)
		return wire.Ticket{}, stun.CodeAllocQuotaReached
	}
	if ar := m.takeArrival(mob); ar != nil && ar.home.conn != nil {
		ar.home.conn.allocationEnded()
	}
	m.addArrival(r, mob)
	if serial == mob.next {
		delete(m.tickets, mob.used)
		mob.used, mob.next, mob.confirmed = mob.next, m.issue(a), false
	}
	return m.key.Seal(mob.next), 0
}

// judgeTicket returns an error code if a ticket is not good for its allocation, else 0. It reports answered if the
// server has answered the same request from the same place before, and the answer may have got lost. The caller holds
// mu.
func (m *mobility) judgeTicket(r *request, serial uint64) (answered bool, code stun.ErrorCode) {
	a, here := r.alloc, r.c.tuple
	mob := a.extras.mobile
	isHere := a.home.Load().tuple == here || mob.arrival != nil && mob.arrival.home.tuple == here
	switch again := serial == mob.used; {
	case m.tickets[serial] != a: // since ticketed, the allocation has ended or got other tickets
		return false, stun.CodeAllocMismatch
	case isHere && again:
		return true, 0
	case isHere: // a client that has not moved must not show a ticket (RFC 8016 §3.2.1)
		return false, stun.CodeBadRequest
	case again && mob.confirmed: // it was good for one move
		return false, stun.CodeAllocMismatch
	}
	return false, 0
}

// addArrival makes an arrival on the five-tuple of a request. The caller holds mu.
func (m *mobility) addArrival(r *request, mob *mobile) {
	to := &home{client: *r.c}
	if r.w.shard != r.alloc.shard {
		to.via = r.w.shard
	}
	if to.conn != nil {
		to.conn.allocationMade(r.alloc.account)
	}
	mob.arrival = &arrival{alloc: r.alloc, home: to, expires: m.srv.now().plus(arrivalTime)}
	m.arrivals.Store(to.tuple, mob.arrival)
}

// cancelArrival gives up an arrival, if there is one: the allocation stays where it is. The caller holds mu.
func (m *mobility) cancelArrival(mob *mobile) {
	if ar := m.takeArrival(mob); ar != nil {
		m.leaveHome(ar.home)
	}
}

// takeArrival takes the arrival away, if there is one. The caller holds mu, and takes the allocation off the counts of
// that place.
func (m *mobility) takeArrival(mob *mobile) *arrival {
	ar := mob.arrival
	if ar != nil {
		mob.arrival = nil
		m.arrivals.Delete(ar.home.tuple)
	}
	return ar
}

// leaveHome takes an allocation off the counts of a place that it leaves, or does not come to after all.
func (m *mobility) leaveHome(h *home) {
	m.srv.quota.uncountAddress(&h.client)
	if h.conn != nil {
		h.conn.allocationEnded()
	}
}

// expected returns the allocation that has an arrival on a five-tuple, or nil. m may be nil.
func (m *mobility) expected(t wire.FiveTuple) *allocation {
	if m == nil {
		return nil
	}
	if ar, ok := m.arrivals.Load(t); ok {
		return ar.alloc
	}
	return nil
}

// arrives moves the allocation that has an arrival on the client's five-tuple, as the client has sent data from there.
// It reports whether the caller should look again for what it did not find: another goroutine may have moved it just
// now.
func (w *worker) arrives(c *client) bool {
	m := w.srv.mobility
	if m == nil {
		return false
	}
	if ar, ok := m.arrivals.Load(c.tuple); ok {
		m.completeMove(ar, true)
	}
	return true
}

// keepsAlive moves the allocation that has an arrival on the client's five-tuple, as the client has sent a Binding
// request or indication from there: a client that only listens has arrived, too. It does not confirm the move. The
// client may have sent the request before it had its answer, to find out its own address.
func (w *worker) keepsAlive(c *client) {
	m := w.srv.mobility
	if m == nil {
		return
	}
	if ar, ok := m.arrivals.Load(c.tuple); ok {
		m.completeMove(ar, false)
	}
}

// arrives moves the allocation that has an arrival on the request's five-tuple, if the request is its owner's. It
// reports whether the five-tuple then has an allocation.
func (r *request) arrives() bool {
	m := r.w.srv.mobility
	if m == nil {
		return false
	}
	if ar, ok := m.arrivals.Load(r.c.tuple); ok && r.isOwner(ar.alloc) {
		m.completeMove(ar, true)
	}
	r.alloc = r.w.shard.find(r.c.tuple)
	return r.alloc != nil
}

// completeMove moves an allocation to its arrival: its client has sent something from there, or has lost its old
// connection. It reports false if the arrival is over. confirmed says that the client has shown that it needs the
// ticket's answer no more.
func (m *mobility) completeMove(ar *arrival, settled bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.completeLocked(ar, settled)
}

// completeLocked does completeMove. The caller holds mu.
func (m *mobility) completeLocked(ar *arrival, settled bool) bool {
	a := ar.alloc
	mob := a.extras.mobile
	if mob.arrival != ar {
		return false
	}
	if m.srv.now() >= ar.expires {
		m.cancelArrival(mob)
		return false
	}
	from, ok := a.shard.rehome(a, ar.home)
	if !ok { // it has ended, and forget will be called soon
		return false
	}
	mob.arrival, mob.confirmed = nil, settled
	m.arrivals.Delete(ar.home.tuple)
	m.leaveHome(from)
	m.srv.counters.moves.Add(1)
	return true
}

// disconnected ends an allocation whose client has lost its connection, unless the client can still come by another.
func (a *allocation) disconnected(c *clientConnection) {
	srv := a.shard.srv
	if a.extras == nil || a.extras.mobile == nil || srv.isClosed() {
		a.end()
		return
	}
	srv.mobility.disconnected(a, c)
}

// disconnected moves the allocation to its arrival, or makes it wait for its client. It holds mu all the while: a client that arrives
// meanwhile has been told how long its allocation lives, and must not find it shortened after that.
func (m *mobility) disconnected(a *allocation, c *clientConnection) {
	m.mu.Lock()
	if ar := a.extras.mobile.arrival; ar != nil && m.completeLocked(ar, false) {
		m.mu.Unlock()
		return
	}
	from := a.home.Load()
	if from.conn != c { // it has moved
		m.mu.Unlock()
		return
	}
	a.shard.shorten(a, m.srv.now().plus(strandedTime))
	m.last++
	_, ok := a.shard.rehome(a, &home{client: nowhere(&from.client, m.last)})
	m.mu.Unlock()
	if !ok {
		return
	}
	c.allocationEnded()
}

// nowhere is the client of an allocation whose real client has lost its connection. Its five-tuple is one that no
// packet comes from. The allocation still counts for the address that its client had.
func nowhere(was *client, serial uint64) client {
	tuple := wire.FiveTuple{Client: wire.Endpoint{IP: was.tuple.Client.IP}, Protocol: was.tuple.Protocol}
	binary.BigEndian.PutUint64(tuple.Local.IP[:], serial)
	return client{tuple: tuple, sock: noSocketNow{}}
}

// stranded reports whether a five-tuple is one of nowhere's.
func stranded(t *wire.FiveTuple) bool { return t.Client.Port == 0 && t.Local.Port == 0 }

// noSocketNow is the socket of nowhere.
type noSocketNow struct{}

func (noSocketNow) sendTo(w *worker, _ *client, _ []byte, _ int) { w.counters.count(dropClientAway) }

// abandon gives up the arrival on a connection that has ended. m may be nil.
func (m *mobility) abandon(t wire.FiveTuple, c *clientConnection) {
	m.cancelAt(t, func(ar *arrival) bool { return ar.home.conn == c })
}

// makeRoom gives up the arrival on a five-tuple whose client makes an allocation there instead, or claims a connection
// with a peer. m may be nil.
func (m *mobility) makeRoom(t wire.FiveTuple) { m.cancelAt(t, func(*arrival) bool { return true }) }

func (m *mobility) cancelAt(t wire.FiveTuple, match func(*arrival) bool) {
	if m == nil {
		return
	}
	if _, ok := m.arrivals.Load(t); !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if ar, ok := m.arrivals.Load(t); ok && match(ar) {
		m.cancelArrival(ar.alloc.extras.mobile)
	}
}

// forget gives up the arrival and the tickets of an allocation that has ended. m may be nil.
func (m *mobility) forget(a *allocation) {
	if a.extras == nil || a.extras.mobile == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	mob := a.extras.mobile
	m.cancelArrival(mob)
	delete(m.tickets, mob.next)
	delete(m.tickets, mob.used)
}

// sweep gives up the arrivals of clients that have not come. m may be nil.
func (m *mobility) sweep(now clock) {
	if m == nil {
		return
	}
	for t, ar := range m.arrivals.All() {
		if now >= ar.expires {
			m.cancelAt(t, func(current *arrival) bool { return current == ar })
		}
	}
}
