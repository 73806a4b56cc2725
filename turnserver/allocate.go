package turnserver

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// Lifetimes of an allocation (RFC 8656 §7.2). A client that asks for less than the default gets the default, since RFC
// 8656 §7.2 wants no shorter ones.
const (
	defaultLifetime = 10 * time.Minute
	maxLifetime     = time.Hour
)

// transportUDP is REQUESTED-TRANSPORT's value for UDP: its IANA protocol number.
const transportUDP = 17

// allocate answers an Allocate request (RFC 8656 §7.2).
func (r *request) allocate() {
	if r.alloc != nil {
		r.allocateAgain()
		return
	}
	transport, ok := r.m.Attributes.Get(stun.AttrRequestedTransport)
	if !ok || len(transport.Value) != 4 {
		r.fail(stun.CodeBadRequest)
		return
	}
	srv, tcp := r.w.srv, transport.Value[0] == transportTCP
	switch {
	case tcp && !srv.relaysTCP(), !tcp && transport.Value[0] != transportUDP:
		r.fail(stun.CodeUnsupportedTransProto)
		return
	case tcp && (r.c.stream == nil || r.m.Contains(stun.AttrDontFragment) || r.m.Contains(stun.AttrEvenPort) || r.m.Contains(stun.AttrReservationToken)):
		r.fail(stun.CodeBadRequest) // RFC 6062 §5.1
		return
	}
	want, ok := r.wanted(tcp)
	if !ok {
		return
	}
	if want.mobile, ok = r.wantsTicket(tcp); !ok {
		return
	}
	if want.lifetime, ok = r.lifetime(); !ok {
		return
	}
	if !want.reserved && len(want.addresses[0])+len(want.addresses[1]) == 0 {
		r.fail(want.whyNone())
		return
	}
	if !srv.mayAllocate(&r.grant) {
		r.fail(stun.CodeForbidden)
		return
	}
	if srv.draining.Load() && r.tryAlternate() {
		return
	}
	if a, code := srv.newAllocation(r, &want); a != nil {
		r.grantedAs(a)
	} else {
		r.fail(code)
	}
}

// wanted is what an Allocate request asks for.
type wanted struct {
	tcp       bool // relay TCP, not datagrams
	lifetime  time.Duration
	port      portWish
	addresses [2][]*relayAddress // a relayed address at one of each, the first that has room; empty: none there
	lost      [2]bool            // there is none there because the host has lost it
	both      bool               // one of each family, IPv4 first
	mobile    bool               // the client may move
	reserved  bool               // instead of all these, the port that waits under token
	token     reservationToken
}

// whyNone returns the error for a client that could have no relayed address. One that the host has lost comes back.
func (w *wanted) whyNone() stun.ErrorCode {
	if w.lost != [2]bool{} {
		return stun.CodeInsufficientCapacity
	}
	return stun.CodeAddrFamilyNotSupported
}

// wanted reads the attributes that choose the relayed addresses, or answers 400 or 440 (RFC 8656 §7.2).
func (r *request) wanted(tcp bool) (want wanted, ok bool) {
	want.tcp = tcp
	srv, who := r.w.srv, r.holder()
	relays := srv.relays.Load()
	even, hasEven := r.m.Attributes.Get(stun.AttrEvenPort)
	token, hasToken := r.m.Attributes.Get(stun.AttrReservationToken)
	additional, hasAdditional := r.m.Attributes.Get(wire.AttrAdditionalAddressFamily)
	if !hasAdditional {
		additional, hasAdditional = r.m.Attributes.Get(wire.AttrAdditionalAddressFamilyCoturn)
	}
	hasFamily := r.m.Contains(stun.AttrRequestedAddressFamily)
	if hasEven && len(even.Value) == 1 {
		if want.port = evenPort; even.Value[0]&0x80 != 0 {
			want.port = evenPair
		}
	}
	switch {
	case hasEven && len(even.Value) != 1,
		hasToken && (len(token.Value) != len(want.token) || hasEven || hasFamily || hasAdditional),
		hasAdditional && (len(additional.Value) != 4 || wire.Family(additional.Value[0]) != wire.IPv6 || hasFamily || want.port == evenPair):
		r.fail(stun.CodeBadRequest)
		return want, false
	case hasToken:
		want.reserved, want.token = true, reservationToken(token.Value)
	case hasAdditional:
		want.both = true
		want.addresses = [2][]*relayAddress{srv.relaysFor(who, tcp, wire.IPv4), srv.relaysFor(who, tcp, wire.IPv6)}
		want.lost = [2]bool{relays.lacks(tcp, wire.IPv4), relays.lacks(tcp, wire.IPv6)}
	default:
		f, ok := r.requestedFamily()
		if !ok {
			return want, false
		}
		want.addresses[0], want.lost[0] = srv.relaysFor(who, tcp, f), relays.lacks(tcp, f)
	}
	return want, true
}

