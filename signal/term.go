package signal

import (
	"time"

	"example.org/turnpike/auth"
)

// roomKept is how often the server notes that a room is still there, if nothing changes in it.
const roomKept = auth.ResumeTTL / 4

// absentHost is the host of a room that sessions of another process have made again, before it is back. Until then the
// first member stands in for it.
type absentHost struct {
	session string // empty: nobody knows; the token of the host says so itself
	until   time.Time
}

// nextTerm notes a change of the room that must outlast the process: for resume tokens, and for those who have none of
// the change. The caller holds mu.
func (srv *Server) nextTerm(r *room) {
	if r.hostless {
		return
	}
	r.term++
	srv.keepRoom(r)
	for _, s := range r.members {
		srv.roomsChanged(s)
	}
}

// hostChanged notes that another member is host now. The caller holds mu.
func (srv *Server) hostChanged(r *room) {
	if r.awaitsHost(time.Now()) {
		return // the member that stands in for the host is another one
	}
	r.hostTerm = r.term + 1
	srv.nextTerm(r)
}

// keepRoom notes how the room is, and that it is there. The caller holds mu.
func (srv *Server) keepRoom(r *room) {
	if r.hostless || !srv.resumes() {
		return
	}
	r.keptAt = time.Now()
	state := auth.RoomState{Made: r.made, Term: r.term, Locked: r.locked, Waiting: r.hasWaiting, Closed: len(r.members) == 0}
	if r.awaitsHost(r.keptAt) {
		state.Host = r.absent.session
	} else if host := r.host(); host != nil {
		state.Host = host.id
	}
	srv.past.KeepRoom(r.id, state)
}

// awaitsHost reports whether the room's first member only stands in for its host. Nobody has a token from then once the
// time is over.
func (r *room) awaitsHost(now time.Time) bool { return r.absent != nil && now.Before(r.absent.until) }

// resumeRoom is what the token of a session says of a room.
func (srv *Server) resumeRoom(s *session, r *room, now time.Time) auth.ResumeRoom {
	if now.Sub(r.keptAt) >= roomKept {
		srv.keepRoom(r)
	}
	return auth.ResumeRoom{
		ID: r.id, Size: r.size, Host: r.host() == s && !r.awaitsHost(now), Locked: r.locked, Waiting: r.hasWaiting, Call: r.hostless,
		NoMedia: s.partIn(r).noMedia, Transports: s.partIn(r).transports, Made: r.made, Term: r.term,
	}
}
