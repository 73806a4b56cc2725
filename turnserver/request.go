package turnserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// request is one STUN request while it is being answered.
type request struct {
	w           *worker
	c           *client
	m           *stun.Message // if it has an integrity, only with the attributes that this covers
	fingerprint bool          // the answer carries FINGERPRINT because the request did (RFC 8489 §7.3)
	integrity   wire.Integrity
	algorithm   wire.PasswordAlgorithm
	signed      bool // the answer is signed with one of keys
	keys        auth.Keys
	grant       auth.Grant
	charged     holder         // see holder; unset: not known yet
	alloc       *allocation    // on the five-tuple, or of the ticket; or nil
	code        stun.ErrorCode // of the answer; 0: success
}

// knows reports whether this server understands a comprehension-required attribute.
func (s *Server) knows(t stun.AttrType) bool {
	switch t {
	case stun.AttrDontFragment: // a server that cannot heed it must treat it as unknown (RFC 8656 §7.2, §11.2)
		return s.sendsWhole()
	case stun.AttrUsername, stun.AttrUserhash, stun.AttrRealm, stun.AttrNonce, stun.AttrPasswordAlgorithm,
		stun.AttrMessageIntegrity, stun.AttrMessageIntegritySHA256,
		stun.AttrChannelNumber, stun.AttrLifetime, stun.AttrXORPeerAddress, stun.AttrData,
		stun.AttrRequestedAddressFamily, stun.AttrEvenPort, stun.AttrReservationToken, stun.AttrRequestedTransport, stun.AttrXORMappedAddress, stun.AttrXORRelayedAddress,
		stun.AttrConnectionID:
		return true
	default:
		return false
	}
}

// isRefusedEarly reports whether a request is a stranger's Allocate whose challenge mayAnswer would hold back. Such ones
// come in floods, so they cost neither a decoding nor a nonce.
func (w *worker) isRefusedEarly(c *client, pkt []byte) bool {
	const codeSize, attributes = 4, 4
	challenge := wire.HeaderSize + attributes*wire.AttrHeaderSize + codeSize + wire.Pad4(len(w.srv.cfg.Realm)) + wire.NonceSize + len(wire.OfferedAlgorithms)
	if c.conn != nil || binary.BigEndian.Uint16(pkt) != wire.TypeAllocateRequest || len(pkt) >= challenge ||
		!w.srv.answers.UsedUp(sourceOf(c.tuple.Client), time.Duration(w.now())) {
		return false
	}
	w.counters.count(dropAnswerLimit)
	return true
}

// request decodes and answers a request. A packet that does not decode gets no answer (RFC 8489 §6.3).
func (w *worker) request(c *client, pkt []byte) {
	if w.isRefusedEarly(c, pkt) {
		return
	}
	w.req.Raw = append(w.req.Raw[:0], pkt...)
	if err := w.req.Decode(); err != nil {
		w.counters.count(dropMalformed)
		return
	}
	r := request{w: w, c: c, m: &w.req}
	if last := len(r.m.Attributes) - 1; last >= 0 && r.m.Attributes[last].Type == stun.AttrFingerprint {
		if stun.Fingerprint.Check(r.m) != nil {
			w.counters.count(dropMalformed)
			return
		}
		r.fingerprint = true
	}
	r.integrity = wire.CutAtIntegrity(r.m)
	r.alloc = w.shard.find(c.tuple)

	switch r.m.Type.Method {
	case stun.MethodBinding:
		if !r.refuseUnknown() {
			r.fail(stun.CodeBadRequest) // binding() has answered all good ones
		}
	case stun.MethodAllocate:
		r.authenticated(r.limited(r.allocate))
	case stun.MethodRefresh:
		if ticket, ok := r.m.Attributes.Get(attrMobilityTicket); ok {
			r.refreshElsewhere(ticket.Value)
			return
		}
		r.authenticated(r.limited(r.withAllocation(r.refresh)))
	case stun.MethodCreatePermission:
		r.authenticated(r.limited(r.withAllocation(r.createPermission)))
	case stun.MethodChannelBind:
		r.authenticated(r.limited(r.withAllocation(r.channelBind)))
	case stun.MethodConnect:
		r.authenticated(r.limited(r.withAllocation(r.connect)))
	case stun.MethodConnectionBind:
		r.authenticated(r.limited(r.connectionBind))
	default:
		w.counters.count(dropUnexpected) // RFC 8489 §6.3 wants silence for a method that is not supported
	}
}

// authenticated runs do if the request's credentials and attributes are good.
func (r *request) authenticated(do func()) {
	if r.authenticate() && !r.refuseUnknown() {
		do()
	}
}

