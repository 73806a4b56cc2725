package turnserver

import (
	"container/list"
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"example.org/turnpike/turnserver/wire"
)

// connectionID names a connection with a peer (RFC 6062 §6.2.1). It is random, and only the allocation's owner can use
// it.
type connectionID [4]byte

// peerConn is a TCP connection with a peer. It is pending while it is being made, and while it waits for a stream of
// the client's to claim it. That stream then carries its data.
type peerConn struct {
	// Static after addPending.
	relay *tcpRelay
	peer  wire.Endpoint   // as the client knows it
	life  context.Context // ends with the connection
	die   context.CancelFunc

	halfClosed atomic.Bool  // one side sends no more
	deadlines  [2]time.Time // of writes; each direction's is owned by the goroutine that copies that way

	// Guarded by Server.peers.mu, but conn and client are static once they are set.
	over    bool
	place   *list.Element // among the pending; nil: it is none
	conn    net.Conn      // nil while it is being made
	id      connectionID  // while it waits
	expires clock         // likewise
	client  *stream       // that has claimed it
}

// peerConns are the TCP connections with peers, of the whole server: the stream that claims one may come to another
// listener than its allocation's.
type peerConns struct {
	// Static after construction.
	limit, ofAllocation, ofOwner int // of pending
	claimedOfOwner               int

	// Guarded by mu, as are the connections themselves. It is taken after shard.mu or alone.
	mu             sync.Mutex
	pending        list.List // of *peerConn, the oldest first
	pendingByOwner map[holder]int
	waiting        map[connectionID]*peerConn
	claimed        int // that have not ended
	claimedByOwner map[holder]int
	claimedByRange map[userRange]int // of REST credentials, around their IPv6 sources
}

func newPeerConns(l *Limits) peerConns {
	return peerConns{
		limit: l.Openings, ofAllocation: l.PendingConnectionsPerAllocation, ofOwner: l.PendingConnectionsPerUser, claimedOfOwner: l.PeerConnectionsPerUser,
		pendingByOwner: make(map[holder]int), waiting: make(map[connectionID]*peerConn),
		claimedByOwner: make(map[holder]int), claimedByRange: make(map[userRange]int),
	}
}

// addPending makes a pending connection with a peer, unless there is one already: a conflict. If all owners together
// have too many, the oldest ends. So an owner that floods the server pushes out mostly connections of its own.
func (s *peerConns) addPending(t *tcpRelay, peer wire.Endpoint) (*peerConn, outcome) {
	p, _, result := s.addOrMeet(t, peer, nil, 0)
	return p, result
}

// addOrMeet is addPending for a connection that the peer has made. If a connection with this peer is just being made, it
// meets that one, and waits in its place. They have the same addresses and ports, so the host lets only one of them be.
func (s *peerConns) addOrMeet(t *tcpRelay, peer wire.Endpoint, came net.Conn, now clock) (p *peerConn, met bool, result outcome) {
	p = &peerConn{relay: t, peer: peer}
	s.mu.Lock()
	switch {
	case t.closed:
		s.mu.Unlock()
		return nil, false, outcomeEnded
	case t.conns[peer] != nil:
		if met = came != nil && t.conns[peer].conn == nil; met {
			s.waitLocked(t.conns[peer], came, now)
		}
		s.mu.Unlock()
		return nil, met, outcomeConflict
	case s.pendingOf(t.alloc) >= s.ofAllocation || s.pendingByOwner[p.holder()] >= s.ofOwner:
		s.mu.Unlock()
		return nil, false, outcomeFull
	}
	p.life, p.die = context.WithCancel(context.Background())
	t.conns[peer] = p
	t.pending++
	s.pendingByOwner[p.holder()]++
	p.place = s.pending.PushBack(p)
	var oldest *peerConn
	if s.pending.Len() > s.limit {
		oldest = s.pending.Front().Value.(*peerConn)
	}
	s.mu.Unlock()
	if oldest != nil {
		oldest.end(peerCrowdedOut)
	}
	return p, false, outcomeDone
}

func (p *peerConn) holder() holder { return p.relay.alloc.account.holder }

// pendingOf counts the pending connections of an allocation, of both families. The caller holds mu.
func (s *peerConns) pendingOf(a *allocation) (n int) {
	for r := range a.live() {
		if r.tcp != nil {
			n += r.tcp.pending
		}
	}
	return n
}

// offer makes an established connection wait for the client, under an ID. It closes conn if p has ended meanwhile, or if
// the peer has come itself: then the ID is that connection's.
func (s *peerConns) offer(p *peerConn, conn net.Conn, now clock) (id connectionID, ok bool) {
	s.mu.Lock()
	unused := p.over || p.conn != nil
	if !unused {
		s.waitLocked(p, conn, now)
	}
	id, ok = p.id, !p.over
	s.mu.Unlock()
	if unused {
		reset(conn)
	}
	return id, ok
}

