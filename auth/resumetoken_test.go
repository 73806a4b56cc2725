package auth

import (
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func testResume() Resume {
	return Resume{
		Session: "k7m2pq9xr4ts8w3e", Epoch: "4gk2", Generation: 3, Name: "Bob", Until: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		Named: time.Date(2025, 12, 31, 23, 30, 0, 456_000, time.UTC), Chosen: true,
		Ticket: Ticket{ID: "t1", User: User{Issuer: "app", Subject: "bob"}, Name: "Bob", Chosen: true, Rooms: []string{"team-*"}, Role: RoleModerator, Invite: "i1", WalkIn: true, Seats: 3,
			Issued: time.Date(2025, 12, 31, 23, 0, 0, 123_000, time.UTC)},
		In: []ResumeRoom{{ID: "team-a", Size: 4, Host: true, Waiting: true}, {ID: "k7m-2pq-x9r", Size: 2, Call: true}},
	}
}

func TestResumeTokens(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	tokens := NewResumeTokens(testSecret("resume"), clock, rand.Reader)
	token, err := tokens.Issue(testResume())
	if err != nil {
		t.Fatal(err)
	}
	got, err := tokens.Verify(token)
	if err != nil || !reflect.DeepEqual(got, testResume()) {
		t.Errorf("%+v, %v, want %+v", got, err, testResume())
	}

	// A resume token is no ticket, a ticket is no resume token, and each secret has tokens of its own.
	if _, err := NewTickets(testSecret("resume"), clock, rand.Reader).Verify(token); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("it is a ticket: %v", err)
	}
	ticket, _, err := NewTickets(testSecret("resume"), clock, rand.Reader).Issue(Ticket{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{ticket, "", "x", token + "x", token[:len(token)-1], token + "\n", strings.Repeat("x", MaxResumeToken+1)} {
		if _, err := tokens.Verify(bad); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
	if _, err := NewResumeTokens(testSecret("another"), clock, rand.Reader).Verify(token); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("another secret verifies it: %v", err)
	}
	now = now.Add(ResumeTTL + leeway + time.Second)
	if _, err := tokens.Verify(token); err != ErrExpired {
		t.Errorf("an old one: %v", err)
	}
}

func TestResumeTokensIssueRefuses(t *testing.T) {
	tokens := NewResumeTokens(testSecret("resume"), time.Now, rand.Reader)
	for name, change := range map[string]func(*Resume){
		"no session":       func(r *Resume) { r.Session = "" },
		"no epoch":         func(r *Resume) { r.Epoch = "" },
		"no user":          func(r *Resume) { r.Ticket.User.Subject = "" },
		"no issuer":        func(r *Resume) { r.Ticket.User.Issuer = "" },
		"unknown role":     func(r *Resume) { r.Ticket.Role = "king" },
		"not UTF-8":        func(r *Resume) { r.Name = "\xff" },
		"room of no size":  func(r *Resume) { r.In[0].Size = 0 },
		"room of no name":  func(r *Resume) { r.In[0].ID = "" },
		"too many rooms":   func(r *Resume) { r.In = make([]ResumeRoom, 10_000) },
		"a very long name": func(r *Resume) { r.Name = strings.Repeat("x", MaxResumeToken) },
	} {
		r := testResume()
		change(&r)
		if token, err := tokens.Issue(r); err == nil {
			t.Errorf("%s: %s", name, token)
		}
	}
}

// FuzzResumeVerify holds that only a token from Issue verifies.
func FuzzResumeVerify(f *testing.F) {
	tokens := NewResumeTokens(testSecret("resume"), time.Now, rand.Reader)
	token, err := tokens.Issue(testResume())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(token + ".")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := tokens.Verify(s); err == nil && s != token {
			t.Fatalf("%q is %+v", s, got)
		}
	})
}
