package main

import (
	"fmt"
	"slices"
	"testing"

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