// waitLocked makes an established connection wait, under a new ID. The caller holds mu.
func (s *peerConns) waitLocked(p *peerConn, conn net.Conn, now clock) {
	for {
		if _, _ = rand.Read(p.id[:]); s.waiting[p.id] == nil { // which never fails
			break
		}
	}
	p.conn, p.expires = conn, now.plus(bindTime)
	s.waiting[p.id] = p
}

// named returns the connection that waits under id, or nil.
func (s *peerConns) named(id connectionID) *peerConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting[id]
}

// claim hands the connection that waits under id to a client's stream, once and in time, unless its owner has as many
// as it may.
func (s *peerConns) claim(id connectionID, mayHave func(*allocation) bool, by *stream, now clock) (*peerConn, outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.waiting[id]
	if p == nil || now >= p.expires || !mayHave(p.relay.alloc) {
		return nil, outcomeEnded
	}
	if s.ownerIsFullLocked(p.holder()) {
		return nil, outcomeFull
	}
	s.removePending(p)
	s.countClaimedLocked(p.holder(), 1)
	p.client = by
	return p, outcomeDone
}

// ownerIsFullLocked reports whether an owner has as many claimed connections as it may, in one of the ranges around its
// source: four times as many in each as in the one before. The caller holds mu.
func (s *peerConns) ownerIsFullLocked(h holder) bool {
	if s.claimedByOwner[h] >= s.claimedOfOwner {
		return true
	}
	for i, r := range h.wider() {
		if s.claimedByRange[r] >= s.claimedOfOwner<<(2*(i+1)) {
			return true
		}
	}
	return false
}

// countClaimedLocked counts one claimed connection more or less. The caller holds mu.
func (s *peerConns) countClaimedLocked(h holder, more int) {
	s.claimed += more
	if s.claimedByOwner[h] += more; s.claimedByOwner[h] == 0 {
		delete(s.claimedByOwner, h)
	}
	for _, r := range h.wider() {
		if s.claimedByRange[r] += more; s.claimedByRange[r] == 0 {
			delete(s.claimedByRange, r)
		}
	}
}

// removePending takes a connection out of the pending ones. The caller holds mu.
func (s *peerConns) removePending(p *peerConn) {
	if p.place == nil {
		return
	}
	s.pending.Remove(p.place)
	p.place = nil
	p.relay.pending--
	if s.pendingByOwner[p.holder()]--; s.pendingByOwner[p.holder()] == 0 {
		delete(s.pendingByOwner, p.holder())
	}
	if p.conn != nil {
		delete(s.waiting, p.id)
	}
}

// closeRelay keeps a relayed address from making more connections, and returns those that it has for the caller to end.
func (s *peerConns) closeRelay(t *tcpRelay) (left []*peerConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.closed = true
	for _, p := range t.conns {
		left = append(left, p)
	}
	return left
}

// end closes the connection with the peer, and the client's. It counts why, unless that is noReason or the connection
// has ended before.
func (p *peerConn) end(why reason) {
	p.relay.srv.peers.mu.Lock()
	p.endLocked(why)
}

// notReached ends a connection that could not be made. If the peer has come itself, the connection stays, and notReached
// returns its ID.
func (p *peerConn) notReached(why reason) (id connectionID, met bool) {
	s := &p.relay.srv.peers
	s.mu.Lock()
	if p.conn != nil && !p.over {
		defer s.mu.Unlock()
		return p.id, true
	}
	p.endLocked(why)
	return id, false
}

// endLocked is end for a caller that holds mu, which endLocked releases.
func (p *peerConn) endLocked(why reason) {
	s := &p.relay.srv.peers
	if p.over {
		s.mu.Unlock()
		return
	}
	p.over = true
	s.removePending(p)
	delete(p.relay.conns, p.peer)
	conn, client := p.conn, p.client
	if client != nil {
		s.countClaimedLocked(p.holder(), -1)
	}
	s.mu.Unlock()
	if why != noReason {
		p.relay.srv.counters.count(why)
	}
	p.die()
	if conn != nil {
		_ = conn.Close()
	}
	if client != nil {
		client.close()
	}
}

// endExpired ends the connections that no stream has claimed in time.
func (s *peerConns) endExpired(now clock) {
	var expired []*peerConn
	s.mu.Lock()
	for _, p := range s.waiting {
		if now >= p.expires {
			expired = append(expired, p)
		}
	}
	s.mu.Unlock()
	for _, p := range expired {
		p.end(peerUnclaimed)
	}
}

// list returns the peers of a relayed address whose connections carry data, and counts the pending connections.
func (s *peerConns) list(t *tcpRelay) (carrying []netip.AddrPort, pending int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for peer, p := range t.conns {
		if p.client != nil {
			carrying = append(carrying, peer.AddrPort())
		}
	}
	return carrying, t.pending
}
