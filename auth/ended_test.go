package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// endedState is an Ended, with its file and a clock, as a server process has them.
type endedState struct {
	*Ended
	file *EndedFile
	now  *time.Time
}

func openEnded(t testing.TB, path string, now *time.Time, log io.Writer) endedState {
	t.Helper()
	ended := NewEnded(func() time.Time { return *now })
	file, err := OpenEndedFile(path, ended, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.journal.close() })
	return endedState{ended, file, now}
}

func testClock() *time.Time {
	now := epoch
	return &now
}

func TestEndedSessions(t *testing.T) {
	e := NewEnded(fixedClock(epoch))
	e.EndGenerations("s", 3)
	e.EndGenerations("s", 2)
	if got := e.SessionFrom("s"); got != 3 {
		t.Errorf("tokens are good from generation %d, want 3", got)
	}
	if got := e.SessionFrom("other"); got != 0 {
		t.Errorf("tokens of an unknown session are good from %d", got)
	}
	e.LeaveRoom("s", "x", 5)
	for number, want := range map[uint64]bool{1: true, 5: true, 6: false} {
		if e.LeftRoom("s", "x", number) != want || e.LeftRoom("s", "y", number) {
			t.Errorf("token %d: left x %v, want %v; left y %v", number, !want, want, e.LeftRoom("s", "y", number))
		}
	}
	// Beyond a bound, old tokens bring back no room, but never one that was left.
	for i := range uint64(2 * maxLeftRooms) {
		e.LeaveRoom("s", fmt.Sprint("room", i), 10+i)
	}
	if !e.LeftRoom("s", "x", 5) || !e.LeftRoom("s", "room0", 10) || e.LeftRoom("s", "room0", 30) || e.LeftRoom("s", "y", 25) {
		t.Error("the bound of rooms changed what a token may bring back")
	}
	if got := e.LastNumber("s"); got != 10+2*maxLeftRooms-1 {
		t.Errorf("last number %d", got)
	}
}

func TestEndedRooms(t *testing.T) {
	e := NewEnded(fixedClock(epoch))
	expect := func(want RoomState, wantKicked ...string) {
		t.Helper()
		if got, kicked, known := e.Room("x", want.Made); !known || got != want || !slices.Equal(kicked, wantKicked) {
			t.Errorf("%+v, kicked %v, known %v; want %+v, %v", got, kicked, known, want, wantKicked)
		}
	}
	e.Kick("x", 0, "nobody") // of a room that is not known
	if _, _, known := e.Room("x", 0); known {
		t.Error("a kick made a room known")
	}
	e.KeepRoom("x", RoomState{Made: 10, Term: 12, Host: "a"})
	e.Kick("x", 10, "mallory")
	e.Kick("x", 10, "mallory")
	e.Kick("x", 9, "of another room of this name")
	e.KeepRoom("x", RoomState{Made: 10, Term: 11, Host: "outdated"})
	e.KeepRoom("x", RoomState{Made: 9, Term: 99, Host: "of another room of this name"})
	expect(RoomState{Made: 10, Term: 12, Host: "a"}, "mallory")
	e.KeepRoom("x", RoomState{Made: 10, Term: 13, Host: "b", Locked: true})
	expect(RoomState{Made: 10, Term: 13, Host: "b", Locked: true}, "mallory")
	e.KeepRoom("x", RoomState{Made: 10, Term: 14, Host: "b", Closed: true})
	expect(RoomState{Made: 10, Closed: true})
	e.KeepRoom("x", RoomState{Made: 15, Term: 15, Host: "c"})
	expect(RoomState{Made: 15, Term: 15, Host: "c"})

	for i := range 2 * maxKicked {
		e.Kick("x", 15, fmt.Sprint("user", i))
	}
	if _, kicked, _ := e.Room("x", 15); len(kicked) != maxKicked || kicked[0] != fmt.Sprint("user", maxKicked) {
		t.Errorf("%d kicked users, first %v", len(kicked), kicked[0])
	}
	for i := range 2 {
		e.Kick("x", 15, strings.Repeat("x", maxKickedLine/2)+fmt.Sprint(i))
	}
	if _, kicked, _ := e.Room("x", 15); len(kicked) != 1 {
		t.Errorf("%d kicked users, and two of that length have no place in a line", len(kicked))
	}
}

