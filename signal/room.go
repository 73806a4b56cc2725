package signal

import (
	"cmp"
	"io"
	"slices"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/socket"
	"example.org/turnpike/signal/wire"
)

// room is a bounded set of sessions, and dies with the last. Guarded by Server.mu.
type room struct {
	id       string
	size     int
	members  []*session // in the order in which they came: the first is host
	call     *call      // the call whose room it is, until that is over
	hostless bool       // a call's room, also after the call, or that of a code: nobody is host

	// made and term are those of auth.RoomState; 0 in a room that nobody hosts. hostTerm is the term of which the host is.
	made, term, hostTerm uint64
	keptAt               time.Time // when Server.past got them last
	absent               *absentHost
	newcomers            []*session // came before the members of another process did, who go before them

	standIn    bool // the host became host while it was away, as all others were
	locked     bool
	hasWaiting bool       // newcomers wait to be let in
	waiting    []*session // in the order in which they came, at most wire.MaxWaiting
	kicked     []string   // users, at most maxKicked
}

func (r *room) has(s *session) bool { return slices.Contains(r.members, s) }

// newRoomID makes an id that can be read aloud, such as k7m-2pq-x9r.
func newRoomID(rand io.Reader) string {
	id := auth.NewID(rand, 9)
	return id[:3] + "-" + id[3:6] + "-" + id[6:]
}

