package signal

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// TestCaller: a session shows itself by its present resume token, wherever it is in its life, and nobody else does.
func TestCaller(t *testing.T) {
	revoked := false
	h := newHarness(t, func(c *Config) {
		c.ResumeWindow = testWindow
		c.Presence = map[string]Presence{"app": PresenceIssuer}
		c.Revoked = func(auth.Ticket) bool { return revoked }
	})
	ada := h.member("ada")
	ada.join("standup")
	bob := h.guest("bob")
	bob.join("standup")
	check := func(c *client, token string, wantFound bool) Caller {
		t.Helper()
		got, found, err := h.srv.Caller(token)
		if err != nil || found != wantFound || found && got.Session != c.session {
			t.Errorf("the caller is %+v, %v, %v; want session %s found: %v", got, found, err, c.session, wantFound)
		}
		return got
	}
	if got := check(ada, ada.token, true); got.Ticket.User.Subject != "ada" || !got.SeesAll || !slices.Equal(got.Rooms, []string{"standup"}) || !slices.Equal(got.Hosts, got.Rooms) {
		t.Errorf("Ada is %+v", got)
	}
	if got := check(bob, bob.token, true); got.SeesAll || len(got.Hosts) > 0 || len(got.Rooms) != 1 {
		t.Errorf("Bob is %+v", got)
	}
	for _, token := range []string{"", "x", testTicket("ada", "Ada", auth.RoleMember)} {
		if _, found, err := h.srv.Caller(token); found || !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("%.10q finds %v, %v", token, found, err)
		}
	}
	former := ada.token
	ada.lose()
	check(ada, former, true) // while it is away
	back, _ := h.back(ada.identity(), wire.ResumedReplayed)
	check(ada, former, false)
	check(back, back.token, true)
	revoked = true
	check(back, back.token, false)
	revoked = false
	back.send(msg{"type": "bye"})
	back.expectClose(wire.CloseBye)
	check(back, back.token, false)
}

// TestKeptOut: somebody who was kicked from a room is kept out of it for its life.
func TestKeptOut(t *testing.T) {
	h := newHarness(t, nil)
	ada := h.guest("ada")
	ada.join("standup")
	bob := h.guest("bob")
	bob.join("standup")
	if h.srv.KeptOut("turnpike:bob", "standup") {
		t.Error("before the kick")
	}
	ada.send(msg{"type": "kick", "id": "k", "room": "standup", "session": bob.session})
	ada.skipTo("kicked")
	if !h.srv.KeptOut("turnpike:bob", "standup") || h.srv.KeptOut("turnpike:ada", "standup") || h.srv.KeptOut("turnpike:bob", "lab") {
		t.Error("after the kick")
	}
}

// TestRefusedOriginIsTold: the operator hears of a page that may not connect.
func TestRefusedOriginIsTold(t *testing.T) {
	told := make(chan string, 1)
	h := newHarness(t, func(c *Config) { c.OriginRefused = func(origin string) { told <- origin } })
	_, resp, err := h.dialer.Dial(h.url, http.Header{"Origin": {"https://other.example"}})
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("connected: %v, %v", resp, err)
	}
	select {
	case origin := <-told:
		if origin != "https://other.example" {
			t.Errorf("told of %q", origin)
		}
	case <-time.After(10 * time.Second):
		t.Error("told of nothing")
	}
}