// TestKickedAreWrittenWhole: as many kicked users as a room remembers fit into a line, also those of whose names JSON
// makes the most.
func TestKickedAreWrittenWhole(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "ended"), testClock()
	e := openEnded(t, path, now, io.Discard)
	e.KeepRoom("x", RoomState{Made: 1, Term: 1})
	for i := range 2 * maxKickedLine / 250 {
		e.Kick("x", 1, fmt.Sprintf("app:%s%d", strings.Repeat("<", 240), i))
	}
	_, want, _ := e.Room("x", 1)
	if err := e.file.Flush(); err != nil {
		t.Fatal(err)
	}
	next := openEnded(t, path, now, io.Discard)
	if _, kicked, _ := next.Room("x", 1); len(kicked) == 0 || !slices.Equal(kicked, want) {
		t.Errorf("%d kicked users came back, want %d", len(kicked), len(want))
	}
}

// TestReadingBackLosesNothing: a line that was written is read back. What has changed meanwhile is still to be written, also
// if the clock stands, or was set back.
func TestReadingBackLosesNothing(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "ended"), testClock()
	e := openEnded(t, path, now, io.Discard)
	e.LeaveRoom("s", "x", 5)
	lines, _ := e.takeChanged()
	e.LeaveRoom("s", "x", 9)
	text, err := e.file.encode(lines)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if err := e.apply(line); err != nil {
			t.Fatal(err)
		}
	}
	if lines, _ := e.takeChanged(); len(lines) != 1 || lines[0].Left[0].Number != 9 {
		t.Errorf("still to be written: %+v", lines)
	}
}

// TestFollowed: tokens of a lost session, and of all that followed it, begin new ones until the client uses one of them.
func TestFollowed(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "state", "ended"), testClock()
	e := openEnded(t, path, now, io.Discard)
	begins := func(want bool, sessions ...string) {
		t.Helper()
		for _, s := range sessions {
			if e.BeginsAnew(s, 1) != want {
				t.Errorf("a token of %s begins a new session: %v, want %v", s, !want, want)
			}
		}
	}
	again := func() {
		t.Helper()
		if err := e.file.Close(); err != nil {
			t.Fatal(err)
		}
		e = openEnded(t, path, now, io.Discard)
	}
	e.LoseSession("a", 2)
	for _, next := range []string{"b", "c"} {
		e.FollowSession(next, "a")
		e.LoseSession(next, 2)
	}
	e.FollowSession("d", "c")
	e.LoseSession("d", 2)
	again()
	begins(true, "a", "b", "c", "d")
	e.FollowSession("e", "d")
	again()
	begins(true, "a", "b", "c", "d")
	begins(false, "e")
	e.EndGenerations("e", 1) // the client uses it
	begins(false, "a", "b", "c", "d", "e")
	again()
	begins(false, "a", "b", "c", "d", "e")
	e.LoseSession("e", 2)
	begins(true, "e")
}

// TestEndedOutlastsProcess: what was written is there in the next process, and no
// longer than tokens live.
func TestEndedOutlastsProcess(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "state", "ended"), testClock()
	e := openEnded(t, path, now, io.Discard)
	e.EndGenerations("s", 3)
	e.LeaveRoom("s", "x", 7)
	state := RoomState{Made: 1, Term: 4, Host: "h", Locked: true, Waiting: true}
	e.KeepRoom("x", state)
	e.Kick("x", 1, "turnpike:mallory")
	if err := e.file.Flush(); err != nil {
		t.Fatal(err)
	}
	e.EndGenerations("lost", 1) // as a kill loses the last moment

	next := openEnded(t, path, now, io.Discard)
	got, kicked, known := next.Room("x", 1)
	if next.SessionFrom("s") != 3 || !next.LeftRoom("s", "x", 7) || next.LeftRoom("s", "x", 8) || next.LastNumber("s") != 7 {
		t.Error("the session is not known as it was")
	}
	if !known || got != state || !slices.Equal(kicked, []string{"turnpike:mallory"}) {
		t.Errorf("the room is %+v, %v, %v", got, kicked, known)
	}
	if next.SessionFrom("lost") != 0 {
		t.Error("a change was written before Flush")
	}
	next.EndGenerations("kept", 1)
	if err := next.file.Close(); err != nil { // as a planned stop, which loses nothing
		t.Fatal(err)
	}
	if openEnded(t, path, now, io.Discard).SessionFrom("kept") != 1 {
		t.Error("Close did not write the last change")
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}

	*now = now.Add(endedTTL)
	later := openEnded(t, path, now, io.Discard)
	if _, _, known := later.Room("x", 1); known || later.SessionFrom("s") != 0 {
		t.Error("known after all tokens have expired")
	}
	if err := later.file.Prune(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("%d bytes, though all has expired (%v)", info.Size(), err)
	}
}

