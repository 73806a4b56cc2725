package auth

import (
	"slices"
	"time"
)

// RoomState is a room at its last change.
type RoomState struct {
	// Made tells rooms apart that had the same ID: the greatest is the one that
	// counts. See FirstTerm.
	Made uint64 `json:"made"`
	// Term grows with each change of what stands here, and with each kick.
	Term    uint64 `json:"term"`
	Host    string `json:"host,omitempty"` // A session.
	Locked  bool   `json:"locked,omitempty"`
	Waiting bool   `json:"waiting,omitempty"` // It has a waiting room.
	Closed  bool   `json:"-"`                 // It has died.
}

const (
	// maxOpenRooms bounds the rooms of one ID whose members may come back: there is
	// another one for each restart after which others were faster.
	maxOpenRooms = 4
	// termsPerMilli is how many rooms of one ID can be made in a millisecond, and how
	// many can be made in the place of one whose members have not come back.
	termsPerMilli = 1 << 12
)

// endedRooms is what is known of the rooms of one ID:
//
//	over ········ low ····· provisional ····· provisional ····· original
//	 rooms that      given out: those that are not
//	 are over        among the open are over
//
// After a restart, somebody may make a room before the members of the original
// have come back. It is provisional: it has a lesser number, and theirs takes its
// place. Each has a record of its own, with its own kicks, until its members can
// come back no more. The room that is there is always the last of the open.
type endedRooms struct {
	rev  uint64      // Grows with each change; the greatest counts.
	over uint64      // Rooms with a lesser number are over.
	low  uint64      // The least number that was given out since the original's.
	open []endedRoom // By number, the greatest first. At most maxOpenRooms.
}

type endedRoom struct {
	RoomState
	Kicked []string  `json:"kicked,omitempty"`
	Until  time.Time `json:"until"`
}

// FirstTerm returns the number of a room that somebody makes, and its first term.
// It is greater than that of all rooms that had the ID and have died. It is less
// than that of one whose members may still come back from another process: their
// room takes the place of this one then.
func (e *Ended) FirstTerm(room string) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	first := uint64(now.UnixMilli()) * termsPerMilli // So that it is a new one even if nothing is known.
	r := e.rooms.get(room, now)
	if r == nil {
		return first
	}
	if r.forget(now); len(r.open) == 0 {
		return max(first, r.over+termsPerMilli)
	}
	return max(r.low, r.over+1) - 1
}

// KeepRoom notes how a room is now, and that it is there, or that it has died. It
// does not take the place of a later term. Rooms of lesser numbers are over.
func (e *Ended) KeepRoom(room string, now RoomState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.rooms.get(room, e.now()); known != nil {
		at := known.at(now.Made)
		if now.Made < known.over || at >= 0 && now.Term < known.open[at].Term {
			return
		}
	}
	e.changeRooms(room, func(r *endedRooms, until time.Time) { r.keep(now, until) })
}

// Kick notes that a user may not come back into the room, for as long as it lives.
func (e *Ended) Kick(room string, made uint64, user string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.rooms.get(room, e.now()); known == nil || known.at(made) < 0 {
		return
	}
	e.changeRooms(room, func(r *endedRooms, until time.Time) {
		if at := r.at(made); at >= 0 {
			r.open[at].kick(user)
			r.open[at].Until = until
		}
	})
}

// changeRooms changes what is known of an ID. The caller holds mu.
func (e *Ended) changeRooms(room string, do func(r *endedRooms, until time.Time)) {
	now := e.now()
	until := now.Add(endedTTL)
	e.rooms.change(room, until, func(r *endedRooms) {
		r.forget(now)
		do(r, until)
		r.rev = max(r.rev+1, uint64(now.UnixMilli())) // Also greater than what was forgotten.
	})
}

// Room returns the room of a number at its last change, and who was kicked from it.
// It is Closed if it is over.
func (e *Ended) Room(room string, made uint64) (last RoomState, kicked []string, known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	r := e.rooms.get(room, now)
	if r == nil {
		return RoomState{}, nil, false
	}
	r.forget(now)
	at := r.at(made)
	switch {
	case r.isOver(made):
		return RoomState{Made: made, Closed: true}, nil, true
	case at < 0:
		return RoomState{}, nil, false
	}
	return r.open[at].RoomState, slices.Clone(r.open[at].Kicked), true
}

// OpenRoom returns the number of the room of an ID whose members go before all
// others; 0: none is known.
func (e *Ended) OpenRoom(room string) (made uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	if r := e.rooms.get(room, now); r != nil {
		if r.forget(now); len(r.open) > 0 {
			made = r.open[0].Made
		}
	}
	return made
}

// at returns the index of a room that is open, negative if there is none.
func (r *endedRooms) at(made uint64) int {
	return slices.IndexFunc(r.open, func(room endedRoom) bool { return room.Made == made })
}

// forget drops the rooms whose members can come back no more.
func (r *endedRooms) forget(now time.Time) {
	r.open = slices.DeleteFunc(r.open, func(room endedRoom) bool { return !room.Until.After(now) })
}

// keep notes how a room is. Those of lesser numbers have lost their place to it.
func (r *endedRooms) keep(now RoomState, until time.Time) {
	r.open = slices.DeleteFunc(r.open, func(room endedRoom) bool { return room.Made < now.Made })
	if len(r.open) == 0 || r.low == 0 {
		r.low = now.Made
	}
	r.low = min(r.low, now.Made)
	at := r.at(now.Made)
	switch {
	case at >= 0 && !now.Closed:
		r.open[at].RoomState, r.open[at].Until = now, until
		return
	case at >= 0:
		r.open = r.open[:at]
	}
	switch {
	case !now.Closed:
		r.open = append(r.open[:min(len(r.open), maxOpenRooms-1)], endedRoom{RoomState: now, Until: until})
	case len(r.open) == 0:
		r.over = max(r.over, now.Made+1)
	}
}

// isOver reports whether a room is over: its number was given out, and it is not
// open. Nothing is known of a room whose record a crash has lost.
func (r *endedRooms) isOver(made uint64) bool {
	return made < r.over || len(r.open) > 0 && made >= r.low && made <= r.open[0].Made && r.at(made) < 0
}

// read takes a line of the file, unless more is known.
func (r *endedRooms) read(line *endedLine) (all bool) {
	if line.Rev > r.rev {
		r.rev, r.over, r.low, r.open = line.Rev, line.Over, line.Low, line.Open
	}
	return r.rev == line.Rev
}

func (r *endedRooms) copyOpen() []endedRoom {
	open := slices.Clone(r.open)
	for i := range open {
		open[i].Kicked = slices.Clone(open[i].Kicked)
	}
	return open
}

func (r *endedRoom) kick(user string) {
	if slices.Contains(r.Kicked, user) {
		return
	}
	bytes := len(user)
	for _, other := range r.Kicked {
		bytes += len(other)
	}
	for len(r.Kicked) > 0 && (len(r.Kicked) >= maxKicked || bytes > maxKickedLine) {
		bytes -= len(r.Kicked[0])
		r.Kicked = slices.Delete(r.Kicked, 0, 1)
	}
	r.Kicked = append(r.Kicked, user)
}
