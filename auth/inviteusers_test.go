package auth

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// memberTicket is the ticket of a user of ours, who came by an invite or by none.
func memberTicket(subject, invite string) Ticket {
	return Ticket{User: User{Issuer, subject}, Role: RoleMember, Invite: invite, Issued: epoch}
}

func idsOf(entries []LedgerEntry) (ids []string) {
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestLedgerKnowsWhoMadeAnInvite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	l := openTestLedger(t, path, nil)
	ada, bob := memberTicket("ada", ""), memberTicket("bob", "")
	want(t, "Ada's first", l.RecordOwn(testInvite("a1", 2), ada, 9), nil)
	want(t, "Ada's second", l.RecordOwn(testInvite("a2", 0), ada, 9), nil)
	want(t, "Bob's", l.RecordOwn(testInvite("b1", 0), bob, 9), nil)
	want(t, "the operator's", l.Record(testInvite("o1", 0)), nil)
	want(t, "a use", l.Use(testInvite("a1", 2)), nil)
	for range 2 { // and again after a restart
		got := l.ListOwn("turnpike:ada")
		if !slices.Equal(idsOf(got), []string{"a1", "a2"}) || got[0].Used != 1 || got[0].Room != "standup" || l.entry("b1").By != "turnpike:bob" || l.entry("o1").By != "" {
			t.Errorf("Ada has %+v; others' makers are %q and %q", got, l.entry("b1").By, l.entry("o1").By)
		}
		l = openTestLedger(t, path, nil)
	}
	for id, user := range map[string]string{"b1": "turnpike:ada", "o1": "turnpike:ada", "none": "turnpike:ada", "": "", "o1 ": ""} {
		want(t, fmt.Sprintf("%q revoked by %q", id, user), l.RevokeOwn(id, user), ErrNoSuchInvite)
	}
	want(t, "the operator's, revoked by nobody", l.RevokeOwn("o1", ""), ErrNoSuchInvite)
	want(t, "Ada's, revoked by Ada", l.RevokeOwn("a1", "turnpike:ada"), nil)
	if got := idsOf(l.ListOwn("turnpike:ada")); !slices.Equal(got, []string{"a2"}) || !l.Revoked("a1") || l.Revoked("b1") || l.Revoked("o1") {
		t.Errorf("Ada has %v", got)
	}
}

// TestRevokedWithTheirMaker: what an invite's people have made goes with it, and what somebody who is thrown out has made.
func TestRevokedWithTheirMaker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	l := openTestLedger(t, path, nil)
	made := func(id, room string, by Ticket) {
		t.Helper()
		inv := testInvite(id, 0)
		inv.Room = room
		want(t, id, l.RecordOwn(inv, by, 9), nil)
	}
	want(t, "root", l.Record(testInvite("root", 0)), nil)
	made("child", "standup", memberTicket("ada", "root"))
	made("grandchild", "standup", memberTicket("bob", "child"))
	made("other", "standup", memberTicket("eve", ""))
	made("lab", "lab", memberTicket("eve", ""))
	made("below", "lab", memberTicket("mallory", "other"))
	want(t, "revoke", l.Revoke("root", epoch.Add(time.Hour)), nil)
	if got, err := l.Poll(); err != nil || !slices.Equal(slices.Sorted(slices.Values(got)), []string{"child", "grandchild", "root"}) {
		t.Errorf("revoked %v, %v", got, err)
	}
	want(t, "one more by a revoked invite", l.RecordOwn(testInvite("late", 0), memberTicket("ada", "root"), 9), ErrInviteRevoked)
	want(t, "kick from the lab", l.Kick(Kick{"turnpike:eve", "lab"}), nil)
	if !l.Revoked("lab") || l.Revoked("other") {
		t.Error("a kick from the lab concerns its invites, and no others")
	}
	lab := testInvite("again", 0)
	lab.Room = "lab"
	want(t, "an invite to the lab after the kick", l.RecordOwn(lab, memberTicket("eve", ""), 9), ErrKicked)
	want(t, "kick", l.Kick(Kick{User: "turnpike:eve"}), nil)
	if !l.Revoked("other") || !l.Revoked("below") {
		t.Error("invites of somebody who was thrown out are good")
	}
	want(t, "an invite after the kick", l.RecordOwn(testInvite("late", 0), memberTicket("eve", ""), 9), ErrKicked)
	l = openTestLedger(t, path, nil)
	for _, id := range []string{"root", "child", "grandchild", "lab", "other", "below"} {
		if !l.Revoked(id) {
			t.Errorf("%s is good after a restart", id)
		}
	}
}

