package auth

import (
	"io"
	"path/filepath"
	"slices"
	"testing"
)

// provisional makes a room of the ID in the place of one whose members have not come back.
func (e *Ended) provisional(room string) RoomState {
	made := e.FirstTerm(room)
	state := RoomState{Made: made, Term: made, Host: "maker"}
	e.KeepRoom(room, state)
	return state
}

// TestProvisionalRooms: a room that somebody makes before the members of another have come back has a record of its own beside
// theirs, over restarts. It loses its place to theirs, and not the other way round.
func TestProvisionalRooms(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "ended"), testClock()
	e := openEnded(t, path, now, io.Discard)
	restart := func() {
		t.Helper()
		if err := e.file.Flush(); err != nil {
			t.Fatal(err)
		}
		e = openEnded(t, path, now, io.Discard)
	}
	expect := func(made uint64, known, closed bool, kicked ...string) {
		t.Helper()
		state, who, isKnown := e.Room("x", made)
		if isKnown != known || state.Closed != closed || !slices.Equal(who, kicked) {
			t.Errorf("%+v, kicked %v, known %v; want kicked %v, known %v, closed %v", state, who, isKnown, kicked, known, closed)
		}
	}
	original := e.provisional("x")
	e.Kick("x", original.Made, "mallory")
	restart()
	second := e.provisional("x")
	e.Kick("x", second.Made, "eve")
	restart()
	third := e.provisional("x")
	e.Kick("x", third.Made, "trudy")
	restart()
	if third.Made >= second.Made || second.Made >= original.Made || e.OpenRoom("x") != original.Made {
		t.Fatalf("made %d, %d and %d", original.Made, second.Made, third.Made)
	}
	expect(original.Made, true, false, "mallory")
	expect(second.Made, true, false, "eve")
	expect(third.Made, true, false, "trudy")

	e.KeepRoom("x", second) // is back, and takes the place of the third
	restart()
	expect(original.Made, true, false, "mallory")
	expect(second.Made, true, false, "eve")
	expect(third.Made, true, true)

	second.Term, second.Closed = second.Term+1, true // has died, and another takes its place
	e.KeepRoom("x", second)
	fourth := e.provisional("x")
	restart()
	expect(second.Made, true, true)
	if expect(fourth.Made, true, false); fourth.Made >= third.Made {
		t.Errorf("made %d, as little as the third, %d", fourth.Made, third.Made)
	}

	e.KeepRoom("x", original)
	e.provisional("y")
	original.Term, original.Closed = original.Term+1, true
	e.KeepRoom("x", original)
	restart()
	for _, over := range []RoomState{original, second, third, fourth} {
		expect(over.Made, true, true)
	}
	last := e.provisional("x")
	if last.Made <= original.Made {
		t.Errorf("made %d, not after %d", last.Made, original.Made)
	}
	expect(last.Made, true, false)
}

// TestRoomsOfOneID: however often others make a room while the members of the original are away, there are few records, and that of
// the original stays, until its members can come back no more.
func TestRoomsOfOneID(t *testing.T) {
	e := NewEnded(fixedClock(epoch))
	original := e.provisional("x")
	for range 3 * maxOpenRooms {
		e.provisional("x")
	}
	if r := e.rooms.entries["x"].value; len(r.open) != maxOpenRooms || r.open[0].Made != original.Made {
		t.Errorf("%d records", len(r.open))
	}
	for range 2 * termsPerMilli {
		state := e.provisional("x")
		state.Term, state.Closed = state.Term+1, true
		e.KeepRoom("x", state)
	}
	state := e.provisional("x")
	if state.Made >= original.Made {
		t.Errorf("made %d, after the original", state.Made)
	}
	if _, _, known := e.Room("x", state.Made); !known {
		t.Error("the last room is not known")
	}
}
