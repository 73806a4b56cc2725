package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKickVoidsWhatWasIssuedBefore: the tickets and resume tokens of before are void, and those of a microsecond later
// are good.
func TestKickVoidsWhatWasIssuedBefore(t *testing.T) {
	now := epoch.Add(500 * time.Microsecond)
	clock := func() time.Time { return now }
	ledger, err := OpenLedger(filepath.Join(t.TempDir(), "invites"), clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	tickets, resumes := NewTickets(testSecret("a"), clock, testRand("")), NewResumeTokens(testSecret("a"), clock, testRand(""))
	v, err := NewVerifier(tickets, ledger.Refuses, []IssuerConfig{appConfig("HS256")}, clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	issue := func() string { return mustIssue(t, tickets, Ticket{User: User{Subject: "ann"}}, 100*24*time.Hour) }
	// resumed returns the ticket that another process finds in the resume token of a session that came by token.
	resumed := func(token string) Ticket {
		tk, err := tickets.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := resumes.Issue(Resume{Session: "s", Epoch: "e", Ticket: tk})
		if err != nil {
			t.Fatal(err)
		}
		r, err := resumes.Verify(signed)
		if err != nil {
			t.Fatal(err)
		}
		return r.Ticket
	}
	before := issue()
	sessionBefore := resumed(before)
	if _, err := v.Verify(before); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Microsecond)
	want(t, "kick", ledger.Kick(Kick{User: "turnpike:ann"}), nil)
	want(t, "kick from a room", ledger.Kick(Kick{"turnpike:bob", "standup"}), nil)
	want(t, "kick of the app's", ledger.Kick(Kick{User: "app:ann"}), nil)
	now = now.Add(time.Microsecond)
	after := issue()

	check := func(what string, err, expected error) {
		t.Helper()
		want(t, what, err, expected)
		if expected != nil {
			want(t, what, err, ErrUnauthorized)
		}
	}
	_, err = v.Verify(before)
	check("a ticket of before", err, ErrKicked)
	check("a session of before", ledger.Refuses(sessionBefore), ErrKicked)
	_, err = v.Verify(after)
	check("a ticket of after", err, nil)
	check("a session of after", ledger.Refuses(resumed(after)), nil)
	check("another user", ledger.Refuses(Ticket{User: User{Issuer, "bob"}, Issued: epoch}), nil)

	for issued, refused := range map[time.Time]bool{epoch: true, now.Add(time.Second): false} {
		bob := Ticket{User: User{Issuer, "bob"}, Issued: issued}
		if ledger.RefusesRoom(bob, "standup") != refused || ledger.RefusesRoom(bob, "den") || ledger.Refuses(bob) != nil {
			t.Errorf("a user who was thrown out of one room, with a ticket of %v: %v", issued, ledger.RefusesRoom(bob, "standup"))
		}
	}

	app := func(name string, value any) error {
		_, err := v.Verify(appSign(t, "HS256", appWith(name, value)))
		return err
	}
	check("an app's token of before", app("iat", epoch.Unix()-1), ErrKicked)
	now = epoch.Add(2 * time.Second)
	check("an app's token of after", app("iat", epoch.Unix()+1), nil)
	check("an app's token without a time", app("iat", nil), ErrKicked)
	now = epoch.Add(30 * time.Minute)
	check("half an hour later", app("iat", "today"), ErrKicked)
	check("of before, half an hour later", app("iat", epoch.Unix()), ErrKicked)
	now = epoch.Add(ResumeTTL + time.Second)
	check("without a time, an hour later", ledger.Refuses(Ticket{User: User{"app", "ann"}}), nil)
	now = epoch.Add(29 * 24 * time.Hour)
	want(t, "prune", ledger.Prune(time.Hour), nil)
	check("of before, long after", ledger.Refuses(sessionBefore), ErrKicked)
	now = epoch.Add(31 * 24 * time.Hour)
	want(t, "prune", ledger.Prune(time.Hour), nil)
	check("when the kick is over", ledger.Refuses(sessionBefore), nil)
}

// TestKicksGoFromProcessToProcess: another process hears of a kick by its next poll, once, and a later start knows it.
func TestKicksGoFromProcessToProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites")
	server, command := openTestLedger(t, path, nil), openTestLedger(t, path, nil)
	poll := func(users ...Kick) {
		t.Helper()
		if _, err := server.Poll(); err != nil {
			t.Fatal(err)
		}
		if got := server.PollKicks(); !slices.Equal(got, users) {
			t.Errorf("news %v, want %v", got, users)
		}
	}
	poll()
	want(t, "kick", command.Kick(Kick{"app:ann", "standup"}), nil)
	if !server.Kicked(Kick{"app:ann", "standup"}).IsZero() {
		t.Error("known before it was read")
	}
	poll(Kick{"app:ann", "standup"})
	poll()
	want(t, "its own", server.Kick(Kick{User: "app:bob"}), nil)
	poll(Kick{User: "app:bob"})
	want(t, "prune by another", command.Prune(time.Hour), nil)
	poll()
	later := openTestLedger(t, path, nil)
	if news := later.PollKicks(); len(news) > 0 || !later.Kicked(Kick{"app:ann", "standup"}).Equal(epoch) || !later.Kicked(Kick{User: "app:bob"}).Equal(epoch) {
		t.Errorf("after a restart: news %v, %v, %v", news, later.Kicked(Kick{"app:ann", "standup"}), later.Kicked(Kick{User: "app:bob"}))
	}
	want(t, "kick again, at the same moment", command.Kick(Kick{User: "app:bob"}), nil)
	poll(Kick{User: "app:bob"})
	if at := server.Kicked(Kick{User: "app:bob"}); !at.After(epoch) {
		t.Errorf("the second kick is of %v", at)
	}
	longest := "turnpike:" + strings.Repeat("\x01", maxTokenBytes-100) // which JSON makes the most of
	want(t, "kick a long user", command.Kick(Kick{User: longest}), nil)
	poll(Kick{User: longest})
	for _, bad := range []string{"", strings.Repeat("x", maxLedgerLine)} {
		if err := command.Kick(Kick{User: bad}); err == nil {
			t.Errorf("%.10q was kicked", bad)
		}
	}
}