// allocateAgain answers an Allocate on a five-tuple that has an allocation. A retransmission gets the same answer
// again.
func (r *request) allocateAgain() {
	a := r.alloc
	if a.transactionID == r.m.TransactionID && r.isOwner(a) {
		r.grantedAs(a)
		return
	}
	r.fail(stun.CodeAllocMismatch)
}

// grantedAs answers with what the server granted to the Allocate that made a.
func (r *request) grantedAs(a *allocation) {
	r.startAnswer(stun.ClassSuccessResponse)
	r.addAddress(stun.AttrXORRelayedAddress, a.first.external)
	if x := a.extras; x != nil {
		if x.second != nil {
			r.addAddress(stun.AttrXORRelayedAddress, x.second.external)
		}
		if x.refused != 0 {
			r.addAddressError(x.refused, x.why)
		}
		if x.token != nil {
			r.w.res.Add(stun.AttrReservationToken, x.token[:])
		}
		if x.mobile != nil {
			r.w.res.Add(attrMobilityTicket, x.mobile.first[:])
		}
	}
	r.addAddress(stun.AttrXORMappedAddress, r.c.tuple.Client)
	r.addUint32(stun.AttrLifetime, a.granted)
	if software := r.w.srv.cfg.Software; software != "" {
		r.w.res.Add(stun.AttrSoftware, []byte(software))
	}
	r.sendAnswer()
}

// addAddressError adds ADDRESS-ERROR-CODE (RFC 8656 §18.12): why there is no relayed address of a family.
func (r *request) addAddressError(f wire.Family, why stun.ErrorCode) {
	value := []byte{byte(f), 0, byte(why / 100), byte(why % 100)}
	if why == stun.CodeAddrFamilyNotSupported {
		value = append(value, "Address Family not Supported"...)
	} else {
		value = append(value, "Insufficient Capacity"...)
	}
	r.w.res.Add(wire.AttrAddressErrorCode, value)
}

// requestedFamily reads REQUESTED-ADDRESS-FAMILY, which is IPv4 unless said otherwise, or answers 440.
func (r *request) requestedFamily() (wire.Family, bool) {
	a, ok := r.m.Attributes.Get(stun.AttrRequestedAddressFamily)
	if !ok {
		return wire.IPv4, true
	}
	if len(a.Value) != 4 {
		r.fail(stun.CodeBadRequest)
		return 0, false
	}
	switch f := wire.Family(a.Value[0]); f {
	case wire.IPv4, wire.IPv6:
		return f, true
	default:
		r.fail(stun.CodeAddrFamilyNotSupported)
		return 0, false
	}
}

// lifetime reads LIFETIME, up to maxLifetime, or answers 400.
func (r *request) lifetime() (time.Duration, bool) {
	a, ok := r.m.Attributes.Get(stun.AttrLifetime)
	if !ok {
		return defaultLifetime, true
	}
	if len(a.Value) != 4 {
		r.fail(stun.CodeBadRequest)
		return 0, false
	}
	return min(time.Duration(binary.BigEndian.Uint32(a.Value))*time.Second, maxLifetime), true
}

// refresh answers a Refresh request (RFC 8656 §8.2): for all relayed addresses, or for the one of the family that it
// names.
func (r *request) refresh() {
	if how, ok := r.refreshing(); ok && r.refreshed(&how) {
		r.sendAnswer()
	}
}

// refreshing is what a Refresh request asks for.
type refreshing struct {
	lifetime time.Duration // 0: to end
	only     *relayed      // nil: all relayed addresses
}

