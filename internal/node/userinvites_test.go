package node

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// ask sends a request as a session, and returns the status and the answer.
func (c *signalingClient) ask(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.server.row("web")+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.welcome.Resume)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var object map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&object); err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, object
}

// TestUsersInvite: a member lets somebody in by a link, who hosts the room and lets the next one in; and all of them go when
// the member takes the first link back.
func TestUsersInvite(t *testing.T) {
	s := start(t, "--auth-guests", "loopback")
	ada := signIn(t, s, "Ada")
	status, first := ada.ask(http.MethodPost, "/api/v1/invites", `{"room":"standup","uses":2}`)
	if status != 200 {
		t.Fatalf("%d %v", status, first)
	}
	if link, want := first["link"], auth.InviteLink(s.row("web"), "standup", first["invite"].(string)); link != want {
		t.Errorf("the link is %v, want %s", link, want)
	}
	bob := signInWith(t, s, ticketFrom(t, s, "Bob", first["invite"].(string)))
	if status, object := bob.ask(http.MethodPost, "/api/v1/invites", `{"room":"standup"}`); status != 403 {
		t.Errorf("a guest who hosts nothing: %d %v", status, object)
	}
	bob.say(`{"type":"join","id":"j","room":"standup","create":true}`)
	bob.hear("joined")
	status, second := bob.ask(http.MethodPost, "/api/v1/invites", `{"room":"standup"}`)
	if status != 200 || second["expires"].(string) > first["expires"].(string) {
		t.Fatalf("a guest who hosts: %d %v", status, second)
	}
	eve := signInWith(t, s, ticketFrom(t, s, "Eve", second["invite"].(string)))
	if status, object := bob.ask(http.MethodGet, "/api/v1/invites", ""); status != 200 || len(object["invites"].([]any)) != 1 || object["yours"].(map[string]any)["used"] != 1.0 {
		t.Errorf("Bob sees %d %v", status, object)
	}
	if status, object := ada.ask(http.MethodDelete, "/api/v1/invites/"+first["id"].(string), ""); status != 200 {
		t.Fatalf("revoked: %d %v", status, object)
	}
	for name, c := range map[string]*signalingClient{"Bob": bob, "Eve": eve} {
		for {
			_, _, err := c.conn.ReadMessage()
			if err == nil {
				continue
			}
			if !websocket.IsCloseError(err, wire.CloseEnded) {
				t.Errorf("%s's session ends by %v", name, err)
			}
			break
		}
		if status, object := c.ask(http.MethodGet, "/api/v1/invites", ""); status != 401 || object["error"].(map[string]any)["code"] != "no-such-session" {
			t.Errorf("%s still asks: %d %v", name, status, object)
		}
	}
	if status, _ := ada.ask(http.MethodGet, "/api/v1/invites", ""); status != 200 {
		t.Errorf("Ada asks: %d", status)
	}
}

// TestRefusedOriginsAreLogged: a page of another origin is refused over HTTP and by /signal, and the log says what would admit it.
func TestRefusedOriginsAreLogged(t *testing.T) {
	for way, path := range map[string]string{"http": "/api/v1/tickets", "websocket": "/signal"} {
		s := start(t)
		header := http.Header{"Origin": {"https://app.example.org"}, "Sec-Websocket-Protocol": {wire.Subprotocol}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.row("web")+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", way, resp.StatusCode)
		}
		untilLogged(t, s, `mend="http.allowed_origins = [\"https://app.example.org\"]"`, 1)
	}
}
