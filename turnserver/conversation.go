package turnserver

import (
	"slices"
	"time"

	"example.org/turnpike/turnserver/wire"
)

// A conversation is a flow without a channel: a peer that the client sends indications to. Only the sink has a use for
// it. The sockets relay what the client sends to any number of peers.

const (
	// mostConversations bounds those of an allocation: ICE tries every pair of candidates.
	mostConversations = 32
	// unanswered is how long a conversation without a packet from the peer keeps its place, if another wants it. ICE
	// has then found a pair that works, or soon gives up. The kernel forwards nothing of a conversation before its answer.
	unanswered = 10 * time.Second
)

// converse tells the sink of a peer that the client sends indications to. Such a flow lasts as long as a permission
// that nobody refreshes. The first indication after that makes another flow.
func (s *shard) converse(a *allocation, peer *destination, now clock) {
	if s.flows.queue == nil || a.home.Load().tuple.Protocol != wire.UDP || now < a.conversationsFullUntil.at() {
		return
	}
	if f, ok := s.flows.fromPeer.Load(peerKey{a.relayedTo(&peer.endpoint).local, peer.endpoint}); ok && !f.over(now) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, before := a.permission(peer.endpoint.IP), a.flowTo(peer.endpoint)
	switch {
	case !s.has(a) || p == nil || before != nil && !before.over(now):
		return // it has changed meanwhile
	case !peer.reaches():
		a.conversationsFullUntil.set(now.plus(time.Second))
		return
	case len(a.flows)-a.channels() >= mostConversations:
		a.conversationsFullUntil.set(now.plus(time.Second))
		s.flows.queue.later(func() { s.endUnanswered(a) }) // the sink must say which these are
		return
	}
	s.startFlow(&flow{alloc: a, home: a.home.Load(), peer: *peer, permission: p}, now.plus(permissionLifetime))
}

// hear notes that a packet of the flow's peer has come.
func (f *flow) hear() {
	if !f.heard.Load() { // most often it has; then no other processor need fetch the memory
		f.heard.Store(true)
	}
}

// isUnanswered reports whether a flow is a conversation that has waited for an answer in vain, as far as the sockets
// know.
func (f *flow) isUnanswered(now clock) bool {
	born := f.expires.at() - clock(permissionLifetime)
	return f.channel == 0 && !f.heard.Load() && now >= born.plus(unanswered)
}

// endUnanswered makes room for other conversations. The sink's goroutine calls it, which holds no lock.
func (s *shard) endUnanswered(a *allocation) {
	now := s.srv.now()
	s.mu.Lock()
	found := slices.Clone(a.flows)
	s.mu.Unlock()
	for _, f := range found {
		if f.isUnanswered(now) && s.flows.queue.sink.hasHeard(f) {
			f.hear()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.has(a) {
		return
	}
	a.flows = slices.DeleteFunc(a.flows, func(f *flow) bool {
		if !f.isUnanswered(now) || !slices.Contains(found, f) {
			return false
		}
		s.removeFlow(f)
		return true
	})
}