// TestEndedForgets: the tables and the list of changes have a bound, with and without
// a file that can be written.
func TestEndedForgets(t *testing.T) {
	now := testClock()
	e := NewEnded(func() time.Time { return *now })
	for i := range uint64(4 * maxEnded) {
		e.EndGenerations(fmt.Sprint(i), i)
	}
	if n, changed := len(e.sessions.entries), len(e.sessions.changed); n != maxEnded || changed > 2*maxEnded || e.sessions.order.Len() != n {
		t.Errorf("%d sessions, %d changes", n, changed)
	}
	if e.SessionFrom("0") != 0 || e.SessionFrom(fmt.Sprint(4*maxEnded-1)) == 0 {
		t.Error("the newest must stay, and the oldest go")
	}
	*now = now.Add(endedTTL)
	for more := true; more; {
		var lines []endedLine
		if lines, more = e.takeChanged(); len(lines) > endedChunk {
			t.Fatalf("%d lines at once", len(lines))
		}
		if !more && len(lines) > 0 {
			t.Errorf("%d lines after their time", len(lines))
		}
	}
	if len(e.sessions.entries) != 0 || len(e.sessions.changed) != 0 {
		t.Errorf("%d sessions after their time", len(e.sessions.entries))
	}
}

// TestEndedFileIsBounded: changes of the same do not make the file grow.
func TestEndedFileIsBounded(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "ended"), testClock()
	e := openEnded(t, path, now, io.Discard)
	host := strings.Repeat("h", 60_000) // so that a few lines are enough
	for term := uint64(1); term <= 100; term++ {
		e.KeepRoom("x", RoomState{Made: 1, Term: term, Host: host})
		if err := e.file.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > minEndedSize+2*maxEndedLine {
		t.Errorf("%d bytes (%v)", info.Size(), err)
	}
	if got, _, _ := openEnded(t, path, now, io.Discard).Room("x", 1); got.Term != 100 {
		t.Errorf("term %d", got.Term)
	}
}

// TestEndedDamage: a line that a crash cut short, and one that means nothing, cost
// only themselves.
func TestEndedDamage(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "ended"), testClock()
	e := openEnded(t, path, now, io.Discard)
	e.EndGenerations("whole", 1)
	if err := e.file.Flush(); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, `{"event":"session","id":"cut"`)
	e.EndGenerations("after", 1)
	if err := e.file.Flush(); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, "{}\n[]\n"+`{"event":"other","id":"x","until":"2100-01-01T00:00:00Z"}`+"\n"+strings.Repeat("x", maxEndedLine)+"\n")
	var log bytes.Buffer
	next := openEnded(t, path, now, &log)
	if next.SessionFrom("whole") != 1 || next.SessionFrom("after") != 1 || next.SessionFrom("cut") != 0 {
		t.Error("a damaged line cost another")
	}
	if got := strings.Count(log.String(), "damaged"); got != 5 {
		t.Errorf("%d warnings, want 5: %s", got, log.String())
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestEndedFileLost: a process whose file was removed, emptied or put back from an
// older copy writes again what it knows.
func TestEndedFileLost(t *testing.T) {
	for what, lose := range map[string]func(path string) error{
		"removed": os.Remove,
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"older": func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("\n"), 0o600))
		},
	} {
		t.Run(what, func(t *testing.T) {
			path, now := filepath.Join(t.TempDir(), "ended"), testClock()
			e := openEnded(t, path, now, io.Discard)
			e.EndGenerations("s", 2)
			e.KeepRoom("x", RoomState{Made: 1, Term: 1, Host: "h"})
			if err := e.file.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := lose(path); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first reads, and then writes what is missing
				if err := e.file.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			next := openEnded(t, path, now, io.Discard)
			if _, _, known := next.Room("x", 1); !known || next.SessionFrom("s") != 2 {
				t.Error("what the file had lost is not known in the next process")
			}
		})
	}
}