const (
	requestBursts = 32 // so many seconds' requests may come at once: a browser that joins a call makes and permits many relays
	requestShare  = 8  // an allocation may make this part of its user's requests
)

// limited runs do unless the user, or the allocation on the five-tuple, asks for changes too often. Such a request gets
// no answer, and its client sends it again.
func (r *request) limited(do func()) func() {
	return func() {
		if r.w.srv.mayChange(r) {
			do()
			return
		}
		r.w.counters.count(dropRequestLimit)
	}
}

// mayChange takes a token for a request that changes something. It asks the narrower limit first: a session that asks too often does
// not even have its user looked up.
func (s *Server) mayChange(r *request) bool {
	now := time.Duration(s.now())
	interval := requestShare * time.Second / time.Duration(s.cfg.Limits.RequestsPerSecond)
	// Another user's request is refused later, and takes nothing from the allocation's owner.
	if r.alloc != nil && interval > 0 && r.isOwner(r.alloc) && !r.alloc.requests.Take(now, interval, requestBursts*time.Second) {
		return false
	}
	session := holder{owner: ownerOf(&r.grant)}
	if r.grant.Kind != auth.GrantSession || r.ownsConcerned() {
		return s.requests.Take(r.holder(), now)
	}
	return s.requests.Take(session, now) && (r.holder() == session || s.requests.Take(r.holder(), now))
}

// ownsConcerned reports whether the request is about an allocation of its sender's.
func (r *request) ownsConcerned() bool {
	a := r.concerned()
	return a != nil && r.isOwner(a)
}

// holder returns who the request is charged to: an allocation's owner for what it does with it, also after its session has ended.
func (r *request) holder() holder {
	if r.charged == (holder{}) {
		if r.ownsConcerned() {
			r.charged = r.concerned().account.holder
		} else {
			r.charged = holderOf(r.w.srv.cfg.Scope, &r.grant, r.c)
		}
	}
	return r.charged
}

// withAllocation runs do if the five-tuple has an allocation of this user (RFC 8656 §5).
func (r *request) withAllocation(do func()) func() {
	return func() {
		switch {
		case r.alloc == nil && !r.arrives():
			r.fail(stun.CodeAllocMismatch)
		case !r.isOwner(r.alloc):
			r.fail(stun.CodeWrongCredentials)
		default:
			do()
		}
	}
}

// refuseUnknown answers 420 if there are attributes that the server must understand and does not (RFC 8489 §6.3.1).
func (r *request) refuseUnknown() bool {
	w := r.w
	w.unknown = w.unknown[:0]
	for _, a := range r.m.Attributes {
		if a.Type.Required() && !r.knows(a.Type) && len(w.unknown) < maxUnknown {
			w.unknown = append(w.unknown, a.Type)
		}
	}
	if len(w.unknown) == 0 {
		return false
	}
	r.startAnswer(stun.ClassErrorResponse)
	r.addError(stun.CodeUnknownAttribute)
	_ = w.unknown.AddTo(&w.res)
	r.sendAnswer()
	return true
}

// maxUnknown bounds UNKNOWN-ATTRIBUTES, so that an answer is never much longer than its request.
const maxUnknown = 8

// startAnswer starts an answer in w.res.
func (r *request) startAnswer(class stun.MessageClass) {
	res := &r.w.res
	res.Reset()
	res.Type = stun.MessageType{Method: r.m.Type.Method, Class: class}
	res.TransactionID = r.m.TransactionID
	res.WriteHeader()
}

// fail answers with an error that needs no further attributes.
func (r *request) fail(code stun.ErrorCode) {
	r.startAnswer(stun.ClassErrorResponse)
	r.addError(code)
	r.sendAnswer()
}

// challenge answers 401 or 438 with what the client needs to try again (RFC 8489 §9.2.4).
func (r *request) challenge(code stun.ErrorCode) {
	r.signed = false
	r.startAnswer(stun.ClassErrorResponse)
	r.addError(code)
	r.w.res.Add(stun.AttrRealm, []byte(r.w.srv.cfg.Realm))
	r.w.res.Add(stun.AttrNonce, r.w.nonce(r.c))
	r.w.res.Add(stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms))
	r.sendAnswer()
}