func TestUsersHaveSoManyInvites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	synctest.Test(t, func(t *testing.T) {
		l, err := OpenLedger(path, time.Now, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		const each = 2
		next := 0
		record := func(by Ticket) (string, error) {
			next++
			inv := testInvite(fmt.Sprint("i", next), 0)
			inv.Expires = time.Now().Add(time.Hour).UTC()
			by.Issued = time.Now()
			return inv.ID, l.RecordOwn(inv, by, each)
		}
		makeAndRevoke := func(by Ticket) error {
			id, err := record(by)
			if err == nil {
				err = l.RevokeOwn(id, by.User.String())
			}
			return err
		}
		ada := memberTicket("ada", "")
		for range each {
			if _, err := record(ada); err != nil {
				t.Fatal(err)
			}
		}
		_, err = record(ada)
		want(t, "one too many at a time", err, ErrTooManyInvites)
		time.Sleep(time.Hour + time.Second)
		for range each * (keptInvites - 1) {
			want(t, "made and revoked", makeAndRevoke(ada), nil)
		}
		want(t, "one too many in a day", makeAndRevoke(ada), ErrTooManyInvites)
		bobs, err := record(memberTicket("bob", ""))
		want(t, "another user's", err, nil)

		// Users who come by invites of one user share that user's account, and those of an operator's invite that invite's.
		for _, invite := range []string{bobs, "of the operator"} {
			made := 0
			for user := 0; ; user++ {
				if err := makeAndRevoke(memberTicket(fmt.Sprint(invite, user/each), invite)); err != nil {
					want(t, "one of too many users", err, ErrTooManyInvites)
					break
				}
				made++
			}
			if want := accountInvites * each; made != want && made != want-1 { // Bob has made one
				t.Errorf("users by invite %s have made %d invites, want %d", invite, made, want)
			}
		}
		want(t, "a user with an account of its own", makeAndRevoke(memberTicket("carol", "")), nil)
		l.mu.Lock()
		l.made.count = maxMadeByUsers
		l.mu.Unlock()
		_, err = record(memberTicket("dan", ""))
		want(t, "one more than the server keeps", err, ErrInvitesFull)
		l.mu.Lock()
		l.made.count = len(l.made.account)
		l.mu.Unlock()

		time.Sleep(2 * time.Hour)
		want(t, "prune", l.Prune(time.Hour), nil)
		if m := &l.made; m.count+len(m.by)+len(m.below)+len(m.account)+len(m.paid) != 0 {
			t.Errorf("left of invites that are forgotten: %d, %d, %d, %d, %d", m.count, len(m.by), len(m.below), len(m.account), len(m.paid))
		}
		_, err = record(ada)
		want(t, "a day later", err, nil)
	})
}

// TestRereadInvitesCountOnce: a file that is read again from its start adds nothing.
func TestRereadInvitesCountOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	l := openTestLedger(t, path, nil)
	for _, id := range []string{"a1", "a2"} {
		want(t, id, l.RecordOwn(testInvite(id, 0), memberTicket("ada", "x"), 9), nil)
	}
	want(t, "damage", l.withLock(func() error {
		l.journal.rewind()
		return l.journal.readNew()
	}), nil)
	if l.made.count != 2 || len(l.made.by["turnpike:ada"]) != 2 || len(l.made.below["x"]) != 2 || l.made.paid["x"] != 2 {
		t.Errorf("after another reading: %+v", l.made)
	}
}

// TestLongSubjectsFitALine: the longest subject that an issuer may give fits a line of the ledger, however it is written.
func TestLongSubjectsFitALine(t *testing.T) {
	var log strings.Builder
	l, err := OpenLedger(filepath.Join(t.TempDir(), "invites"), fixedClock(epoch), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	by := memberTicket(strings.Repeat("\u2028", maxSubjectBytes/3), strings.Repeat("p", 26))
	want(t, "made", l.RecordOwn(testInvite("a1", 1), by, 9), nil)
	if got := l.ListOwn(by.User.String()); len(got) != 1 || log.Len() > 0 {
		t.Errorf("listed %v, logged %q", got, log.String())
	}
}

// TestSignedAgain: the link of an invite is the same each time that it is shown.
func TestSignedAgain(t *testing.T) {
	now := epoch
	invites := NewInvites(NewSecret([]byte("a secret of this test, long enough")), func() time.Time { return now }, strings.NewReader(strings.Repeat("r", 64)))
	token, inv, err := invites.Issue(Invite{Room: "standup", Role: RoleMember, Uses: 3}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	again, err := invites.Sign(inv)
	if err != nil || again != token {
		t.Errorf("signed again: %v\n%s\n%s", err, again, token)
	}
	if got, err := invites.Verify(again); err != nil || got != inv {
		t.Errorf("verified: %+v, %v", got, err)
	}
}