// refreshing reads the attributes of a Refresh, or answers an error.
func (r *request) refreshing() (how refreshing, ok bool) {
	if how.lifetime, ok = r.lifetime(); !ok {
		return how, false
	}
	if r.m.Contains(stun.AttrRequestedAddressFamily) {
		want, ok := r.requestedFamily()
		if !ok {
			return how, false
		}
		if how.only = r.alloc.relayedOf(want); how.only == nil {
			r.fail(stun.CodePeerAddrFamilyMismatch)
			return how, false
		}
	}
	return how, true
}

// refreshed does what a Refresh asks for and begins the answer, or answers 437.
func (r *request) refreshed(how *refreshing) bool {
	a, srv, lifetime := r.alloc, r.w.srv, how.lifetime
	if lifetime == 0 {
		a.endRelayed(how.only)
	} else {
		now := srv.now()
		end := a.born.plus(srv.cfg.Limits.AllocationMaxAge)
		expires := min(now.plus(max(lifetime, defaultLifetime)), end)
		lifetime = max(time.Duration(expires-now), 0)
		if !a.shard.refresh(a, how.only, now, expires) {
			r.fail(stun.CodeAllocMismatch)
			return false
		}
	}
	r.startAnswer(stun.ClassSuccessResponse)
	r.addUint32(stun.AttrLifetime, uint32(lifetime/time.Second))
	return true
}

// sendsWhole reports whether this server can keep routers from fragmenting a datagram to a peer.
func (s *Server) sendsWhole() bool { return len(s.relayLoops) > 0 }

// mayAllocate asks whether a credential that has not expired may still make allocations: a session's may not, once that has
// ended.
func (s *Server) mayAllocate(g *auth.Grant) bool {
	if s.cfg.Revoked != nil && s.cfg.Revoked(g) {
		return false
	}
	return g.Kind != auth.GrantSession || s.cfg.Scope == nil || s.cfg.Scope.SessionLive(g.Session)
}

// loopFor returns the loop that will read the relayed socket which a request asks for. That is the loop that serves the
// client; clients on streams get the loops in turn. It returns nil if there are no loops.
func (s *Server) loopFor(r *request) *loop {
	if r.w.loop != nil || len(s.relayLoops) == 0 {
		return r.w.loop
	}
	return s.relayLoops[s.nextLoop.Add(1)%uint32(len(s.relayLoops))]
}

// newAllocation makes an allocation and starts reading its relayed sockets, or says which error to answer with.
func (s *Server) newAllocation(r *request, want *wanted) (*allocation, stun.ErrorCode) {
	if s.draining.Load() {
		return nil, stun.CodeInsufficientCapacity
	}
	s.mobility.makeRoom(r.c.tuple)
	if r.w.shard.find(r.c.tuple) != nil { // an allocation has just moved here
		return nil, stun.CodeAllocMismatch
	}
	limits := &s.cfg.Limits
	account, stands := s.quota.countAllocation(r.holder(), &r.grant, r.c, limits)
	if stands != noReason {
		s.counters.count(stands)
	}
	switch stands {
	case limitSession, limitUser, limitAddress:
		return nil, stun.CodeAllocQuotaReached
	case limitTotal:
		s.warnFull("turn: the limit of allocations is reached; if this host can carry more, raise limits.allocations, and the files that the process may open",
			"limit", limits.Allocations)
		return nil, stun.CodeInsufficientCapacity
	}
	now, lifetime := s.now(), min(max(want.lifetime, defaultLifetime), limits.AllocationMaxAge)
	a := &allocation{
		shard: r.w.shard, grant: r.grant, account: account, keys: r.keys,
		transactionID: r.m.TransactionID, granted: uint32(lifetime / time.Second), born: now,
	}
	home := &home{client: *r.c}
	a.home.Store(home)
	if !s.openRelayed(r, a, want) {
		s.quota.uncountAllocation(account, &r.grant, r.c, now)
		return nil, stun.CodeInsufficientCapacity
	}
	a.budget = s.quota.budgetFor(account, limits)
	if want.mobile {
		s.mobility.giveFirstTicket(a)
	}
	s.owned.add(a)
	// Others can end it only once it is in the shard. Ending takes back what comes before.
	for rel := range a.live() {
		rel.expires.set(now.plus(lifetime))
		rel.address.publish(a, rel.local.Port)
	}
	if home.conn != nil {
		home.conn.allocationMade(account)
	}
	a.shard.insert(a)
	s.counters.allocations.Add(1)
	err := a.start()
	endedMeanwhile := errors.Is(err, errEndedMeanwhile)
	if !endedMeanwhile && (err != nil || a.addressGone()) {
		if err != nil {
			s.counters.count(failedRelayWatch)
			s.warnFull("turn: a relayed socket cannot be read, and its client gets an error", "error", err)
		}
		a.end()
		s.dropReservation(a)
		return nil, stun.CodeInsufficientCapacity
	}
	if endedMeanwhile || s.isClosed() || !s.mayAllocate(&a.grant) {
		a.end() // the server or the session has ended meanwhile, and could not see this allocation
		s.dropReservation(a)
		return nil, stun.CodeForbidden
	}
	return a, 0
}

