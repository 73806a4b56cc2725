package node

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// codeRequest sends a request about codes, and returns the answer's ticket and room, or the code of its error.
func codeRequest(t *testing.T, s *testNode, ticket, method, path, body string) (answer struct{ Ticket, Room, Name string }, failed string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.row("web")+"/api/v1/codes"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if ticket != "" {
		request.Header.Set("Authorization", "Bearer "+ticket)
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		err = json.NewDecoder(resp.Body).Decode(&answer)
	} else {
		var refusal struct{ Error struct{ Code string } }
		err = json.NewDecoder(resp.Body).Decode(&refusal)
		failed = refusal.Error.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer, failed
}

// TestCodesOfTheKicked: a kick ends what a user has by its codes, and the user makes no more by what it had before.
func TestCodesOfTheKicked(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := start(t, "--state", state)
	ada := ticketFrom(t, s, "Ada", "")
	made, failed := codeRequest(t, s, ada, "POST", "", `{"receivers": 2}`)
	if failed != "" {
		t.Fatal(failed)
	}
	taken, failed := codeRequest(t, s, "", "POST", "/1", `{"name": "Eve"}`)
	if failed != "" || taken.Room != made.Room {
		t.Fatalf("%+v, %s", taken, failed)
	}
	maker, guest := signInWith(t, s, made.Ticket), signInWith(t, s, taken.Ticket)
	for _, c := range []*signalingClient{guest, maker} {
		c.say(`{"type":"join","id":"1","room":%q,"create":true}`, made.Room)
		c.hear("joined")
	}
	guest.say(`{"type":"join","id":"2","room":"standup","create":true}`)
	if m, ok := guest.hear("error").(*wire.Error); !ok || m.Code != wire.CodeForbidden {
		t.Errorf("the guest in another room: %+v", m)
	}
	if maker.welcome.Role != string(auth.RoleMember) || guest.welcome.Role != string(auth.RoleGuest) {
		t.Errorf("the maker is a %s, and the other a %s", maker.welcome.Role, guest.welcome.Role)
	}
	if _, err := NewAdminClient(load(t, "--state", state)).Kick(t.Context(), auth.Kick{User: maker.welcome.User}); err != nil {
		t.Fatal(err)
	}
	guest.hear("peer-left")
	for _, ticket := range []string{ada, made.Ticket} {
		for _, path := range []string{"", "/1"} {
			method := map[string]string{"": "POST", "/1": "PATCH"}[path]
			if _, failed := codeRequest(t, s, ticket, method, path, `{}`); failed != "unauthorized" {
				t.Errorf("%s %s by a ticket of before the kick: %q", method, path, failed)
			}
		}
	}
	if _, failed := codeRequest(t, s, "", "POST", "/1", `{"name": "Dan"}`); failed != "no-such-code" {
		t.Errorf("a code of somebody who was thrown out: %q", failed)
	}
}

// TestCodeOutlivesRestart: the ticket of a code opens its room after a restart too, and the slot is forgotten.
func TestCodeOutlivesRestart(t *testing.T) {
	args := []string{"--state", filepath.Join(t.TempDir(), "state")}
	s := start(t, args...)
	made, failed := codeRequest(t, s, ticketFrom(t, s, "Ada", ""), "POST", "", `{}`)
	if failed != "" {
		t.Fatal(failed)
	}
	c := signInWith(t, s, made.Ticket)
	c.say(`{"type":"join","id":"1","room":%q,"create":true}`, made.Room)
	c.hear("joined")
	s.stop()
	again := start(t, args...)
	if _, failed := codeRequest(t, again, made.Ticket, "PATCH", "/1", `{}`); failed != "no-such-code" {
		t.Errorf("the slot after a restart: %q", failed)
	}
	back := signInWith(t, again, made.Ticket)
	back.say(`{"type":"join","id":"1","room":%q,"create":true}`, made.Room)
	back.hear("joined")
}

// TestCodesOfMachines: a machine makes codes, and once it was revoked, they are over, also for the next machine of its name.
func TestCodesOfMachines(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := start(t, "--state", state)
	invite, _ := inviteTo(t, s, auth.Invite{Room: "meeting", Role: auth.RoleMember})
	nas, _ := joinAs(t, s, "nas", invite)
	made, failed := codeRequest(t, s, ticketOf(t, nas), "POST", "", `{"receivers": 2}`)
	if failed != "" || made.Name != "nas" {
		t.Fatalf("%+v, %s", made, failed)
	}
	if made, failed = codeRequest(t, s, made.Ticket, "PATCH", "/1", `{}`); failed != "" {
		t.Errorf("renewed by its own ticket: %s", failed)
	}
	if c := signInWith(t, s, made.Ticket); c.welcome.User != "machine:nas" || c.welcome.Name != "nas" {
		t.Errorf("it signs in as %s, %q", c.welcome.User, c.welcome.Name)
	}
	if _, err := NewAdminClient(load(t, "--state", state)).RevokeMachine(t.Context(), "nas"); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		if again {
			joinAs(t, s, "nas", invite)
		}
		if !refusedTicket(t, s, made.Ticket) {
			t.Errorf("the ticket of its code lets in, another of its name there: %v", again)
		}
		if _, failed := codeRequest(t, s, made.Ticket, "PATCH", "/1", `{}`); failed != "unauthorized" {
			t.Errorf("renewed, another of its name there: %v: %q", again, failed)
		}
		if _, failed := codeRequest(t, s, "", "POST", "/1", `{"name": "Eve"}`); failed != "no-such-code" {
			t.Errorf("taken, another of its name there: %v: %q", again, failed)
		}
	}
}
