package signal

import (
	"slices"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// Somebody whose browser has crashed comes back with a new session, while the former one is away and keeps its place. The new
// one takes that place, where it would not be let in otherwise: without a word if it is the same user's, and if it came by
// the same invite from the same address, then only in a room that is full.

// absentBefore returns the member of r whose place s may take; nil: there is none.
func (r *room) absentBefore(s *session) (absent *session) {
	if r.hostless && !auth.IsCodeRoom(r.id) {
		return nil
	}
	for _, other := range r.members {
		switch {
		case other.away == nil:
		case other.user == s.user:
			if s.ticket.User.Issuer != auth.MachineIssuer { // several commands of a machine are there at once
				return other
			}
		case other.away.told && isAtPlaceOf(s, other) && (absent == nil || other.away.since.Before(absent.away.since)):
			absent = other
		}
	}
	return absent
}

// isAtPlaceOf reports whether a session has come by the same invite as one that is away, from the same address. Many may have
// one invite, and few of them one address.
func isAtPlaceOf(s, absent *session) bool {
	invite := s.ticket.Invite
	return invite != "" && invite == absent.ticket.Invite && s.conn != nil && s.conn.use.prefix == absent.away.use.prefix
}

// knockAgain answers a session that waits for r already: it waits on, unless there is a place for it by now. Those with
// host powers may know of another part that it wants to take: to them it begins to wait anew.
func (srv *Server) knockAgain(s *session, r *room, ref string, wants part) *wire.Error {
	absent := r.absentBefore(s)
	hasSeat := absent != nil && absent.user == s.user
	if hasSeat || !wants.is(s.partIn(r)) {
		srv.stopWaiting(s, r)
		s.setPart(r, wants)
	}
	if !hasSeat {
		return srv.knock(s, r, ref)
	}
	srv.takeSeat(s, absent, r, ref)
	return nil
}

// takeSeat puts s into the place of another session of the same user, which is away: as host, if that was host. ref is the
// request that this answers.
func (srv *Server) takeSeat(s, absent *session, r *room, ref string) {
	host := r.host()
	srv.tellRoomBut(absent, r, &wire.PeerLeft{Room: r.id, Session: absent.id, Reason: wire.ReasonReplaced})
	for _, list := range [][]*session{r.members, r.newcomers} {
		if at := slices.Index(list, absent); at >= 0 {
			list[at] = s
		}
	}
	srv.forgetMember(absent, r)
	absent.tell(&wire.Left{Room: r.id, Reason: wire.ReasonReplaced})
	s.rooms = append(s.rooms, r)
	srv.roomsChanged(s)
	srv.tellRoomBut(s, r, &wire.PeerJoined{Room: r.id, Peer: s.peerIn(r)})
	if host == absent {
		r.standIn = false
		srv.hostChanged(r)
		srv.tellRoomBut(s, r, &wire.Host{Room: r.id, Session: s.id})
	}
	s.reply(joined(ref, r, s))
}

// makeWay takes a session that is away out of a room, because another comes in its place.
func (srv *Server) makeWay(absent *session, r *room) {
	srv.leaveRoom(absent, r, wire.ReasonReplaced)
	absent.tell(&wire.Left{Room: r.id, Reason: wire.ReasonReplaced})
}

// isFull says that nobody else fits into the room, and whether to try again soon: a session that is away may not come back.
func (r *room) isFull() *wire.Error {
	e := newError(wire.CodeFull, "The room has as many people as it may have.")
	e.Away = slices.ContainsFunc(r.members, isAway)
	return e
}

func isAway(s *session) bool { return s.away != nil }

// nameTaken says that another user than u has the name that is asked for, and whether to try again soon. The caller holds mu.
func (srv *Server) nameTaken(u *user, asked askedName) *wire.Error {
	if asked.kept {
		return newError(wire.CodeNameTaken, "That is the name of a machine; choose another.")
	}
	e := newError(wire.CodeNameTaken, "Somebody who is online has that name; choose another.")
	e.Away = !slices.ContainsFunc(srv.names[asked.canonical], func(holder *user) bool {
		return holder != u && slices.ContainsFunc(holder.sessions, func(s *session) bool { return !isAway(s) })
	})
	return e
}