// openRelayed gives an allocation its relayed addresses. Of two families it may get only one. It reports false if it
// gets less than the client must have.
func (s *Server) openRelayed(r *request, a *allocation, want *wanted) bool {
	if want.tcp {
		return s.openAt(a, s.listenForPeers, want)
	}
	l := s.loopFor(r)
	if want.reserved {
		reserved, ok := s.reserved.claim(want.token, &a.grant, a.born)
		if ok {
			a.first.relayPort = reserved.port
			a.first.datagrams.moveTo(l)
		}
		return ok
	}
	return s.openAt(a, s.binderFor(l), want)
}

// relayBinder opens the sockets that a loop reads, or without loops those of the portable path.
func relayBinder(l *loop) binder {
	if l == nil {
		return openPortableRelay
	}
	return l.openRelay
}

// openAt opens the wanted ports with bind.
func (s *Server) openAt(a *allocation, bind binder, want *wanted) bool {
	if want.both {
		return s.openBoth(a, bind, want)
	}
	ports, err := s.openPort(want.addresses[0], bind, want.port)
	if err != nil {
		return false
	}
	a.first.relayPort = ports[0]
	if want.port != evenPair {
		return true
	}
	token, ok := s.reserved.keep(&reservation{port: ports[1], grant: a.grant, holder: a.account.holder, expires: a.born.plus(reservationTime)})
	if !ok {
		ports[0].close()
		ports[1].close()
		return false
	}
	a.extras = &extras{token: &token}
	return true
}

// openBoth opens a port at the relay address of each family. If only one can be had, extras say why.
func (s *Server) openBoth(a *allocation, bind binder, want *wanted) bool {
	x := new(extras)
	opened := 0
	for i, addresses := range want.addresses {
		f, why := [...]wire.Family{wire.IPv4, wire.IPv6}[i], stun.CodeAddrFamilyNotSupported
		if want.lost[i] {
			why = stun.CodeInsufficientCapacity
		}
		if len(addresses) > 0 {
			why = stun.CodeInsufficientCapacity
			if ports, err := s.openPort(addresses, bind, want.port); err == nil {
				if opened++; opened == 1 {
					a.first.relayPort = ports[0]
				} else {
					x.second = &relayed{relayPort: ports[0]}
				}
				continue
			}
		}
		x.refused, x.why = f, why
	}
	a.extras = x
	return opened > 0
}

// openPort opens a port, or a pair, at the first of some relay addresses that has room. If none has any, the log says so.
func (s *Server) openPort(addresses []*relayAddress, bind binder, wish portWish) (ports [2]relayPort, err error) {
	for _, r := range addresses {
		if ports, err = r.open(bind, wish); err == nil {
			return ports, nil
		}
		if familyMissing(err) {
			s.LookAgain() // the host has lost the address, and the server does not know yet
		} else if hopeless(err) {
			break
		}
	}
	switch {
	case errors.Is(err, errPortsTaken) && wish != anyPort:
	case errors.Is(err, errPortsTaken):
		s.warnFull("turn: every relay port is taken; widen turn.relay_ports, or add an address to turn.relay_addresses", "address", addresses[0].local)
	default:
		s.counters.count(failedRelayOpen)
		s.warnFull("turn: no relayed socket could be opened", "address", addresses[0].local, "error", err)
	}
	return ports, err
}

// dropReservation gives back the port that was reserved with a.
func (s *Server) dropReservation(a *allocation) {
	if a.extras != nil && a.extras.token != nil {
		if reserved, ok := s.reserved.claim(*a.extras.token, &a.grant, a.born); ok {
			reserved.port.close()
		}
	}
}
