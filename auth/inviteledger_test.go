package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func openTestLedger(t testing.TB, path string, log *bytes.Buffer) *Ledger {
	t.Helper()
	handler := slog.DiscardHandler
	if log != nil {
		handler = slog.NewTextHandler(log, nil)
	}
	l, err := OpenLedger(path, fixedClock(epoch), slog.New(handler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func testInvite(id string, uses int) Invite {
	return Invite{ID: id, Room: "standup", Role: RoleMember, Uses: uses, Expires: epoch.Add(time.Hour)}
}

func want(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestLedgerCountsUses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "invites")
	l := openTestLedger(t, path, nil)
	one, two, any := testInvite("one", 1), testInvite("two", 2), testInvite("any", 0)
	want(t, "made", l.Record(one), nil)
	want(t, "first use of one", l.Use(one), nil)
	want(t, "second use of one", l.Use(one), ErrInviteUsed)
	want(t, "first use of two", l.Use(two), nil)
	for range 3 {
		want(t, "any use", l.Use(any), nil)
	}
	want(t, "the refusal", ErrInviteUsed, ErrUnauthorized)

	l = openTestLedger(t, path, nil) // As after a crash: the first ledger is still open.
	want(t, "one, after a restart", l.Use(one), ErrInviteUsed)
	want(t, "two, after a restart", l.Use(two), nil)
	want(t, "two, a third time", l.Use(two), ErrInviteUsed)
	if got, ok := l.Find("one"); !ok || got != (LedgerEntry{Invite: one, Used: 1}) {
		t.Errorf("found %+v, %v", got, ok)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
}

func TestLedgerRevokes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	server, command := openTestLedger(t, path, nil), openTestLedger(t, path, nil)
	one, any := testInvite("one", 1), testInvite("any", 0)
	poll := func(want ...string) {
		t.Helper()
		if got, err := server.Poll(); err != nil || !slices.Equal(got, want) {
			t.Errorf("news %v, %v, want %v", got, err, want)
		}
	}
	poll()
	want(t, "revoke", command.Revoke("any", any.Expires), nil)
	want(t, "revoke again", command.Revoke("any", any.Expires), nil)
	if server.Revoked("any") {
		t.Error("known before it was read")
	}
	poll("any")
	poll()
	if !server.Revoked("any") || server.Revoked("one") {
		t.Error("the wrong one is revoked")
	}
	want(t, "any, revoked", server.Use(any), ErrInviteRevoked)
	want(t, "revoke one", command.Revoke("one", one.Expires), nil)
	want(t, "one, revoked, before the poll", server.Use(one), ErrInviteRevoked)
	poll("one")

	// Another process prunes and so replaces the file. Poll must repeat nothing.
	want(t, "made", command.Record(Invite{ID: "old", Room: "r", Role: RoleGuest, Expires: epoch.Add(-2 * time.Hour)}), nil)
	want(t, "prune", command.Prune(time.Hour), nil)
	poll()
	want(t, "revoke after the pruning", command.Revoke("late", any.Expires), nil)
	poll("late")
	if got := openTestLedger(t, path, nil); got.Revoked("old") || !got.Revoked("late") || !got.Revoked("any") {
		t.Error("a ledger opened later knows something else")
	}
}

func TestLedgerPrunes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	var log bytes.Buffer
	l := openTestLedger(t, path, &log)
	old, kept := testInvite("old", 1), testInvite("kept", 1)
	old.Expires, kept.Expires = epoch.Add(-61*time.Minute), epoch.Add(-59*time.Minute)
	for _, inv := range []Invite{old, kept} {
		want(t, "made", l.Record(inv), nil)
		want(t, "use", l.Use(inv), nil)
	}
	before, _ := os.ReadFile(path)
	want(t, "prune", l.Prune(time.Hour), nil)
	after, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(after), "old") || bytes.Count(after, []byte("kept")) != 2 || bytes.Equal(before, after) {
		t.Errorf("after the pruning: %v\n%s", err, after)
	}
	want(t, "the kept one", l.Use(kept), ErrInviteUsed)
	want(t, "the kept one, elsewhere", openTestLedger(t, path, &log).Use(kept), ErrInviteUsed)
	if _, ok := l.Find("old"); ok {
		t.Error("what was pruned is still in memory")
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("the directory holds %v, %v", files, err)
	}
	if log.Len() > 0 {
		t.Errorf("complained: %s", log.String())
	}
}