// TestKicksAreBounded: a backend that throws everybody out each time they leave fills neither the memory nor the file.
func TestKicksAreBounded(t *testing.T) {
	var k kicks
	for i := range maxKicks + 3*maxKicks {
		k.add(Kick{User: fmt.Sprint(i % (maxKicks + 5))}, epoch.Add(time.Duration(i)))
	}
	if len(k.at) > maxKicks || len(k.order) > 2*maxKicks || len(k.news) > maxKicks {
		t.Errorf("%d users, %d kicks in order, %d news", len(k.at), len(k.order), len(k.news))
	}
	last := Kick{User: fmt.Sprint((4*maxKicks - 1) % (maxKicks + 5))}
	if k.at[last].IsZero() {
		t.Error("the newest is forgotten")
	}

	path := filepath.Join(t.TempDir(), "invites")
	now := epoch
	l, err := OpenLedger(path, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 5 {
		now = now.Add(time.Second)
		want(t, "kick", l.Kick(Kick{User: "app:ann"}), nil)
	}
	want(t, "prune", l.Prune(time.Hour), nil)
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != 1 {
		t.Errorf("kept %s, %v", text, err)
	}
	if tk := (Ticket{User: User{"app", "ann"}, Issued: now}); !errors.Is(l.Refuses(tk), ErrKicked) {
		t.Error("the last kick was lost")
	}
}

// TestKickUnderWay: what is issued while a kick is being written to the disk is of before it, as long as its ticket is looked at again.
func TestKickUnderWay(t *testing.T) {
	var ledger *Ledger
	looking := false
	late := Ticket{User: User{Issuer, "ann"}, Issued: epoch.Add(time.Hour)} // of after the time that the kick has
	clock := func() time.Time {
		if looking { // the kick has its time, and is not on the disk yet
			looking = false
			want(t, "a ticket that is issued meanwhile", ledger.Refuses(late), ErrKicked)
			if ledger.RefusesRoom(late, "standup") {
				t.Error("the kick of everything counts as one from a room, too")
			}
		}
		return epoch
	}
	ledger, err := OpenLedger(filepath.Join(t.TempDir(), "invites"), clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	want(t, "before", ledger.Refuses(late), nil)
	looking = true
	want(t, "kick", ledger.Kick(Kick{User: "turnpike:ann"}), nil)
	if looking {
		t.Error("nobody has looked")
	}
	want(t, "a ticket of after", ledger.Refuses(late), nil)
}
