package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

// signedIn is a session, or a socket whose hello was refused.
type signedIn struct {
	*websocket.Conn
	welcome wire.Welcome
	refused string // the code of the error
}

// sayHello opens a WebSocket to the server and says hello.
func sayHello(t *testing.T, base string, hello map[string]any) *signedIn {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}}
	conn, _, err := dialer.DialContext(t.Context(), strings.Replace(base, "http", "ws", 1)+"/signal", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	hello["type"] = "hello"
	if err := conn.WriteJSON(hello); err != nil {
		t.Fatal(err)
	}
	in := &signedIn{Conn: conn}
	_, data, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Type, Code string }
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatal(err)
	}
	switch answer.Type {
	case "welcome":
		err = json.Unmarshal(data, &in.welcome)
	case "error":
		in.refused = answer.Code
	}
	if err != nil || in.refused == "" && in.welcome.Session == "" {
		t.Fatalf("answered %s, %v", data, err)
	}
	return in
}

// closeCode waits for the server to close the socket.
func (in *signedIn) closeCode(t *testing.T) int {
	t.Helper()
	for {
		_, _, err := in.ReadMessage()
		if closed, ok := err.(*websocket.CloseError); ok {
			return closed.Code
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (in *signedIn) resumption() map[string]any {
	return map[string]any{"resume": map[string]any{"session": in.welcome.Session, "token": in.welcome.Resume, "received": in.welcome.After}}
}

// TestRevocationEndsSessions holds that a revocation ends the sessions that began with the invite, and no others. One
// session is in no process at that moment, and must not resume.
func TestRevocationEndsSessions(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	serve := func() *testServer {
		s := startServer("--state", state, "--auth-guests", "never")
		t.Cleanup(s.stop)
		return s
	}
	s := serve()
	come := func(invite madeInvite, name string) *signedIn {
		t.Helper()
		ticket, code := exchange(t, s.row("web"), invite.Invite, name)
		if code != "" {
			t.Fatalf("a good invite: %s", code)
		}
		return sayHello(t, s.row("web"), map[string]any{"ticket": ticket})
	}
	bad, late, good := makeInvite(t, state), makeInvite(t, state), makeInvite(t, state)
	ann, bea, cat := come(bad, "Ann"), come(late, "Bea"), come(good, "Cat")

	runCommand(t, "invite", "--state", state, "--revoke", bad.ID)
	if code := ann.closeCode(t); code != wire.CloseEnded {
		t.Errorf("the session was closed with %d, want %d", code, wire.CloseEnded)
	}
	if again := sayHello(t, s.row("web"), ann.resumption()); again.refused != "no-such-session" {
		t.Errorf("resumed: %q, %+v", again.refused, again.welcome)
	}

	s.stop()
	runCommand(t, "invite", "--state", state, "--revoke", late.ID)
	s = serve()
	for _, gone := range []*signedIn{ann, bea} {
		if again := sayHello(t, s.row("web"), gone.resumption()); again.refused != "no-such-session" {
			t.Errorf("resumed after a restart: %q, %+v", again.refused, again.welcome)
		}
	}
	if again := sayHello(t, s.row("web"), cat.resumption()); again.welcome.Session != cat.welcome.Session {
		t.Errorf("a session whose invite is good could not resume: %q, %+v", again.refused, again.welcome)
	}
}