// TestLedgerAfterACrash cuts the file at each byte of its last line.
func TestLedgerAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	l := openTestLedger(t, path, nil)
	one, two := testInvite("one", 1), testInvite("two", 1)
	want(t, "one", l.Use(one), nil)
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "two", l.Use(two), nil)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(first) + 1; cut < len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		l := openTestLedger(t, path, &log)
		if n := strings.Count(log.String(), "cut short"); n != 1 {
			t.Fatalf("cut at %d: %d warnings: %s", cut, n, log.String())
		}
		if _, err := l.Poll(); err != nil || strings.Count(log.String(), "cut short") != 1 {
			t.Fatalf("cut at %d: the poll says so again: %v, %s", cut, err, log.String())
		}
		want(t, "one", l.Use(one), ErrInviteUsed)
		want(t, "two, whose line was cut", l.Use(two), nil)
		again := openTestLedger(t, path, nil)
		want(t, "one, later", again.Use(one), ErrInviteUsed)
		want(t, "two, later", again.Use(two), ErrInviteUsed)
		if t.Failed() {
			t.Fatalf("cut at %d", cut)
		}
	}
}

func TestLedgerIsEmptied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	var log bytes.Buffer
	l := openTestLedger(t, path, &log)
	one := testInvite("one", 1)
	want(t, "use", l.Use(one), nil)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	want(t, "used in an emptied file", l.Use(one), nil)
	want(t, "used twice in an emptied file", l.Use(one), ErrInviteUsed)
	if !strings.Contains(log.String(), "shorter than it was") {
		t.Errorf("the log is %q", log.String())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want(t, "used in a new file", l.Use(one), nil)
	want(t, "used twice in a new file", l.Use(one), ErrInviteUsed)
}

// TestLedgerSingleUse lets many goroutines use each of several invites, through
// two ledgers of one file as two processes have them, while one prunes.
func TestLedgerSingleUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	ledgers := []*Ledger{openTestLedger(t, path, nil), openTestLedger(t, path, nil)}
	const invites, tries = 4, 16
	var taken [invites]atomic.Int64
	var wg sync.WaitGroup
	for i := range invites {
		inv := testInvite(fmt.Sprint("i", i), 1+i%2)
		for try := range tries {
			wg.Go(func() {
				switch err := ledgers[try%2].Use(inv); {
				case err == nil:
					taken[i].Add(1)
				case !errors.Is(err, ErrInviteUsed):
					t.Error(err)
				}
			})
		}
	}
	wg.Go(func() {
		for i := range 5 {
			old := testInvite(fmt.Sprint("old", i), 1)
			old.Expires = epoch.Add(-time.Hour)
			if err := errors.Join(ledgers[0].Record(old), ledgers[1].Prune(0)); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for i := range invites {
		if n := taken[i].Load(); n != int64(1+i%2) {
			t.Errorf("invite %d of %d uses was used %d times", i, 1+i%2, n)
		}
	}
}

// TestLedgerAcrossProcesses lets several processes race for each invite.
func TestLedgerAcrossProcesses(t *testing.T) {
	const variable, processes = "TURNPIKE_TEST_LEDGER", 4
	if path := os.Getenv(variable); path != "" {
		l := openTestLedger(t, path, nil)
		for i := range 20 {
			if err := l.Use(testInvite(fmt.Sprint("i", i), 1)); err == nil {
				fmt.Printf("took i%d\n", i)
			} else if !errors.Is(err, ErrInviteUsed) {
				t.Error(err)
			}
		}
		return
	}
	path := filepath.Join(t.TempDir(), "invites")
	var wg sync.WaitGroup
	outputs := make([]string, processes)
	for i := range processes {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestLedgerAcrossProcesses$")
			cmd.Env = append(os.Environ(), variable+"="+path)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			outputs[i] = string(out)
		})
	}
	wg.Wait()
	all := strings.Join(outputs, "")
	for i := range 20 {
		if n := strings.Count(all, fmt.Sprintf("took i%d\n", i)); n != 1 {
			t.Errorf("invite %d was taken %d times", i, n)
		}
	}
}

