package client_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
)

// memberTicket is a member's ticket for all rooms.
func (s *server) memberTicket(t *testing.T, name string) string {
	t.Helper()
	token, _, err := auth.NewTickets(s.secret, time.Now, rand.Reader).Issue(auth.Ticket{User: auth.User{Subject: name}, Name: name, Role: auth.RoleMember, Rooms: []string{"*"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if client.CodeOf(err) != code {
		t.Errorf("%s: %v (%s), want %s", what, err, client.CodeOf(err), code)
	}
}

// TestCode: a guest of a server that has none otherwise meets the maker of a code, in the code's room and nowhere else.
func TestCode(t *testing.T) {
	s := newServer(t, "--auth-guests", "never")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	made, err := client.NewCode(ctx, client.Config{URL: s.url, Ticket: s.memberTicket(t, "ada")}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if made.Slot != 1 || made.Name != "ada" || time.Until(made.Expires) > 10*time.Minute || time.Until(made.Expires) < 9*time.Minute {
		t.Errorf("made %v, which expires at %v", made, made.Expires)
	}
	maker := dialCode(t, ctx, s, made)
	room, err := maker.Join(ctx, made.Room, client.JoinOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := client.TakeCode(ctx, client.Config{URL: s.url}, made.Slot)
	if err != nil {
		t.Fatal(err)
	}
	if taken.Room != made.Room || taken.Name == "" {
		t.Errorf("taken %v", taken)
	}
	guest := dialCode(t, ctx, s, taken)
	if _, err := guest.Join(ctx, "standup", client.JoinOptions{Create: true}); client.CodeOf(err) != "forbidden" {
		t.Errorf("the guest in another room: %v", err)
	}
	if _, err := guest.Join(ctx, taken.Room, client.JoinOptions{Create: true}); err != nil {
		t.Fatal(err)
	}
	peer, err := room.WaitPeer(ctx, nil)
	if err != nil || peer.Name() != taken.Name {
		t.Errorf("the maker sees %v, %v", peer, err)
	}

	_, err = client.TakeCode(ctx, client.Config{URL: s.url, Name: "Eve"}, made.Slot)
	wantCode(t, "a second one", err, client.CodeUsed)
	if err := made.Renew(ctx, 1); err != nil {
		t.Fatal(err)
	}
	again, err := client.TakeCode(ctx, client.Config{URL: s.url, Name: "Eve"}, made.Slot)
	if err != nil || again.Name != "Eve" {
		t.Fatalf("one more: %v, %v", again, err)
	}
	if _, err := dialCode(t, ctx, s, again).Join(ctx, again.Room, client.JoinOptions{Create: true}); err != nil {
		t.Errorf("one more finds no seat: %v", err)
	}
	wantCode(t, "renewed by a guest", taken.Renew(ctx, 1), "forbidden")
	wantCode(t, "burnt by a guest", taken.Burn(ctx), "forbidden")
	if err := made.Burn(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = client.TakeCode(ctx, client.Config{URL: s.url}, made.Slot)
	wantCode(t, "after it was burnt", err, client.CodeNoSuchCode)
	wantCode(t, "renewed after it was burnt", made.Renew(ctx, -1), client.CodeNoSuchCode)
}

// dialCode signs in as the library's page says.
func dialCode(t *testing.T, ctx context.Context, s *server, code *client.Code) *client.Session {
	t.Helper()
	session, err := client.Dial(ctx, client.Config{URL: s.url, GetTicket: code.GetTicket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

func TestNoCode(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	guest, _, err := auth.NewTickets(s.secret, time.Now, rand.Reader).Issue(auth.Ticket{User: auth.User{Subject: "g"}, Role: auth.RoleGuest, Rooms: []string{"*"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]struct {
		config    client.Config
		receivers int
		code      string
	}{
		"no URL":             {client.Config{}, 1, client.CodeBadURL},
		"a guest":            {client.Config{URL: s.url, Ticket: guest}, 1, "forbidden"},
		"no ticket of ours":  {client.Config{URL: s.url, Ticket: "x"}, 1, "unauthorized"},
		"too many receivers": {client.Config{URL: s.url}, 16, "bad-request"},
		"no receivers":       {client.Config{URL: s.url}, 0, "bad-request"},
	} {
		_, err := client.NewCode(ctx, try.config, try.receivers)
		wantCode(t, what, err, try.code)
		if err != nil && strings.Contains(err.Error(), "role and rooms") {
			t.Errorf("%s: the hint misleads: %v", what, err)
		}
	}
	_, err = client.TakeCode(ctx, client.Config{}, 1)
	wantCode(t, "no URL", err, client.CodeBadURL)
	for _, slot := range []int{7, 0, -1} {
		_, err = client.TakeCode(ctx, client.Config{URL: s.url}, slot)
		wantCode(t, fmt.Sprint("slot ", slot), err, client.CodeNoSuchCode)
	}
}

// TestCodePrintsNoTicket, however it is printed.
func TestCodePrintsNoTicket(t *testing.T) {
	s := newServer(t)
	code, err := client.NewCode(t.Context(), client.Config{URL: s.url, Name: "Ada"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, code); strings.Contains(text, code.Ticket) || !strings.Contains(text, code.Room) {
			t.Errorf("%s: %s", verb, text)
		}
	}
}

// TestCodeTicketsAreRenewed: the maker's session can come back for as long as its code holds, and after that as long as its ticket does.
func TestCodeTicketsAreRenewed(t *testing.T) {
	s, err := startServer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(s.stop)
	defer stop()
	made, err := client.NewCode(t.Context(), client.Config{URL: s.url, Name: "Ada"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	get := func() string {
		t.Helper()
		ticket, err := made.GetTicket(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	if ticket := get(); ticket != made.Ticket {
		t.Error("a ticket that has just come was renewed")
	}
	client.Age(made, time.Hour)
	fresh := get()
	if fresh == made.Ticket {
		t.Error("an old ticket was not renewed")
	}
	if err := made.Burn(t.Context()); err != nil {
		t.Fatal(err)
	}
	client.Age(made, time.Hour)
	if ticket := get(); ticket != fresh {
		t.Error("once the code is over, the last ticket is not given any more")
	}
	stop()
	client.Age(made, time.Hour)
	if _, err := made.GetTicket(t.Context()); client.CodeOf(err) != client.CodeOffline {
		t.Errorf("with no server: %v", err)
	}
}

// One side makes a code, and tells the other its number. The other comes in by it.
func ExampleNewCode() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url, stop := exampleServer()
	defer stop()

	made, err := client.NewCode(ctx, client.Config{URL: url, Name: "Ann"}, 1)
	if err != nil {
		log.Fatal(err)
	}
	defer made.Burn(ctx)
	inside, err := client.Dial(ctx, client.Config{URL: url, GetTicket: made.GetTicket})
	if err != nil {
		log.Fatal(err)
	}
	defer inside.Close()
	room, err := inside.Join(ctx, made.Room, client.JoinOptions{Create: true})
	if err != nil {
		log.Fatal(err)
	}

	// On another machine, of somebody without an account:
	taken, err := client.TakeCode(ctx, client.Config{URL: url, Name: "Bob"}, made.Slot)
	if err != nil {
		log.Fatal(err)
	}
	outside, err := client.Dial(ctx, client.Config{URL: url, GetTicket: taken.GetTicket})
	if err != nil {
		log.Fatal(err)
	}
	defer outside.Close()
	if _, err := outside.Join(ctx, taken.Room, client.JoinOptions{Create: true}); err != nil {
		log.Fatal(err)
	}

	peer, err := room.WaitPeer(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(peer.Name(), "came by the code", made.Slot)

	// Output: Bob came by the code 1
}