// TestEndedTwoProcesses: during a hand-over two processes write the same file. Each
// learns of the other's lines, and they do not go on writing for ever.
func TestEndedTwoProcesses(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "ended"), testClock()
	one := openEnded(t, path, now, io.Discard)
	one.EndGenerations("a", 1)
	if err := one.file.Flush(); err != nil {
		t.Fatal(err)
	}
	other := openEnded(t, path, now, io.Discard)
	one.EndGenerations("a", 2)
	other.EndGenerations("b", 1)
	for _, e := range []endedState{one, other, one, other} {
		if err := e.file.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.file.Prune(); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []endedState{one, other, one, other} {
		if err := e.file.Flush(); err != nil {
			t.Fatal(err)
		}
		if e.SessionFrom("a") != 2 || e.SessionFrom("b") != 1 {
			t.Error("a process does not know what the other has written")
		}
	}
	if after, err := os.Stat(path); err != nil || after.Size() != before.Size() || !os.SameFile(before, after) {
		t.Errorf("%d bytes, then %d bytes (%v)", before.Size(), after.Size(), err)
	}
}

// TestEndedFullDisk: what cannot be written is kept, and is written once it can be.
func TestEndedFullDisk(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "ended"), testClock()
	e := openEnded(t, path, now, io.Discard)
	full := errors.New("no space left on device")
	for i := range 3 {
		e.EndGenerations(fmt.Sprint(i), 1)
		if err := e.file.write(func([]byte) error { return full }); !errors.Is(err, full) {
			t.Errorf("%v", err)
		}
	}
	e.EndGenerations("0", 2)
	if err := e.file.Flush(); err != nil {
		t.Fatal(err)
	}
	next := openEnded(t, path, now, io.Discard)
	for id, want := range map[string]uint64{"0": 2, "1": 1, "2": 1} {
		if got := next.SessionFrom(id); got != want {
			t.Errorf("session %s: from %d, want %d", id, got, want)
		}
	}
}

// TestEndedWhileFlushed has changes come while others are written.
func TestEndedWhileFlushed(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "ended"), testClock()
	e := openEnded(t, path, now, io.Discard)
	const writers, changes = 4, 500
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range uint64(changes) {
				e.EndGenerations(fmt.Sprint(w, i%10), i)
				e.KeepRoom(fmt.Sprint(w), RoomState{Made: 1, Term: i})
			}
		})
	}
	for range 20 {
		if err := e.file.Flush(); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	if err := e.file.Flush(); err != nil {
		t.Fatal(err)
	}
	next := openEnded(t, path, now, io.Discard)
	for w := range writers {
		if got, _, _ := next.Room(fmt.Sprint(w), 1); got.Term != changes-1 || next.SessionFrom(fmt.Sprint(w, 9)) != changes-1 {
			t.Errorf("writer %d: term %d, generation %d", w, got.Term, next.SessionFrom(fmt.Sprint(w, 9)))
		}
	}
}

// TestEndedFileThatCannotBeReplaced: where lines can be added but the file cannot be written anew, it does not get all of
// them again and again, and loses none.
func TestEndedFileThatCannotBeReplaced(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "ended"), testClock()
	e := openEnded(t, path, now, io.Discard)
	for i := range 100 {
		e.EndGenerations(fmt.Sprint(i), 1)
	}
	if err := e.file.Flush(); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	e.EndGenerations("meanwhile", 1)
	e.file.journal.path = filepath.Join(t.TempDir(), "gone", "ended") // its directory is not there: replace fails
	if err := e.file.compact(); err == nil {
		t.Fatal("the file was replaced")
	}
	e.file.journal.path = path
	for range 3 {
		if err := e.file.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.Stat(path); err != nil || after.Size() > before.Size()+200 {
		t.Errorf("%d bytes, and then %d (%v)", before.Size(), after.Size(), err)
	}
	next := openEnded(t, path, now, io.Discard)
	if next.SessionFrom("99") != 1 || next.SessionFrom("meanwhile") != 1 {
		t.Error("a line was lost")
	}
}