// TestLedgerDoesNotWaitForEver stops a process that holds the lock. Others wait for journalPatience only, and work again
// once it unlocks.
func TestLedgerDoesNotWaitForEver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	synctest.Test(t, func(t *testing.T) {
		l, stopped, one := openTestLedger(t, path, nil), openTestLedger(t, path, nil), testInvite("one", 1)
		if busy, err := tryLockFile(stopped.journal.file); busy || err != nil {
			t.Fatal(busy, err)
		}
		start := time.Now()
		var waiting sync.WaitGroup
		for range 5 {
			waiting.Go(func() { want(t, "use", l.Use(one), errJournalBusy) })
		}
		waiting.Wait()
		if waited := time.Since(start); waited < journalPatience || waited > journalPatience+time.Second {
			t.Errorf("waited %v", waited)
		}
		want(t, "a use that is not counted", l.Use(testInvite("any", 0)), nil)
		if err := unlockFile(stopped.journal.file); err != nil {
			t.Fatal(err)
		}
		want(t, "use", l.Use(one), nil)
	})
}

// TestLedgerIsTheServers holds that the server's user owns a file that a command of root's has created.
func TestLedgerIsTheServers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes files for others")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, 12346); err != nil {
		t.Fatal(err)
	}
	l := openTestLedger(t, filepath.Join(dir, "invites"), nil)
	for _, step := range []string{"made", "pruned"} {
		info, err := os.Stat(l.journal.path)
		if err != nil {
			t.Fatal(err)
		}
		if st := reflect.ValueOf(info.Sys()).Elem(); st.FieldByName("Uid").Uint() != 12345 || st.FieldByName("Gid").Uint() != 12346 {
			t.Errorf("%s: the owner is %+v", step, info.Sys())
		}
		old := testInvite("old", 1)
		old.Expires = epoch.Add(-time.Hour)
		want(t, "made", l.Record(old), nil)
		want(t, "prune", l.Prune(0), nil)
	}
}

// TestLedgerFollowsNoLink holds that nobody who may write the state directory makes a command of root's write elsewhere.
func TestLedgerFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "invites"), filepath.Join(dir, "elsewhere")
	if runtime.GOOS == "windows" {
		t.Skip("windows has no root")
	}
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLedger(path, fixedClock(epoch), slog.New(slog.DiscardHandler))
	if err == nil {
		t.Cleanup(func() { _ = l.Close() })
		err = l.Record(testInvite("a", 1))
	}
	if err == nil {
		t.Error("it writes where a link leads")
	}
	if _, err := os.Lstat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file that the link names: %v", err)
	}
}

func TestLedgerLists(t *testing.T) {
	l := openTestLedger(t, filepath.Join(t.TempDir(), "invites"), nil)
	a, b, old := testInvite("a", 2), testInvite("b", 0), testInvite("old", 0)
	a.Expires, old.Expires = epoch.Add(2*time.Hour), epoch
	for _, inv := range []Invite{a, b, old} {
		want(t, "made", l.Record(inv), nil)
	}
	want(t, "use", l.Use(a), nil)
	want(t, "revoke", l.Revoke("b", b.Expires), nil)
	if got, expect := l.List(), []LedgerEntry{{Invite: b, Revoked: true}, {Invite: a, Used: 1}}; !reflect.DeepEqual(got, expect) {
		t.Errorf("listed %+v", got)
	}
}

// FuzzLedger holds that a ledger reads a growing file like a whole one, and that
// no content makes the file unreadable.
func FuzzLedger(f *testing.F) {
	f.Add([]byte(`{"event":"used","id":"one","expires":"2026-05-04T04:02:01Z"}`+"\n"), 20)
	f.Add([]byte(`{"event":"revoked","id":"one","expires":"2026-05-04T04:02:01Z"}`+"\n"+`{"event":"us`), 70)
	f.Add([]byte("\n\x00{}\nnull\n[]\n{\"event\":\"used\"}\n"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		cut = min(max(cut, 0), len(data))
		path := filepath.Join(t.TempDir(), "invites")
		if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		grown := openTestLedger(t, path, nil)
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(data[cut:]); err != nil {
			t.Fatal(err)
		}
		_ = file.Close()
		if _, err := grown.Poll(); err != nil {
			t.Fatal(err)
		}
		once := openTestLedger(t, path, nil)
		if !reflect.DeepEqual(grown.invites, once.invites) {
			t.Errorf("as it grew %v, at once %v", grown.invites, once.invites)
		}
		for id, entry := range once.invites {
			if id == "" || entry.ID != id || entry.Used < 0 {
				t.Errorf("%q is %+v", id, entry)
			}
		}
	})
}
