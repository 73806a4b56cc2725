package auth

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// endedTTL is how long something is remembered after its last change. A resume
	// token of before has expired then, also by the clock that is tolerated.
	endedTTL = ResumeTTL + leeway

	maxEnded      = 1 << 16  // Sessions, and rooms; the oldest go.
	endedChunk    = 64       // Of each, that are copied or forgotten while others wait.
	maxLeftRooms  = 8        // Of a session: older tokens then bring back no room at all.
	maxKickedLine = 32 << 10 // Bytes of a room's.
	maxKicked     = 1024     // Users of a room; the oldest go.
)

// Ended remembers what resume tokens must not bring back: sessions that are over,
// rooms that a session has left, and users that were kicked. It also knows how a
// room was at its last change. It forgets what no living token can speak of.
//
// All methods work in memory, so they may be called with locks held. An
// EndedFile keeps it over restarts.
type Ended struct {
	now func() time.Time

	mu sync.Mutex // The last of all locks.
	// Guarded by mu.
	sessions lately[endedSession]
	rooms    lately[endedRooms] // Those of one ID.
}

type endedSession struct {
	from  uint64 // Tokens of former generations are over.
	lost  uint64 // But those from this one on begin a new session; 0: none do.
	floor uint64 // A token up to this number brings back no room.
	left  []leftRoom
	// first is the lost session that this one follows, and where others came in between, the
	// first of them. It is empty once the client has used this session.
	first string
}

type leftRoom struct {
	Room   string `json:"room"`
	Number uint64 `json:"number"` // Of the session's last token before it left.
}

// NewEnded returns an Ended that knows nothing.
func NewEnded(now func() time.Time) *Ended {
	return &Ended{now: now, sessions: newLately[endedSession](), rooms: newLately[endedRooms]()}
}

// SessionFrom returns the first generation of a session's tokens that is not over.
func (e *Ended) SessionFrom(session string) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.sessions.get(session, e.now()); s != nil {
		return s.from
	}
	return 0
}

// EndGenerations ends a session's tokens of all generations before from. If it
// follows a lost one, no token of that, or of others that follow it, begins another.
func (e *Ended) EndGenerations(session string, from uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	until, first := e.now().Add(endedTTL), ""
	e.sessions.change(session, until, func(s *endedSession) {
		first = s.first
		s.end(from, 0, "")
	})
	if first != "" {
		e.sessions.change(first, until, func(s *endedSession) { s.end(s.from+1, 0, "") })
	}
}

// LoseSession is EndGenerations for a session that nobody meant to end: those of
// the tokens that were good until now begin a new session.
func (e *Ended) LoseSession(session string, from uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions.change(session, e.now().Add(endedTTL), func(s *endedSession) { s.end(from, max(s.from, 1), s.first) })
}

// FollowSession notes that a new session has begun by the token of one that was
// lost. Until the client uses it, which EndGenerations tells, its welcome may have
// been lost: then that token begins another.
func (e *Ended) FollowSession(session, lost string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	first := lost
	if s := e.sessions.get(lost, now); s != nil {
		first = cmp.Or(s.first, lost)
	}
	e.sessions.change(session, now.Add(endedTTL), func(s *endedSession) { s.follow(first) })
}

// BeginsAnew reports whether a token of a session that was lost begins a new one.
func (e *Ended) BeginsAnew(session string, generation uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	s := e.sessions.get(session, now)
	if s == nil || s.lost == 0 || generation < s.lost || generation >= s.from {
		return false
	}
	first := e.sessions.get(s.first, now)
	return first == nil || first.lost > 0 // else the client uses another that follows it
}

func (s *endedSession) end(from, lost uint64, first string) {
	if from > s.from {
		s.from, s.lost, s.first = from, lost, first
	}
}

func (s *endedSession) follow(first string) {
	if s.from == 0 { // nobody has used it
		s.first = first
	}
}

// LeaveRoom has a session's tokens up to a number bring it back into a room no more.
func (e *Ended) LeaveRoom(session, room string, number uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions.change(session, e.now().Add(endedTTL), func(s *endedSession) { s.leave(room, number) })
}

func (s *endedSession) leave(room string, number uint64) {
	at := slices.IndexFunc(s.left, func(l leftRoom) bool { return l.Room == room })
	if at < 0 {
		s.left = append(s.left, leftRoom{room, number})
	} else {
		s.left[at].Number = max(s.left[at].Number, number)
	}
	if len(s.left) > maxLeftRooms {
		oldest := slices.MinFunc(s.left, func(a, b leftRoom) int { return cmp.Compare(a.Number, b.Number) })
		s.floor = max(s.floor, oldest.Number)
		s.left = slices.DeleteFunc(s.left, func(l leftRoom) bool { return l == oldest })
	}
}

// LeftRoom reports whether a session has left a room since the token of a number.
func (e *Ended) LeftRoom(session, room string, number uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.sessions.get(session, e.now())
	if s == nil {
		return false
	}
	return s.floor > 0 && number <= s.floor || slices.ContainsFunc(s.left, func(l leftRoom) bool { return l.Room == room && number <= l.Number })
}

// LastNumber returns the greatest number of a session's tokens that was noted.
func (e *Ended) LastNumber(session string) (last uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.sessions.get(session, e.now()); s != nil {
		last = s.floor
		for _, l := range s.left {
			last = max(last, l.Number)
		}
	}
	return last
}