// addError adds ERROR-CODE. Its reason phrase is for people, who know it by the number as well. So it does not make
// answers longer that may go to an address that did not ask (RFC 8489 §14.8 lets it be anything).
func (r *request) addError(code stun.ErrorCode) {
	r.code = code
	if !r.signed {
		_ = stun.ErrorCodeAttribute{Code: code}.AddTo(&r.w.res)
		return
	}
	if code == codeMobilityForbidden {
		_ = stun.ErrorCodeAttribute{Code: code, Reason: []byte("Mobility Forbidden")}.AddTo(&r.w.res)
		return
	}
	// pion/stun has a reason phrase for every other code, so this cannot fail; a test checks that.
	_ = code.AddTo(&r.w.res)
}

// addAddress adds an XOR address attribute.
func (r *request) addAddress(t stun.AttrType, e wire.Endpoint) {
	addXORAddress(&r.w.res, t, e)
}

// addXORAddress adds an XOR address attribute to a message that has its transaction ID.
func addXORAddress(m *stun.Message, t stun.AttrType, e wire.Endpoint) {
	var value [20]byte
	size := wire.XORAddressSize(e.Addr().Is4())
	wire.PutXORAddress(value[:size], e, m.TransactionID[:])
	m.Add(t, value[:size])
}

func (r *request) addUint32(t stun.AttrType, v uint32) {
	var value [4]byte
	binary.BigEndian.PutUint32(value[:], v)
	r.w.res.Add(t, value[:])
}

// complete adds the attributes that come last in an answer.
func (r *request) complete() {
	res := &r.w.res
	if r.signed {
		wire.AddIntegrity(res, r.algorithm.IntegrityType(), r.signingKey(&r.keys))
	}
	if r.fingerprint {
		_ = stun.Fingerprint.AddTo(res)
	}
}

// sendAnswer completes the answer and sends it, if the client may have one.
func (r *request) sendAnswer() {
	r.complete()
	res := &r.w.res
	if !r.signed && !r.w.mayAnswer(r.c, len(res.Raw), len(r.m.Raw)) {
		return
	}
	if r.code != 0 {
		r.w.counters.errors[r.code].Add(1)
	}
	if len(res.Raw) > len(answer{}) {
		r.c.deliver(r.w, res.Raw, notRelayed)
		r.w.flush() // res is used again
		return
	}
	raw := r.w.room(len(res.Raw))
	copy(raw, res.Raw)
	r.c.deliver(r.w, raw, notRelayed)
	r.w.answered()
}

// Alternate is an address of another server that accepts this one's credentials.
type Alternate struct {
	Addr    netip.AddrPort
	Secured bool // for clients that use TLS or DTLS; else for those that use UDP or TCP
}

func validateAlternates(alternates []Alternate) error {
	for i, a := range alternates {
		ip := wire.Canonical(a.Addr.Addr())
		if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || a.Addr.Port() == 0 {
			return fmt.Errorf("alternate server %v is not an address that clients can go to", a.Addr)
		}
		for _, b := range alternates[:i] {
			if a.Secured == b.Secured && ip.Is4() == wire.Canonical(b.Addr.Addr()).Is4() {
				return fmt.Errorf("alternate servers %v and %v are for the same clients", b.Addr, a.Addr)
			}
		}
	}
	return nil
}

// alternate returns the other server for clients of a family, with or without TLS.
func (s *Server) alternate(is4, secured bool) (wire.Endpoint, bool) {
	for _, a := range s.cfg.Alternates {
		if e := wire.EndpointOf(a.Addr); e.Addr().Is4() == is4 && a.Secured == secured {
			return e, true
		}
	}
	return wire.Endpoint{}, false
}

// tryAlternate answers 300 with another server's address (RFC 8489 §10). The address must have the family by which the
// client came; if there is none, tryAlternate reports false. An address of the other family goes with it.
func (r *request) tryAlternate() bool {
	srv, secured := r.w.srv, r.c.tuple.Protocol.Secured()
	is4 := r.c.tuple.Client.Addr().Is4()
	first, ok := srv.alternate(is4, secured)
	if !ok {
		return false
	}
	r.startAnswer(stun.ClassErrorResponse)
	r.addError(stun.CodeTryAlternate)
	r.addAlternate(first)
	if second, ok := srv.alternate(!is4, secured); ok {
		r.addAlternate(second)
	}
	if secured && srv.cfg.AlternateDomain != "" {
		r.w.res.Add(stun.AttrAlternateDomain, []byte(srv.cfg.AlternateDomain))
	}
	r.sendAnswer()
	return true
}

func (r *request) addAlternate(e wire.Endpoint) {
	var value [20]byte
	wire.PutAddress(value[:], e)
	r.w.res.Add(stun.AttrAlternateServer, value[:wire.XORAddressSize(e.Addr().Is4())])
}