func (s *session) join(m *wire.Join) *wire.Error {
	srv := s.srv
	if e := s.takeJoin(); e != nil {
		return e
	}
	id, create := m.Room, m.Create
	if id == "" {
		id, create = newRoomID(srv.cfg.Rand), true
	}
	if !s.ticket.AllowsRoom(id) {
		return newError(wire.CodeForbidden, "Your ticket does not open this room.")
	}
	if srv.cfg.KickedFrom(s.ticket, id) {
		return wasKicked()
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	r := srv.rooms[id]
	switch {
	case r != nil && r.has(s):
		s.reply(joined(m.ID, r, s))
		return nil
	case r == nil && !create:
		return newError(wire.CodeNotExisting, "There is no such room.")
	case r != nil && m.Room == "":
		return newError(wire.CodeInternal, "No free room id was found; try again.")
	case r != nil && slices.Contains(r.waiting, s):
		return srv.knockAgain(s, r, m.ID, partOf(m.Media, m.Transports))
	case len(s.rooms)+len(s.waits) >= srv.cfg.Limits.RoomsPerSession:
		return atLimit("rooms", "You are in as many rooms as you may be; leave one first.")
	case r == nil && s.ticket.Seats > 0:
		r = srv.newRoom(id, s.ticket.Seats)
		r.hostless = true
		s.setPart(r, partOf(m.Media, m.Transports))
		srv.enterRoom(s, r, m.ID)
		return nil
	case r == nil:
		r = srv.newRoom(id, cmp.Or(m.Size, wire.DefaultRoomSize))
		r.hasWaiting = m.Waiting
		r.made = srv.past.FirstTerm(id)
		r.term, r.hostTerm = r.made, r.made
		s.setPart(r, partOf(m.Media, m.Transports))
		srv.enterRoom(s, r, m.ID)
		srv.keepRoom(r)
		return nil
	}
	r.size = max(r.size, s.ticket.Seats) // the maker of a code may let more come
	s.setPart(r, partOf(m.Media, m.Transports))
	e := srv.letIn(s, r, m.ID)
	if e != nil {
		s.setPart(r, part{})
	}
	return e
}

// letIn lets a newcomer into a room that is there, or keeps it out, or has it wait.
func (srv *Server) letIn(s *session, r *room, ref string) *wire.Error {
	full, moderates := len(r.members) >= r.size, s.moderates()
	absent := r.absentBefore(s)
	switch {
	case slices.Contains(r.kicked, s.user.id):
		return wasKicked()
	case absent != nil && absent.user == s.user && (full || !moderates && (r.locked || r.hasWaiting)):
		srv.takeSeat(s, absent, r, ref)
		return nil
	case r.locked && !moderates:
		return newError(wire.CodeLocked, "The room is locked.")
	case full && absent == nil:
		return r.isFull()
	case r.hasWaiting && !moderates:
		return srv.knock(s, r, ref)
	case full:
		srv.makeWay(absent, r)
	}
	srv.enterRoom(s, r, ref)
	return nil
}

func wasKicked() *wire.Error {
	return newError(wire.CodeKicked, "You were taken out of this room and cannot come back.")
}

func (srv *Server) newRoom(id string, size int) *room {
	r := &room{id: id, size: size}
	srv.rooms[id] = r
	return r
}

// enterRoom puts s into r, and tells s and those who are there. ref is the id of the request that this answers; empty
// if it answers none.
func (srv *Server) enterRoom(s *session, r *room, ref string) {
	srv.putIn(s, r)
	if m := joined(ref, r, s); ref != "" {
		s.reply(m)
	} else {
		s.tell(m)
	}
}

// putIn puts s into r, and tells only those who are there.
func (srv *Server) putIn(s *session, r *room) {
	peer := s.peerIn(r)
	peer.Away = false // nobody here was told
	srv.tellRoom(r, &wire.PeerJoined{Room: r.id, Peer: peer})
	r.members = append(r.members, s)
	s.rooms = append(s.rooms, r)
	srv.roomsChanged(s)
}

func joined(ref string, r *room, s *session) *wire.Joined {
	m := &wire.Joined{Ref: ref, Room: r.id, Size: r.size, Locked: r.locked, Waiting: r.hasWaiting, Peers: []wire.Peer{}, Knocks: r.knocks(s)}
	if host := r.host(); host != nil {
		m.Host = host.id
	}
	for _, other := range r.members {
		if other != s {
			m.Peers = append(m.Peers, other.peerIn(r))
		}
	}
	return m
}

func (s *session) leave(m *wire.Leave) *wire.Error {
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	r := s.srv.rooms[m.Room]
	switch {
	case r != nil && r.has(s):
		s.srv.leaveRoom(s, r, wire.ReasonLeave)
	case r != nil && slices.Contains(r.waiting, s):
		s.srv.stopWaiting(s, r)
	default:
		return notInRoom()
	}
	s.reply(&wire.Left{Ref: m.ID, Room: r.id, Reason: wire.ReasonLeave})
	return nil
}

// leaveRoom takes s out of r and tells those who stay, also who is host now. If one of the two leaves the room of a
// call, the call is over.
func (srv *Server) leaveRoom(s *session, r *room, reason string) {
	host := r.host()
	srv.takeOut(s, r, reason)
	if r.call != nil {
		srv.forgetCall(r.call)
	}
	if reason != wire.ReasonShutdown {
		srv.tellRoom(r, &wire.PeerLeft{Room: r.id, Session: s.id, Reason: reason})
		srv.tellHost(r, host)
	}
}

// takeOut removes s from r in silence. At a planned stop it notes nothing: the next process finds the room as it was.
func (srv *Server) takeOut(s *session, r *room, reason string) {
	isOther := func(other *session) bool { return other == s }
	wasHost := r.host() == s
	r.members = slices.DeleteFunc(r.members, isOther)
	r.newcomers = slices.DeleteFunc(r.newcomers, isOther)
	if wasHost {
		r.passHost()
	}
	srv.forgetMember(s, r)
	isOver := len(r.members) == 0
	if isOver {
		delete(srv.rooms, r.id)
		srv.dismissWaiting(r)
	}
	switch {
	case reason == wire.ReasonShutdown:
	case isOver:
		srv.nextTerm(r)
	case wasHost:
		srv.hostChanged(r)
	}
}

// forgetMember has a session forget a room that it is not in any more.
func (srv *Server) forgetMember(s *session, r *room) {
	s.rooms = slices.DeleteFunc(s.rooms, func(other *room) bool { return other == r })
	s.setPart(r, part{})
	if !s.ended && srv.resumes() {
		srv.past.LeaveRoom(s.id, r.id, s.number)
	}
	srv.roomsChanged(s)
}

func (srv *Server) tellRoom(r *room, m wire.Message) { srv.tellRoomBut(nil, r, m) }

func (srv *Server) tellRoomBut(but *session, r *room, m wire.Message) {
	if len(r.members) == 0 {
		return
	}
	text := share(srv.encode(m))
	for _, s := range r.members {
		if s != but {
			s.tellShared(text)
		}
	}
}

// signal forwards a description or candidates to a room mate. Their addresses enter the mate's scope first: the mate's
// client asks for permissions as soon as it has the message. A session cannot signal to itself, or it could widen its
// own scope alone. If signal returns the mate's socket, the caller is its writer.
func (s *session) signal(m *wire.Signal) (mate *socket.Conn, e *wire.Error) {
	srv := s.srv
	addrs, names := payloadAddrs(&m.Payload)
	data := wire.EncodeForward(m.Room, s.id, &m.Payload)
	srv.counters.scope.countN(scopeHostName, names)

	srv.mu.Lock()
	defer srv.mu.Unlock()
	to := s.mate(m.Room, m.To)
	if to == nil {
		return nil, newError(wire.CodeNotInRoom, "You and the receiver must both be in this room.")
	}
	if len(addrs) > 0 {
		ignored := to.scope.note(s.id, addrs, time.Now(), to.hasMate)
		srv.counters.scope.countN(scopeFull, ignored)
	}
	return to.enqueue(data), nil
}

// hasMate reports whether a session shares a room with s.
func (s *session) hasMate(id string) bool {
	return slices.ContainsFunc(s.rooms, func(r *room) bool {
		return slices.ContainsFunc(r.members, func(other *session) bool { return other.id == id })
	})
}

// mate finds another session in a room that s is in; nil: there is none. That is done for every message, and is cheaper
// than looking in the maps of all rooms and sessions.
func (s *session) mate(room, id string) *session {
	for _, r := range s.rooms {
		if r.id != room {
			continue
		}
		for _, to := range r.members {
			if to != s && to.id == id {
				return to
			}
		}
	}
	return nil
}
