package auth

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"reflect"
	"testing"
	"time"
)

func TestCodeRooms(t *testing.T) {
	for room, want := range map[string]bool{
		"code-1-abc": true, "code-4096-k7m2pq9xr4ts8w3e": true, "code-1-": true,
		"code-review": false, "code-": false, "code": false, "code-1": false, "code--1-x": false, "barcode-1-abc": false, "code-1a-abc": false,
	} {
		if IsCodeRoom(room) != want {
			t.Errorf("%q: %v", room, !want)
		}
	}
	if a, b := CodeRoom(7, NewCodeRoomID(rand.Reader)), CodeRoom(7, NewCodeRoomID(rand.Reader)); !IsCodeRoom(a) || a == b || len(a) < len("code-7-")+16 {
		t.Errorf("%q, %q", a, b)
	}
}

// TestTicketsOfCodes open the room of their code alone, and no other ticket opens it.
func TestTicketsOfCodes(t *testing.T) {
	const room = "code-7-abc"
	of := func(seats int, rooms ...string) Ticket { return Ticket{Seats: seats, Rooms: rooms} }
	for _, try := range []struct {
		ticket Ticket
		room   string
		want   bool
	}{
		{of(2, room), room, true}, {of(2, room), "code-7-abd", false}, {of(2, room), "code-review", false}, {of(2, "*"), "standup", false},
		{of(0, "*"), room, false}, {of(0, "code-*"), room, false}, {of(0, room), room, false}, {of(0, "*"), "code-review", true},
	} {
		if try.ticket.AllowsRoom(try.room) != try.want {
			t.Errorf("%+v opens %s: %v", try.ticket, try.room, !try.want)
		}
	}
}

func TestTicketsOfCodesRoundTrip(t *testing.T) {
	tickets := testTickets(epoch)
	for _, user := range []User{{Issuer, "ann"}, {"app", "auth0|12:3"}} {
		token, issued, err := tickets.Issue(Ticket{User: user, Name: "Ann", Role: RoleMember, Seats: 3, Rooms: []string{"code-7-abc"}, Invite: "i1", WalkIn: true}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tickets.Verify(token); err != nil || !reflect.DeepEqual(got, issued) || got.User != user || got.Seats != 3 {
			t.Errorf("verified %+v, %v\n  issued %+v", got, err, issued)
		}
	}
	for name, tk := range map[string]Ticket{
		"another issuer's user": {User: User{"app", "ann"}, Rooms: []string{"*"}},
		"one seat":              {Seats: 1, Rooms: []string{"code-7-abc"}},
		"too many seats":        {Seats: MaxSeats + 1, Rooms: []string{"code-7-abc"}},
		"fewer than none":       {Seats: -1, Rooms: []string{"code-7-abc"}},
		"all rooms":             {Seats: 2, Rooms: []string{"*"}},
		"two rooms":             {Seats: 2, Rooms: []string{"code-7-abc", "code-8-abc"}},
		"no room":               {Seats: 2},
		"no user":               {Seats: 2, User: User{"a:b", "ann"}, Rooms: []string{"code-7-abc"}},
	} {
		if token, _, err := tickets.Issue(tk, time.Minute); err == nil {
			t.Errorf("%s: %s", name, token)
		}
	}
}

// TestVerifierKnowsWhoMadeACode: a ticket of ours for another issuer's user ends with the issuer.
func TestVerifierKnowsWhoMadeACode(t *testing.T) {
	tickets := testTickets(epoch)
	token := mustIssue(t, tickets, Ticket{User: User{"app", "ann"}, Seats: 2, Rooms: []string{"code-7-abc"}}, time.Minute)
	app := IssuerConfig{Name: "app", Algorithms: []string{"HS256"}, Audience: "turnpike", Secret: testSecret("app, and more than 32 bytes of it"), DefaultRole: RoleGuest}
	for _, issuers := range [][]IssuerConfig{nil, {app}} {
		v, err := NewVerifier(tickets, nil, issuers, fixedClock(epoch), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		tk, err := v.Verify(token)
		if known := issuers != nil; known != (err == nil) || known && tk.User.Issuer != "app" || !known && !errors.Is(err, ErrUnauthorized) {
			t.Errorf("with %d issuers: %+v, %v", len(issuers), tk, err)
		}
		v.Close()
	}
}
