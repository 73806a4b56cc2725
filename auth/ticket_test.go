package auth

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func testTickets(now time.Time) *Tickets {
	return NewTickets(testSecret("a"), fixedClock(now), testRand("tickets"))
}

func mustIssue(t testing.TB, tickets *Tickets, tk Ticket, ttl time.Duration) string {
	t.Helper()
	token, _, err := tickets.Issue(tk, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTicketRoundTrip(t *testing.T) {
	tickets := testTickets(epoch.Add(123 * time.Millisecond))
	for name, tk := range map[string]Ticket{
		"full": {
			User: User{Subject: "ann"}, Name: "Ann ☂", Role: RoleMember, Invite: "inv1",
			Rooms: []string{"standup", "team-*"},
		},
		"empty":           {},
		"odd subject":     {User: User{Issuer, "a:b/c \"d\" é"}, Role: RoleAdmin},
		"stale ID, times": {ID: "mine", Expires: epoch.Add(-time.Hour), Role: RoleModerator},
	} {
		t.Run(name, func(t *testing.T) {
			token, issued, err := tickets.Issue(tk, 10*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if want := epoch.Add(10 * time.Minute); !issued.Expires.Equal(want) {
				t.Errorf("expires %v, want %v", issued.Expires, want)
			}
			if issued.ID == "" || issued.ID == tk.ID || issued.User.Subject == "" || issued.User.Issuer != Issuer || issued.Role == "" {
				t.Errorf("not filled in: %+v", issued)
			}
			got, err := tickets.Verify(token)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, issued) {
				t.Errorf("verified %+v\n  issued %+v", got, issued)
			}
		})
	}
}

func TestTicketsDiffer(t *testing.T) {
	tickets := testTickets(epoch)
	_, a, _ := tickets.Issue(Ticket{}, time.Hour)
	_, b, _ := tickets.Issue(Ticket{}, time.Hour)
	if a.ID == b.ID || a.User == b.User {
		t.Errorf("two tickets share an ID or a user: %+v, %+v", a, b)
	}
}

func TestIssueRefuses(t *testing.T) {
	tickets, invites := testTickets(epoch), testInvites(epoch)
	for name, tt := range map[string]struct {
		tk  Ticket
		ttl time.Duration
	}{
		"no life":          {Ticket{}, 0},
		"negative life":    {Ticket{}, -time.Hour},
		"under a second":   {Ticket{}, 999 * time.Millisecond},
		"another's issuer": {Ticket{User: User{"accounts.example", "ann"}}, time.Hour},
		"unknown role":     {Ticket{Role: "king"}, time.Hour},
		"bad room pattern": {Ticket{Rooms: []string{"ok", "[a"}}, time.Hour},
		"subject no UTF-8": {Ticket{User: User{Subject: "a\xff"}}, time.Hour},
		"name no UTF-8":    {Ticket{Name: "a\xff"}, time.Hour},
		"room no UTF-8":    {Ticket{Rooms: []string{"a\xff"}}, time.Hour},
		"too long":         {Ticket{Rooms: []string{strings.Repeat("r", maxTokenBytes)}}, time.Hour},
	} {
		t.Run("ticket, "+name, func(t *testing.T) {
			token, issued, err := tickets.Issue(tt.tk, tt.ttl)
			if err == nil || token != "" || !reflect.DeepEqual(issued, Ticket{}) {
				t.Errorf("issued %q, %+v, error %v", token, issued, err)
			}
			if errors.Is(err, ErrUnauthorized) {
				t.Errorf("a caller's mistake looks like a client's: %v", err)
			}
		})
	}
	for name, tt := range map[string]struct {
		inv Invite
		ttl time.Duration
	}{
		"no life":      {Invite{Room: "r"}, 0},
		"no room":      {Invite{}, time.Hour},
		"no UTF-8":     {Invite{Room: "\xff"}, time.Hour},
		"unknown role": {Invite{Room: "r", Role: "king"}, time.Hour},
		"too long":     {Invite{Room: strings.Repeat("r", maxTokenBytes)}, time.Hour},
	} {
		t.Run("invite, "+name, func(t *testing.T) {
			token, issued, err := invites.Issue(tt.inv, tt.ttl)
			if err == nil || token != "" || issued != (Invite{}) {
				t.Errorf("issued %q, %+v, error %v", token, issued, err)
			}
		})
	}
}

func TestAllowsRoom(t *testing.T) {
	for _, tt := range []struct {
		rooms []string
		room  string
		want  bool
	}{
		{nil, "a", false},
		{[]string{"*"}, "a", true},
		{[]string{"*"}, "a/b", true},
		{[]string{"a"}, "a", true},
		{[]string{"a"}, "ab", false},
		{[]string{"a"}, "A", false},
		{[]string{"x", "team-*"}, "team-red", true},
		{[]string{"team-*"}, "team", false},
		{[]string{"team-[0-9]"}, "team-7", true},
		{[]string{"team-?"}, "team-77", false},
		{[]string{"[", "b"}, "b", true},
		{[]string{"["}, "[", false},
		{[]string{""}, "a", false},
	} {
		if got := (Ticket{Rooms: tt.rooms}).AllowsRoom(tt.room); got != tt.want {
			t.Errorf("rooms %q, room %q: %v, want %v", tt.rooms, tt.room, got, tt.want)
		}
	}
}

func TestUserString(t *testing.T) {
	if got := (User{Issuer, "ann"}).String(); got != "turnpike:ann" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkTicketIssue(b *testing.B) {
	tickets := testTickets(epoch)
	tk := Ticket{User: User{Subject: "ann"}, Name: "Ann", Rooms: []string{"*"}, Role: RoleMember}
	b.ReportAllocs()
	for b.Loop() {
		mustIssue(b, tickets, tk, time.Hour)
	}
}

func BenchmarkTicketVerify(b *testing.B) {
	tickets := testTickets(epoch)
	token := mustIssue(b, tickets, Ticket{Name: "Ann", Rooms: []string{"*"}, Role: RoleMember}, time.Hour)
	b.ReportAllocs()
	b.SetBytes(int64(len(token)))
	for b.Loop() {
		if _, err := tickets.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}