// endedLine is a line of the file. Its fields are those of a session, or of the
// rooms of one ID.
type endedLine struct {
	Event string    `json:"event"`
	ID    string    `json:"id"`
	Until time.Time `json:"until"`

	From  uint64     `json:"from,omitempty"`
	Lost  uint64     `json:"lost,omitempty"`
	First string     `json:"first,omitempty"`
	Floor uint64     `json:"floor,omitempty"`
	Left  []leftRoom `json:"left,omitempty"`

	Rev  uint64      `json:"rev,omitempty"`
	Over uint64      `json:"over,omitempty"`
	Low  uint64      `json:"low,omitempty"`
	Open []endedRoom `json:"open,omitempty"`
}

const (
	endedSessionEvent = "session"
	endedRoomEvent    = "room"
)

// apply takes a line of the file. It leaves what is known better as it is. A line
// that says all that is known need not be written again.
func (e *Ended) apply(text []byte) error {
	var line endedLine
	if err := json.Unmarshal(text, &line); err != nil {
		return err
	}
	if line.ID == "" || line.Event == endedRoomEvent && line.Rev == 0 {
		return errors.New("not all is there")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	if !line.Until.After(now) {
		return nil
	}
	if latest := now.Add(endedTTL); line.Until.After(latest) { // Somebody has set the clock back.
		line.Until = latest
	}
	switch line.Event {
	case endedSessionEvent:
		e.sessions.merge(line.ID, line.Until, func(s *endedSession) (all bool) {
			s.follow(line.First)
			s.end(line.From, line.Lost, line.First)
			s.floor = max(s.floor, line.Floor)
			for _, l := range line.Left {
				s.leave(l.Room, l.Number)
			}
			return s.from == line.From && s.lost == line.Lost && s.first == line.First && s.floor == line.Floor && slices.Equal(s.left, line.Left)
		})
	case endedRoomEvent:
		e.rooms.merge(line.ID, line.Until, func(r *endedRooms) (all bool) { return r.read(&line) })
	default:
		return fmt.Errorf("event %q", line.Event)
	}
	return nil
}

// takeChanged returns lines of what has changed since it was last called, or of a
// part of that: more says that there is another.
func (e *Ended) takeChanged() (lines []endedLine, more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	more = e.forget()
	for _, entry := range e.sessions.takeChanged(endedChunk) {
		lines = append(lines, sessionLine(entry))
	}
	for _, entry := range e.rooms.takeChanged(endedChunk) {
		lines = append(lines, roomLine(entry))
	}
	return lines, more || len(e.sessions.changed)+len(e.rooms.changed) > 0
}

func sessionLine(entry *latelyEntry[endedSession]) endedLine {
	s := &entry.value
	return endedLine{
		Event: endedSessionEvent, ID: entry.id, Until: entry.until, From: s.from, Lost: s.lost, First: s.first, Floor: s.floor, Left: slices.Clone(s.left),
	}
}

func roomLine(entry *latelyEntry[endedRooms]) endedLine {
	r := &entry.value
	return endedLine{Event: endedRoomEvent, ID: entry.id, Until: entry.until, Rev: r.rev, Over: r.over, Low: r.low, Open: r.copyOpen()}
}

// allChanged has takeChanged return everything again.
func (e *Ended) allChanged() {
	e.walk(e.sessions.mark, e.rooms.mark)
}

// all returns a line of everything that has not expired.
func (e *Ended) all() (lines []endedLine) {
	e.walk(
		func(entry *latelyEntry[endedSession]) {
			if entry.until.After(e.now()) {
				lines = append(lines, sessionLine(entry))
			}
		},
		func(entry *latelyEntry[endedRooms]) {
			if entry.until.After(e.now()) {
				lines = append(lines, roomLine(entry))
			}
		})
	return lines
}

// walk calls functions for all entries, with mu held. Others get mu in between. What changes meanwhile may be left out,
// and is among what has changed.
func (e *Ended) walk(session func(*latelyEntry[endedSession]), room func(*latelyEntry[endedRooms])) {
	for first, more := true, true; more; first = false {
		more = e.walkSome(first, session, room)
	}
}

func (e *Ended) walkSome(first bool, session func(*latelyEntry[endedSession]), room func(*latelyEntry[endedRooms])) (more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if first {
		e.sessions.cursor, e.rooms.cursor = e.sessions.order.Front(), e.rooms.order.Front()
	}
	e.sessions.walkSome(endedChunk, session)
	e.rooms.walkSome(endedChunk, room)
	return e.sessions.cursor != nil || e.rooms.cursor != nil
}

func (e *Ended) hasChanged() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.sessions.changed)+len(e.rooms.changed) > 0
}

// changedAgain has takeChanged return these again: they could not be written.
func (e *Ended) changedAgain(lines []endedLine) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, line := range lines {
		if line.Event == endedSessionEvent {
			e.sessions.changedAgain(line.ID)
		} else {
			e.rooms.changedAgain(line.ID)
		}
	}
}

// forget drops a part of what has expired. The caller holds mu.
func (e *Ended) forget() (more bool) {
	now := e.now()
	more = e.sessions.forget(now, endedChunk)
	return e.rooms.forget(now, endedChunk) || more
}
