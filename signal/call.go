package signal

import (
	"slices"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

const callIDLength = 12

// call goes from ringing, when room is nil, to answered, and is gone from Server.calls when it is over. Both users
// point to it from its beginning to its end, which makes them busy. Guarded by Server.mu.
type call struct {
	id         string
	caller     *session
	callee     *user
	ringing    []*session // the callee's; none once answered
	ringsUntil time.Time
	answered   *session // the callee's, once answered
	room       *room    // once answered
	data       []byte   // the caller's, for those where it rings; nil: none
	part       part     // that the caller takes in the room
}

func (s *session) call(m *wire.Call) *wire.Error {
	srv := s.srv
	if e := s.takeJoin(); e != nil {
		return e
	}
	id := auth.NewID(srv.cfg.Rand, callIDLength)
	srv.mu.Lock()
	defer srv.mu.Unlock()
	callee := srv.users[m.To]
	switch {
	case s.ticket.Seats > 0:
		return newError(wire.CodeForbidden, "Your ticket is for the room of a code, and for nothing else.")
	case callee == s.user:
		return newError(wire.CodeForbidden, "You cannot call yourself.")
	case callee == nil || !s.sees(callee) && !s.sharesRoom(callee):
		return newError(wire.CodeNoSuchUser, "Nobody of that identifier is online.")
	case callee.call != nil:
		return newError(wire.CodeBusy, "They are in a call.")
	case s.user.call != nil:
		return newError(wire.CodeBusy, "You are in a call.")
	}
	c := &call{id: id, caller: s, callee: callee, ringing: slices.Clone(callee.sessions), ringsUntil: time.Now().Add(wire.RingTimeout), data: m.Data,
		part: partOf(m.Media, m.Transports)}
	srv.calls[id] = c
	srv.ringing = append(srv.ringing, c)
	callee.call, s.user.call = c, c
	s.reply(&wire.Ringing{Ref: m.ID, Call: id, To: callee.wire(), Data: m.Data})
	ring := srv.encode(&wire.Ring{Call: id, From: s.user.wire(), Data: m.Data})
	for _, other := range c.ringing {
		other.tellText(ring)
	}
	return nil
}

// ringAgain rings a session again that has lost its state, if a call rings there. The caller holds mu.
func (srv *Server) ringAgain(s *session) {
	if c := s.user.call; c != nil && slices.Contains(c.ringing, s) {
		s.tell(&wire.Ring{Call: c.id, From: c.caller.user.wire(), Data: c.data})
	}
}

func (s *session) sharesRoom(u *user) bool {
	return slices.ContainsFunc(s.rooms, func(r *room) bool {
		return slices.ContainsFunc(r.members, func(other *session) bool { return other.user == u })
	})
}

// accept puts the caller and the session that answered into a room of two. The session that answered comes second: it
// is the newcomer and makes the offer.
func (s *session) accept(m *wire.Accept) *wire.Error {
	srv := s.srv
	roomID := newRoomID(srv.cfg.Rand)
	srv.mu.Lock()
	defer srv.mu.Unlock()
	c := srv.calls[m.Call]
	switch {
	case c == nil || !slices.Contains(c.ringing, s):
		return noSuchCall()
	case srv.rooms[roomID] != nil:
		return newError(wire.CodeInternal, "No free room id was found; try again.")
	}
	others := srv.encode(&wire.Cancelled{Call: c.id, Reason: wire.CancelAnsweredElsewhere})
	for _, other := range c.ringing {
		if other != s {
			other.tellText(others)
		}
	}
	c.ringing, c.answered, c.data = nil, s, nil
	c.room = srv.newRoom(roomID, 2)
	c.room.call, c.room.hostless = c, true
	c.caller.tell(&wire.Accepted{Call: c.id, Room: roomID})
	s.reply(&wire.Accepted{Ref: m.ID, Call: c.id, Room: roomID})
	c.caller.setPart(c.room, c.part)
	s.setPart(c.room, partOf(m.Media, m.Transports))
	srv.enterRoom(c.caller, c.room, "")
	srv.enterRoom(s, c.room, "")
	return nil
}

func (s *session) decline(m *wire.Decline) *wire.Error {
	srv := s.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	c := srv.calls[m.Call]
	if c == nil || !slices.Contains(c.ringing, s) {
		return noSuchCall()
	}
	srv.forgetCall(c)
	c.caller.tell(&wire.Declined{Call: c.id, Reason: m.Reason})
	s.reply(&wire.Declined{Ref: m.ID, Call: c.id, Reason: m.Reason})
	others := srv.encode(&wire.Cancelled{Call: c.id, Reason: wire.CancelAnsweredElsewhere})
	for _, other := range c.ringing {
		if other != s {
			other.tellText(others)
		}
	}
	return nil
}

func (s *session) cancel(m *wire.Cancel) *wire.Error {
	srv := s.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	c := srv.calls[m.Call]
	if c == nil || c.caller != s || c.room != nil {
		return noSuchCall()
	}
	srv.forgetCall(c)
	s.reply(&wire.Cancelled{Ref: m.ID, Call: c.id, Reason: wire.CancelCancelled})
	srv.tellRinging(c, wire.CancelCancelled)
	return nil
}

func (s *session) hangup(m *wire.Hangup) *wire.Error {
	srv := s.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	c := srv.calls[m.Call]
	if c == nil || c.room == nil || c.caller != s && c.answered != s {
		return noSuchCall()
	}
	other := c.caller
	if other == s {
		other = c.answered
	}
	srv.forgetCall(c)
	srv.takeOut(s, c.room, wire.ReasonHangup)
	srv.takeOut(other, c.room, wire.ReasonHangup)
	s.reply(&wire.HungUp{Ref: m.ID, Call: c.id, Room: c.room.id})
	other.tell(&wire.HungUp{Call: c.id, Room: c.room.id})
	other.tell(&wire.Left{Room: c.room.id, Reason: wire.ReasonHangup})
	return nil
}

// forgetCall ends a call without telling anybody: both users may be called again.
func (srv *Server) forgetCall(c *call) {
	delete(srv.calls, c.id)
	c.caller.user.call, c.callee.call = nil, nil
	if c.room != nil {
		c.room.call = nil
	}
}

// stopRinging ends a call that nobody has answered, and tells both sides why.
func (srv *Server) stopRinging(c *call, reason string) {
	srv.forgetCall(c)
	c.caller.tell(&wire.Cancelled{Call: c.id, Reason: reason})
	srv.tellRinging(c, reason)
}

func (srv *Server) tellRinging(c *call, reason string) {
	data := srv.encode(&wire.Cancelled{Call: c.id, Reason: reason})
	for _, s := range c.ringing {
		s.tellText(data)
	}
}

// dropFromCall takes a session that ends out of its user's call. An answered call has ended with its room already. A
// ringing call ends with its caller, or with the last session where it rings.
func (srv *Server) dropFromCall(c *call, s *session) {
	if c.room != nil {
		return
	}
	c.ringing = slices.DeleteFunc(c.ringing, func(other *session) bool { return other == s })
	if c.caller == s || len(c.ringing) == 0 {
		srv.stopRinging(c, wire.CancelGone)
	}
}

func noSuchCall() *wire.Error {
	return newError(wire.CodeNoSuchCall, "There is no such call, or it is over.")
}
