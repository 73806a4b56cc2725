package turnserver

import (
	"bytes"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// transportTCP is REQUESTED-TRANSPORT's value for TCP (RFC 6062 §4.1).
const transportTCP = 6

// connect answers a Connect request (RFC 6062 §5.2). It answers once the connection with the peer is there or has
// failed.
func (r *request) connect() {
	srv := r.w.srv
	attr, ok := r.m.Attributes.Get(stun.AttrXORPeerAddress)
	peer, valid := wire.ParseXORAddress(attr.Value, r.m.TransactionID[:])
	if !ok || !valid || peer.Port == 0 {
		r.fail(stun.CodeBadRequest)
		return
	}
	if !r.alloc.relaysTCP() {
		r.fail(stun.CodeForbidden)
		return
	}
	if code := srv.judgePeer(r.alloc, peer); code != 0 {
		r.fail(code)
		return
	}
	to := destinationAmong(srv.relays.Load().tcp, peer)
	if !to.reaches() {
		srv.counters.count(denyOwnHost)
		r.fail(stun.CodeForbidden)
		return
	}
	if !srv.connects.Take(r.alloc.account.holder, time.Duration(srv.now())) {
		srv.counters.count(peerTooOften)
		r.fail(stun.CodeInsufficientCapacity)
		return
	}
	relay := r.alloc.tcp(&peer)
	switch p, result := srv.peers.addPending(relay, peer); result {
	case outcomeConflict:
		r.fail(stun.CodeConnAlreadyExists)
	case outcomeFull:
		srv.counters.count(peerTooMany)
		r.fail(stun.CodeInsufficientCapacity)
	case outcomeDone:
		later := r.later()
		srv.readers.Go(func() { p.connect(&to, later) }) // the client's stream is one of readers, so Close still waits
	default:
		r.answerOutcome(result)
	}
}

// later copies what it takes to answer the request once its packet and worker serve others.
func (r *request) later() *request {
	return &request{
		c: &r.alloc.home.Load().client, m: &stun.Message{Type: r.m.Type, TransactionID: r.m.TransactionID},
		fingerprint: r.fingerprint, algorithm: r.algorithm, signed: r.signed, keys: r.keys,
	}
}

// connect connects to the peer and answers r.
func (p *peerConn) connect(to *destination, r *request) {
	t := p.relay
	conn, err := t.dial(p.life, to)
	var id connectionID
	ok := false
	if err == nil {
		id, ok = t.srv.peers.offer(p, conn, t.srv.now())
	} else {
		id, ok = p.notReached(dialFailure(err))
	}
	r.w = t.srv.workers.get(t.alloc.shard, 0)
	defer t.srv.workers.put(r.w)
	if !ok {
		r.fail(stun.CodeConnTimeoutOrFailure)
		return
	}
	t.srv.counters.peerConns[clientToPeer].Add(1)
	r.startAnswer(stun.ClassSuccessResponse)
	r.w.res.Add(stun.AttrConnectionID, id[:])
	r.sendAnswer()
}

// connectionID reads CONNECTION-ID.
func (r *request) connectionID() (id connectionID, ok bool) {
	attr, ok := r.m.Attributes.Get(stun.AttrConnectionID)
	if !ok || len(attr.Value) != len(id) {
		return id, false
	}
	return connectionID(attr.Value), true
}

// connectionBind answers a ConnectionBind request (RFC 6062 §5.4). Its stream carries the peer's data from there on.
// For a connection of another user the answer is the same as for one that does not exist.
func (r *request) connectionBind() {
	id, ok := r.connectionID()
	t := r.c.stream
	r.w.srv.mobility.makeRoom(r.c.tuple) // or an allocation would arrive amid the peer's data
	if !ok || t == nil || r.w.shard.find(r.c.tuple) != nil {
		r.fail(stun.CodeBadRequest)
		return
	}
	p, result := r.w.srv.peers.claim(id, r.isOwner, t, r.w.srv.now())
	switch result {
	case outcomeDone:
		t.claimed = p
	case outcomeFull:
		r.w.srv.counters.count(peerTooMany)
		r.fail(stun.CodeInsufficientCapacity)
		return
	default:
		r.fail(stun.CodeBadRequest)
		return
	}
	t.places.carries(&t.clientConnection, true)
	r.startAnswer(stun.ClassSuccessResponse)
	r.complete()
	t.answer = bytes.Clone(r.w.res.Raw) // copyWithPeer sends it, because nothing may be lost from here on
}

// concerned returns the allocation that the request is about, as far as that shows before its credential is verified.
// For most requests it is the one on the five-tuple, or the one that will arrive there. For a ConnectionBind it is the
// one whose peer the request names.
func (r *request) concerned() *allocation {
	switch {
	case r.alloc != nil:
		return r.alloc
	case r.m.Type.Method == stun.MethodAllocate:
		return nil
	case r.m.Type.Method != stun.MethodConnectionBind:
		return r.w.srv.mobility.expected(r.c.tuple)
	}
	id, ok := r.connectionID()
	if p := r.w.srv.peers.named(id); ok && p != nil {
		return p.relay.alloc
	}
	return nil
}
