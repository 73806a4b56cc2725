package signal

import (
	"slices"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// restore makes a session of another process again, as its token says.
func (c *conn) restore(token *auth.Resume, m *wire.Hello) (resumed bool, e *wire.Error) {
	srv := c.srv
	s := newSession(srv, token.Session, token.Ticket)
	s.restored, s.generation, s.oldest = true, token.Generation+1, token.Generation
	s.number = max(token.Number, srv.past.LastNumber(s.id))
	s.endsBy(token.Until) // the greatest age may be less than it was
	if isDue(s.until, time.Now()) {
		return srv.noResume(resumeExpired), nil
	}
	welcome := c.newWelcome(m.ID, s.id, s.ticket, s.until)
	welcome.Resumed = wire.ResumedRestored
	token.In = slices.DeleteFunc(token.In, func(in auth.ResumeRoom) bool { return srv.cfg.KickedFrom(s.ticket, in.ID) })
	asked := srv.restoredName(token)
	s.turn.Lock()
	defer s.turn.Unlock()
	if resumed, e = c.takeUp(s, token, m, asked, welcome); resumed {
		c.sendWelcome(welcome)
	}
	return resumed, e
}

// takeUp does the part of restore that needs mu. The caller holds s.turn.
func (c *conn) takeUp(s *session, token *auth.Resume, m *wire.Hello, asked askedName, welcome *greeting) (resumed bool, e *wire.Error) {
	srv := c.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	switch {
	case srv.draining:
		return false, goingAway()
	case srv.sessions[s.id] != nil || token.Generation < srv.past.SessionFrom(s.id):
		return false, nil // in the meantime
	}
	if e := srv.maySignIn(c, true); e != nil {
		return false, e
	}
	if e := srv.begin(s, asked); e != nil {
		return false, e
	}
	for _, in := range token.In {
		if !srv.past.LeftRoom(s.id, in.ID, token.Number) {
			srv.restoreRoom(s, in)
		}
	}
	srv.listOnline(s, &welcome.Welcome)
	srv.carry(c, s, welcome)
	if m.Resume.Fresh { // mates that came back earlier may have connections with it
		srv.tellMates(s, func(r *room) wire.Message { return &wire.PeerBack{Room: r.id, Session: s.id, Fresh: true} })
	}
	srv.counters.begun.count(sessionRestored)
	return true, nil
}

// restoreRoom puts a session of another process into a room that it was in there, unless the room has died since, or the
// user was kicked from it. The first such session makes the room again. Where rooms of one name are of two minds, the
// greatest term counts. The caller holds mu.
func (srv *Server) restoreRoom(s *session, in auth.ResumeRoom) {
	r := srv.rooms[in.ID]
	if in.Call || r != nil && r.hostless {
		srv.restoreHostless(s, r, in)
		return
	}
	in = srv.withTerm(in, r)
	last, kicked, _ := srv.past.Room(in.ID, in.Made)
	switch {
	case last.Closed, r != nil && in.Made < r.made:
		return // its room has died, and this is another one
	case (r == nil || in.Made > r.made) && slices.Contains(kicked, s.user.id):
		return
	case r != nil && in.Made == r.made && slices.Contains(r.kicked, s.user.id):
		return
	}
	switch {
	case r == nil:
		r = srv.newRoom(in.ID, in.Size)
		r.asBefore(in, last, kicked)
		s.setPart(r, part{in.NoMedia, in.Transports})
		srv.putIn(s, r)
	case in.Made > r.made:
		s.setPart(r, part{in.NoMedia, in.Transports})
		srv.supplant(s, r, in, last, kicked)
	default:
		srv.adopt(r, in)
		if len(r.members) >= r.size && !srv.makePlace(r) {
			return
		}
		s.setPart(r, part{in.NoMedia, in.Transports})
		srv.putIn(s, r)
	}
	srv.restoreHost(s, r, in)
	if now := time.Now(); now.Sub(r.keptAt) >= roomKept {
		srv.keepRoom(r)
	}
}

// restoreHostless is restoreRoom for the room of a call or of a code, whose id nobody chooses: r is the same room, if it is there.
func (srv *Server) restoreHostless(s *session, r *room, in auth.ResumeRoom) {
	if r == nil {
		r = srv.newRoom(in.ID, in.Size)
		r.hostless = true
	}
	r.size = max(r.size, min(in.Size, s.ticket.Seats)) // more may have come to a code since others got their tokens
	if in.Call == r.hostless && len(r.members) < r.size {
		s.setPart(r, part{in.NoMedia, in.Transports})
		srv.putIn(s, r)
	}
}

// withTerm completes what a token of an earlier version says: its room is the one that is known.
func (srv *Server) withTerm(in auth.ResumeRoom, r *room) auth.ResumeRoom {
	if in.Made > 0 {
		return in
	}
	if r != nil {
		in.Made = r.made
		return in
	}
	if in.Made = srv.past.OpenRoom(in.ID); in.Made > 0 {
		return in
	}
	in.Made = srv.past.FirstTerm(in.ID)
	in.Term = in.Made
	return in
}

// asBefore gives a room the state in which another process had it: that of a token, or a later one that is known.
func (r *room) asBefore(in auth.ResumeRoom, last auth.RoomState, kicked []string) {
	r.size, r.made, r.term, r.hostTerm = in.Size, in.Made, in.Term, 0
	r.locked, r.hasWaiting, r.kicked = in.Locked, in.Waiting, kicked
	r.absent = &absentHost{until: time.Now().Add(auth.ResumeTTL)}
	r.keptAt, r.standIn = time.Time{}, false
	if last.Made == in.Made && last.Term >= in.Term {
		r.term, r.locked, r.hasWaiting, r.absent.session = last.Term, last.Locked, last.Waiting, last.Host
	}
}

// adopt changes a room to what a token says that is of a later term than all that is known: a crash can lose the record
// of the last second. The caller holds mu.
func (srv *Server) adopt(r *room, in auth.ResumeRoom) {
	if in.Term <= r.term {
		return
	}
	r.term, r.hasWaiting = in.Term, in.Waiting
	if r.locked != in.Locked {
		r.locked = in.Locked
		srv.tellLocked(r)
	}
	srv.keepRoom(r)
}

// tellLocked tells all members of a lock that none of them has changed.
func (srv *Server) tellLocked(r *room) {
	if r.locked {
		srv.tellRoom(r, &wire.Locked{Room: r.id, By: r.host().id})
	} else {
		srv.tellRoom(r, &wire.Unlocked{Room: r.id, By: r.host().id})
	}
}

// restoreHost makes a session that is back the room's host, if it was. The caller holds mu.
func (srv *Server) restoreHost(s *session, r *room, in auth.ResumeRoom) {
	switch awaits := r.awaitsHost(time.Now()); {
	case awaits && s.id == r.absent.session:
		r.hostTerm = r.term
	case awaits && r.absent.session == "" && in.Host, in.Host && in.Term > r.hostTerm:
		r.hostTerm = in.Term
	default:
		return
	}
	r.absent, r.standIn = nil, false
	if r.host() != s {
		r.putFirst(slices.Index(r.members, s))
		srv.tellRoomBut(s, r, &wire.Host{Room: r.id, Session: s.id})
	}
	srv.keepRoom(r)
}

// supplant puts the room that a session of another process was in into the place of one that somebody has made
// meanwhile. Those who are there are newcomers in it: they stay if newcomers may enter, but nobody of them is host. Those
// who must go do not learn who is back. The caller holds mu.
func (srv *Server) supplant(s *session, r *room, in auth.ResumeRoom, last auth.RoomState, kicked []string) {
	wasLocked := r.locked
	r.newcomers = slices.Clone(r.members)
	r.asBefore(in, last, kicked)
	r.members = slices.Insert(r.members, 0, s)
	s.rooms = append(s.rooms, r)
	for _, other := range slices.Clone(r.waiting) {
		if !r.hasWaiting || slices.Contains(r.kicked, other.user.id) {
			wants := other.partIn(r)
			srv.stopWaiting(other, r)
			srv.turnOut(other, r, wants)
		}
	}
	for _, other := range slices.Clone(r.newcomers) {
		if slices.Contains(r.kicked, other.user.id) || !other.moderates() && (r.locked || r.hasWaiting) {
			wants := other.partIn(r)
			srv.leaveRoom(other, r, wire.ReasonLeave)
			srv.turnOut(other, r, wants)
		}
	}
	for len(r.members) > r.size && srv.makePlace(r) {
	}
	srv.tellRoomBut(s, r, &wire.PeerJoined{Room: r.id, Peer: s.peerIn(r)})
	srv.tellRoomBut(s, r, &wire.Host{Room: r.id, Session: s.id})
	if r.locked != wasLocked {
		srv.tellLocked(r)
	}
	srv.nextTerm(r)
}

// turnOut tells a session that it is not in the room any more, or does not wait for it. It has it wait if it may. wants is the
// part that the session takes there.
func (srv *Server) turnOut(s *session, r *room, wants part) {
	reason := wire.ReasonReturned
	if slices.Contains(r.kicked, s.user.id) {
		reason = wire.ReasonKicked
	}
	s.tell(&wire.Left{Room: r.id, Reason: reason})
	if reason == wire.ReasonReturned && r.hasWaiting && !r.locked && !s.moderates() {
		s.setPart(r, wants)
		if e := srv.knock(s, r, ""); e != nil {
			s.setPart(r, part{})
			srv.counters.errors.count(string(e.Code))
		}
	}
}

// makePlace takes the last of the newcomers out of a full room, because a member of before comes back. It reports false if
// there is none. The caller holds mu.
func (srv *Server) makePlace(r *room) bool {
	if len(r.newcomers) == 0 {
		return false
	}
	s := r.newcomers[len(r.newcomers)-1]
	srv.leaveRoom(s, r, wire.ReasonLeave)
	s.tell(&wire.Left{Room: r.id, Reason: wire.ReasonReturned})
	return true
}
