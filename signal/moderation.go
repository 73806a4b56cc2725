package signal

import (
	"log/slog"
	"slices"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// maxKicked bounds the users that a room remembers as kicked; it forgets the oldest first.
const maxKicked = 1024

// moderates reports whether the session's role gives it host powers in every room that it is in.
func (s *session) moderates() bool {
	return s.ticket.Role == auth.RoleModerator || s.ticket.Role == auth.RoleAdmin
}

// moderate acts on requests that need host powers.
func (s *session) moderate(m wire.ClientMessage) *wire.Error {
	switch m := m.(type) {
	case *wire.Lock:
		return s.lock(m)
	case *wire.Unlock:
		return s.unlock(m)
	case *wire.Kick:
		return s.kick(m)
	case *wire.Admit:
		return s.admit(m)
	case *wire.Refuse:
		return s.turnAway(m)
	}
	return nil
}

// host returns the session that made the room until it leaves, and then the member that passHost has put in the first
// place. The rooms of calls and of codes have none.
func (r *room) host() *session {
	if r.hostless || len(r.members) == 0 {
		return nil
	}
	return r.members[0]
}

// passHost puts the next host in the first place: of the members that have a connection, the one that has been there
// longest. If all are away, the first of all is host until another one comes back before it.
func (r *room) passHost() {
	at := slices.IndexFunc(r.members, func(s *session) bool { return s.away == nil })
	if r.standIn = at < 0; !r.standIn {
		r.putFirst(at)
	}
}

func (r *room) putFirst(at int) {
	s := r.members[at]
	copy(r.members[1:at+1], r.members[:at])
	r.members[0] = s
}

// takeOverRooms makes a session that is back host of its rooms whose hosts became host while everybody was away, and
// still are away. The caller holds mu.
func (srv *Server) takeOverRooms(s *session) {
	for _, r := range s.rooms {
		host := r.host()
		if host == nil || !r.standIn {
			continue
		}
		r.standIn = false
		if host != s {
			r.putFirst(slices.Index(r.members, s))
			srv.hostChanged(r)
			srv.tellHost(r, host)
		}
	}
}

// hasPowers reports whether s has host powers in r: as its host, or as a member whose role gives them.
func (r *room) hasPowers(s *session) bool {
	return !r.hostless && (r.host() == s || s.moderates() && r.has(s))
}

// tellHosts sends m to all members with host powers, except for one, which may be nil.
func (srv *Server) tellHosts(r *room, m wire.Message, but *session) {
	text := share(srv.encode(m))
	for _, s := range r.members {
		if s != but && r.hasPowers(s) {
			s.tellShared(text)
		}
	}
}

// moderated finds the room that s wants to moderate, or says why s may not.
func (s *session) moderated(id string) (*room, *wire.Error) {
	r := s.srv.rooms[id]
	switch {
	case r == nil || !r.has(s):
		return nil, notInRoom()
	case !r.hasPowers(s):
		return nil, newError(wire.CodeNotHost, "Only the host of this room may do that, or a moderator.")
	}
	return r, nil
}

func notInRoom() *wire.Error { return newError(wire.CodeNotInRoom, "You are not in this room.") }

func (s *session) lock(m *wire.Lock) *wire.Error {
	return s.setLocked(m.Room, true, &wire.Locked{Ref: m.ID, Room: m.Room, By: s.id}, &wire.Locked{Room: m.Room, By: s.id})
}

func (s *session) unlock(m *wire.Unlock) *wire.Error {
	return s.setLocked(m.Room, false, &wire.Unlocked{Ref: m.ID, Room: m.Room, By: s.id}, &wire.Unlocked{Room: m.Room, By: s.id})
}

// setLocked answers s, and tells the others if it changed anything.
func (s *session) setLocked(id string, locked bool, answer, news wire.Message) *wire.Error {
	srv := s.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	r, e := s.moderated(id)
	if e != nil {
		return e
	}
	s.reply(answer)
	if r.locked == locked {
		return nil
	}
	r.locked = locked
	srv.tellRoomBut(s, r, news)
	srv.nextTerm(r)
	return nil
}

// kick takes a user out of a room, with all of the user's sessions that are in it or wait for it, and ends the relays
// of these sessions.
func (s *session) kick(m *wire.Kick) *wire.Error {
	srv := s.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	r, e := s.moderated(m.Room)
	if e != nil {
		return e
	}
	target := srv.sessions[m.Session]
	switch {
	case target == nil || !r.has(target):
		return newError(wire.CodeNotInRoom, "They are not in this room.")
	case target.user == s.user:
		return newError(wire.CodeForbidden, "You cannot kick yourself; leave instead.")
	}
	if slices.ContainsFunc(r.sessionsOf(target.user), func(other *session) bool { return !s.mayKick(other) }) {
		return newError(wire.CodeForbidden, "Only a moderator may kick a moderator, and only an admin an admin.")
	}
	srv.keepOut(r, target.user.id)
	s.kicked, _ = srv.putOut(r, func(other *session) bool { return other.user == target.user }) // their relays end after this turn
	s.reply(&wire.Kicked{Ref: m.ID, Room: r.id, Session: m.Session})
	srv.logLocked(slog.LevelDebug, "kicked from a room", "room", r.id, "user", target.user.id, "by", s.user.id)
	return nil
}

// mayKick reports whether s may kick the other: hosts may not kick moderators, and only admins may kick admins.
func (s *session) mayKick(other *session) bool {
	switch other.ticket.Role {
	case auth.RoleAdmin:
		return s.ticket.Role == auth.RoleAdmin
	case auth.RoleModerator:
		return s.moderates()
	}
	return true
}

func (r *room) sessionsOf(u *user) (all []*session) {
	for _, s := range r.members {
		if s.user == u {
			all = append(all, s)
		}
	}
	return all
}

// keepOut remembers a kicked user for the room's life.
func (srv *Server) keepOut(r *room, user string) {
	r.rememberKicked(user)
	srv.nextTerm(r)
	srv.past.Kick(r.id, r.made, user)
}

func (r *room) rememberKicked(user string) {
	if len(r.kicked) == maxKicked {
		r.kicked = slices.Delete(r.kicked, 0, 1)
	}
	r.kicked = append(r.kicked, user)
}

// tellHost tells the room of a new host, if there is one, and tells the new host of the sessions that wait to be let
// in.
func (srv *Server) tellHost(r *room, was *session) {
	host := r.host()
	if host == nil || host == was {
		return
	}
	srv.tellRoom(r, &wire.Host{Room: r.id, Session: host.id})
	srv.roomsChanged(host)
	if host.moderates() {
		return // it knows them already
	}
	for _, s := range r.waiting {
		host.tell(&wire.Knock{Room: r.id, Peer: s.peerIn(r)})
	}
}
