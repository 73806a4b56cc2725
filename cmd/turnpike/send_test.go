package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.org/turnpike/internal/filetransfer"
)

// TestListed: what comes is named file by file, or by what stands at the top if it is much; names do not steer the terminal.
func TestListed(t *testing.T) {
	few := &filetransfer.Plan{Entries: []filetransfer.Entry{
		{Path: "photos", Folder: true}, {Path: "photos/cat.jpg", Size: 3_145_728}, {Path: "pho\x1btos.txt", Size: 5}, {Path: "stdin", Size: -1},
	}}
	if got, want := listed(few), []string{"photos/", "photos/cat.jpg  3.1 MB", "pho\uFFFDtos.txt  5 B", "stdin"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	many := &filetransfer.Plan{}
	for i := range 25 {
		folder := fmt.Sprint("folder", i)
		many.Entries = append(many.Entries, filetransfer.Entry{Path: folder, Folder: true}, filetransfer.Entry{Path: folder + "/a", Size: 1000}, filetransfer.Entry{Path: folder + "/b", Size: 500})
	}
	got := listed(many)
	if len(got) != maxListed+1 || got[0] != "folder0/  2 files, 1.5 kB" || got[maxListed] != "and 5 more" {
		t.Errorf("%q", got)
	}
	many.Entries = append(many.Entries, filetransfer.Entry{Path: ".bashrc", Size: 7})
	if got := listed(many); got[0] != ".bashrc  7 B" || got[1] != "folder0/  2 files, 1.5 kB" || got[maxListed] != "and 6 more" {
		t.Errorf("%q", got)
	}
}

func TestPlanned(t *testing.T) {
	for want, plan := range map[string]filetransfer.Plan{
		"1 file, 5 B": {Files: 1, Bytes: 5}, "0 files, 0 B": {}, "2 files of unknown size": {Files: 2, Bytes: 5, Unknown: true},
	} {
		if got := planned(&plan); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestBut: what a receiver does not have is said.
func TestBut(t *testing.T) {
	for _, row := range []struct {
		failed, skipped int
		want            string
	}{{0, 0, ""}, {1, 0, " but 1 file that failed"}, {0, 2, " but 2 files that it did not want"}, {3, 1, " but 3 files that failed and 1 file that it did not want"}} {
		if got := but(row.failed, row.skipped); got != row.want {
			t.Errorf("%d, %d: %q", row.failed, row.skipped, got)
		}
	}
}

// TestSendIsOver: a sender ends when all have everything, or when nobody else can come and nobody is served, and says which it is.
func TestSendIsOver(t *testing.T) {
	live := func() *seats { return &seats{expires: time.Now().Add(time.Hour)} }
	dead := func() *seats { return &seats{expires: time.Now().Add(-time.Second)} }
	somebody := map[[32]byte]*receiver{{}: {}}
	for _, row := range []struct {
		name  string
		s     *sending
		seats *seats
		over  bool
		want  string
	}{
		{"nobody has come yet", &sending{to: 1}, live(), false, ""},
		{"all have everything", &sending{to: 2, served: 2}, live(), true, ""},
		{"all have come, and a file has failed", &sending{to: 1, served: 1, failed: 2}, live(), true, "2 files did not arrive"},
		{"some do not want it", &sending{to: 2, served: 1, declined: 1}, live(), true, "1 receiver did not want what was sent"},
		{"one more may come", &sending{to: 2, served: 1}, live(), false, ""},
		{"the code has run out", &sending{to: 1}, dead(), true, "the code has run out, and nobody used it; run this again for a new one"},
		{"it has run out while somebody is served", &sending{to: 1, receivers: somebody}, dead(), false, ""},
		{"it has run out for the second", &sending{to: 2, served: 1}, dead(), true, "the code has run out; 1 of 2 receivers have everything"},
		{"it has run out for one who left", &sending{to: 1, broken: "tower"}, dead(), true,
			"tower left before it had everything, and the code has run out; run this again, and it goes on with the new code"},
		{"the server has forgotten it", &sending{to: 1}, &seats{forgotten: true, expires: live().expires}, true,
			"the server has forgotten the code, because it was started anew, and nobody used it; run this again for a new one"},
		{"it is burnt", &sending{to: 1, burnt: errors.New("burnt")}, live(), true, "burnt"},
		{"it is burnt while somebody is served", &sending{to: 2, burnt: errors.New("burnt"), receivers: somebody}, live(), false, ""},
	} {
		over, err := row.s.over(row.seats)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if over != row.over || got != row.want {
			t.Errorf("%s: %v, %q, want %v, %q", row.name, over, got, row.over, row.want)
		}
	}
}
