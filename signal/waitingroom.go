package signal

import (
	"slices"

	"example.org/turnpike/signal/wire"
)

// A room with a waiting room lets in moderators and admins. All other sessions wait: they are outside of the room, but
// known to it. They are admitted or refused, give up, or get word that the room has died. A waiting session is in
// room.waiting, and the room in session.waits; both are guarded by Server.mu.

// knock has s wait for r, and tells those with host powers. If s waits already, it is only answered. ref is the id of the
// request that this answers; empty if it answers none: then it is not the turn of s.
func (srv *Server) knock(s *session, r *room, ref string) *wire.Error {
	if !slices.Contains(r.waiting, s) {
		if len(r.waiting) >= wire.MaxWaiting {
			return newError(wire.CodeFull, "As many people wait to be let in as may.")
		}
		r.waiting = append(r.waiting, s)
		s.waits = append(s.waits, r)
		srv.tellHosts(r, &wire.Knock{Room: r.id, Peer: s.peerIn(r)}, nil)
	}
	if m := (&wire.Waiting{Ref: ref, Room: r.id}); ref != "" {
		s.reply(m)
	} else {
		s.tell(m)
	}
	return nil
}

func (s *session) admit(m *wire.Admit) *wire.Error {
	srv := s.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	r, other, e := s.waitingFor(m.Room, m.Session)
	if e != nil {
		return e
	}
	if len(r.members) >= r.size {
		absent := r.absentBefore(other)
		if absent == nil {
			return r.isFull()
		}
		srv.makeWay(absent, r)
	}
	r.forgetWaiting(other)
	s.reply(&wire.Admitted{Ref: m.ID, Room: r.id, Session: other.id})
	srv.tellHosts(r, &wire.Admitted{Room: r.id, Session: other.id}, s)
	srv.enterRoom(other, r, "")
	return nil
}

func (s *session) turnAway(m *wire.Refuse) *wire.Error {
	srv := s.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	r, other, e := s.waitingFor(m.Room, m.Session)
	if e != nil {
		return e
	}
	r.forgetWaiting(other)
	other.setPart(r, part{})
	s.reply(&wire.Refused{Ref: m.ID, Room: r.id, Session: other.id})
	srv.tellHosts(r, &wire.Refused{Room: r.id, Session: other.id}, s)
	other.tell(&wire.Left{Room: r.id, Reason: wire.ReasonRefused})
	return nil
}

// waitingFor finds a session that waits for a room that s moderates.
func (s *session) waitingFor(room, id string) (*room, *session, *wire.Error) {
	r, e := s.moderated(room)
	if e != nil {
		return nil, nil, e
	}
	other := s.srv.sessions[id]
	if other == nil || !slices.Contains(r.waiting, other) {
		return nil, nil, newError(wire.CodeNotInRoom, "They do not wait for this room.")
	}
	return r, other, nil
}

// stopWaiting ends the waiting of s, and tells those with host powers.
func (srv *Server) stopWaiting(s *session, r *room) {
	r.forgetWaiting(s)
	s.setPart(r, part{})
	srv.tellHosts(r, &wire.KnockOver{Room: r.id, Session: s.id}, nil)
}

func (r *room) forgetWaiting(s *session) {
	r.waiting = slices.DeleteFunc(r.waiting, func(other *session) bool { return other == s })
	s.waits = slices.DeleteFunc(s.waits, func(other *room) bool { return other == r })
}

// dismissWaiting tells all sessions that wait for a room that it has died.
func (srv *Server) dismissWaiting(r *room) {
	for len(r.waiting) > 0 {
		s := r.waiting[0]
		r.forgetWaiting(s)
		s.setPart(r, part{})
		s.tell(&wire.Left{Room: r.id, Reason: wire.ReasonClosed})
	}
}

// knocks lists the sessions that wait, if s may let them in.
func (r *room) knocks(s *session) (peers []wire.Peer) {
	if !r.hasPowers(s) {
		return nil
	}
	for _, other := range r.waiting {
		peers = append(peers, other.peerIn(r))
	}
	return peers
}
