package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"example.org/turnpike/signal/wire"
)

// TestKickHoldsOverRestarts holds that a kick ends all sessions of one user, and that nothing of before lets the user in
// again, neither now nor in the next process: only a new ticket does.
func TestKickHoldsOverRestarts(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	serve := func() *testServer {
		s := startServer("--state", state, "--auth-guests", "never")
		t.Cleanup(s.stop)
		return s
	}
	s := serve()
	ticket := func(user string) map[string]any {
		t.Helper()
		token := runCommand(t, "ticket", "--state", state, "--user", user, "--ttl", "24h")
		return map[string]any{"ticket": strings.TrimSpace(token)}
	}
	ofAnn, ofBob := ticket("ann"), ticket("bob")
	ann, ann2, bob := sayHello(t, s.row("web"), ofAnn), sayHello(t, s.row("web"), ofAnn), sayHello(t, s.row("web"), ofBob)
	for _, in := range []*signedIn{ann, bob} {
		if err := in.WriteJSON(map[string]any{"type": "join", "room": "standup", "create": true}); err != nil {
			t.Fatal(err)
		}
		in.until(t, "resume") // the token that knows the room
	}

	var users []struct {
		User     string
		Sessions []struct{ Rooms []string }
	}
	out := runCommand(t, "users", "--state", state, "--json")
	if err := json.Unmarshal([]byte(out), &users); err != nil || len(users) != 2 || users[0].User != "turnpike:ann" || len(users[0].Sessions) != 2 {
		t.Fatalf("users %s, %v", out, err)
	}
	if table := runCommand(t, "users", "--state", state); strings.Count(table, "turnpike:ann ") != 2 || strings.Count(table, " standup ") != 2 {
		t.Errorf("users\n%s", table)
	}

	if out := runCommand(t, "kick", "--state", state, "--user", "turnpike:ann"); !strings.Contains(out, "2 sessions ended") {
		t.Errorf("kick: %s", out)
	}
	for _, in := range []*signedIn{ann, ann2} {
		if code := in.closeCode(t); code != wire.CloseEnded {
			t.Errorf("closed with %d, want %d", code, wire.CloseEnded)
		}
	}
	for _, when := range []string{"at once", "after a restart"} {
		for _, hello := range []map[string]any{ann.resumption(), ann2.resumption()} {
			if again := sayHello(t, s.row("web"), hello); again.refused != "no-such-session" {
				t.Errorf("%s, resumed: %q, %+v", when, again.refused, again.welcome)
			}
		}
		if again := sayHello(t, s.row("web"), ofAnn); again.refused != "unauthorized" {
			t.Errorf("%s, by the ticket of before: %q, %+v", when, again.refused, again.welcome)
		}
		if again := sayHello(t, s.row("web"), ticket("ann")); again.refused != "" {
			t.Errorf("%s, by a new ticket: %q", when, again.refused)
		}
		if when == "at once" {
			s.stop()
			s = serve()
		}
	}
	back := sayHello(t, s.row("web"), bob.resumption())
	if back.welcome.Session != bob.welcome.Session || len(back.welcome.Rooms) != 1 {
		t.Errorf("another user did not come back: %q, %+v", back.refused, back.welcome)
	}

	// While no server runs, too: out of a room, and out of everything.
	s.stop()
	runCommand(t, "kick", "--state", state, "--user", "turnpike:bob", "--room", "standup")
	s = serve()
	back = sayHello(t, s.row("web"), bob.resumption())
	if back.welcome.Session != bob.welcome.Session || len(back.welcome.Rooms) != 0 {
		t.Errorf("back in the room: %q, %+v", back.refused, back.welcome)
	}
	s.stop()
	runCommand(t, "kick", "--state", state, "--user", "turnpike:bob")
	s = serve()
	if again := sayHello(t, s.row("web"), bob.resumption()); again.refused != "no-such-session" {
		t.Errorf("resumed: %q, %+v", again.refused, again.welcome)
	}
}

// until reads until a message of this type comes, and keeps the resume token.
func (in *signedIn) until(t *testing.T, typ string) {
	t.Helper()
	for {
		var m struct{ Type, Token string }
		if err := in.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
		if m.Type == wire.TypeResume {
			in.welcome.Resume = m.Token
		}
		if m.Type == typ {
			return
		}
	}
}
