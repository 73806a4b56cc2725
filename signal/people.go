package signal

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// SessionInfo tells operators of a session.
type SessionInfo struct {
	Session, User, Name string
	Role                auth.Role
	Since               time.Time // when this process first had it
	Address             string    // of the client, as limits count it: an IPv4 address or an IPv6 /64
	Away                bool      // it has no connection at the moment
	Rooms               []string  // sorted
}

// RoomInfo tells operators of a room.
type RoomInfo struct {
	Room            string
	Size            int
	Host            string // a session; empty: nobody
	Locked, Waiting bool
	Sessions        []string // in the order in which they came
}

// SessionList returns all sessions, sorted by user and time. Nobody waits for the lock until all are listed.
func (srv *Server) SessionList() []SessionInfo {
	all := srv.allSessions()
	list := make([]SessionInfo, 0, len(all))
	for some := range slices.Chunk(all, sweptAtOnce) {
		list = srv.appendInfo(list, some)
	}
	slices.SortFunc(list, func(a, b SessionInfo) int {
		return cmp.Or(cmp.Compare(a.User, b.User), a.Since.Compare(b.Since), cmp.Compare(a.Session, b.Session))
	})
	return list
}

func (srv *Server) allSessions() []*session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return slices.AppendSeq(make([]*session, 0, len(srv.sessions)), maps.Values(srv.sessions))
}

func (srv *Server) appendInfo(list []SessionInfo, some []*session) []SessionInfo {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, s := range some {
		if !s.ended {
			list = append(list, s.info())
		}
	}
	return list
}

// info returns what operators may know of a session. The caller holds mu.
func (s *session) info() SessionInfo {
	info := SessionInfo{
		Session: s.id, User: s.user.id, Name: s.user.name, Role: s.ticket.Role, Since: s.since, Away: s.away != nil, Rooms: []string{},
	}
	switch {
	case s.conn != nil:
		info.Address = clientText(s.conn.use.prefix)
	case s.away != nil:
		info.Address = clientText(s.away.use.prefix)
	}
	for _, r := range s.rooms {
		info.Rooms = append(info.Rooms, r.id)
	}
	slices.Sort(info.Rooms)
	return info
}

// RoomList returns all rooms, sorted by name, as SessionList does.
func (srv *Server) RoomList() []RoomInfo {
	all := srv.allRooms()
	list := make([]RoomInfo, 0, len(all))
	for some := range slices.Chunk(all, sweptAtOnce) {
		list = srv.appendRooms(list, some)
	}
	slices.SortFunc(list, func(a, b RoomInfo) int { return cmp.Compare(a.Room, b.Room) })
	return list
}

func (srv *Server) allRooms() []*room {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return slices.AppendSeq(make([]*room, 0, len(srv.rooms)), maps.Values(srv.rooms))
}

func (srv *Server) appendRooms(list []RoomInfo, some []*room) []RoomInfo {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, r := range some {
		if len(r.members) == 0 { // it died meanwhile
			continue
		}
		list = append(list, r.info())
	}
	return list
}

// info returns what operators may know of a room. The caller holds mu.
func (r *room) info() RoomInfo {
	info := RoomInfo{Room: r.id, Size: r.size, Locked: r.locked, Waiting: r.hasWaiting}
	if host := r.host(); host != nil {
		info.Host = host.id
	}
	for _, s := range r.members {
		info.Sessions = append(info.Sessions, s.id)
	}
	return info
}

// FindRoom returns one room and the sessions in it, in the order in which they came.
func (srv *Server) FindRoom(id string) (info RoomInfo, sessions []SessionInfo, found bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	r := srv.rooms[id]
	if r == nil {
		return info, nil, false
	}
	for _, s := range r.members {
		sessions = append(sessions, s.info())
	}
	return r.info(), sessions, true
}

// EndUser is EndWhere for the sessions of one user, and returns how many it ended. user is in auth.User's wire form.
func (srv *Server) EndUser(user string, match func(auth.Ticket) bool) (ended int) {
	all := srv.sessionsOf(user, match)
	for _, s := range all {
		srv.endForGood(s)
	}
	return len(all)
}

// sessionsOf returns the sessions of a user whose tickets match. It calls match with no lock held.
func (srv *Server) sessionsOf(user string, match func(auth.Ticket) bool) []*session {
	srv.mu.Lock()
	var all []*session
	if u := srv.users[user]; u != nil {
		all = slices.Clone(u.sessions)
	}
	srv.mu.Unlock()
	return slices.DeleteFunc(all, func(s *session) bool {
		ticket, _ := s.terms()
		return !match(ticket)
	})
}

// KickUser takes the sessions of a user that Config.KickedFrom keeps out of a room out of it, and ends their relays. It
// returns how many were in the room, or waited for it.
func (srv *Server) KickUser(user, room string) int {
	all := srv.sessionsOf(user, func(t auth.Ticket) bool { return srv.cfg.KickedFrom(t, room) })
	kicked, waited := srv.kickSessions(all, room)
	for _, s := range kicked {
		srv.cfg.EndRelays(s.id)
	}
	return len(kicked) + waited
}

// kickSessions does the part of KickUser that needs mu.
func (srv *Server) kickSessions(all []*session, room string) (kicked []*session, waited int) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	r := srv.rooms[room]
	if r == nil {
		return nil, 0
	}
	return srv.putOut(r, func(s *session) bool { return slices.Contains(all, s) })
}

// putOut takes the sessions that match out of a room that they are in or wait for. The relays of those that were in it
// must end after this turn. The caller holds mu.
func (srv *Server) putOut(r *room, match func(*session) bool) (kicked []*session, waited int) {
	for _, s := range slices.Clone(r.members) {
		if !match(s) {
			continue
		}
		kicked = append(kicked, s)
		srv.leaveRoom(s, r, wire.ReasonKicked)
		s.tell(&wire.Left{Room: r.id, Reason: wire.ReasonKicked})
		s.scope = scope{}
	}
	for _, s := range slices.Clone(r.waiting) {
		if match(s) {
			srv.stopWaiting(s, r)
			s.tell(&wire.Left{Room: r.id, Reason: wire.ReasonKicked})
			waited++
		}
	}
	return kicked, waited
}
