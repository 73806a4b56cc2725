package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
)

func TestTicketsForWhom(t *testing.T) {
	tests := []struct {
		guests Guests
		local  bool
		status int
		role   string // or the error's code
	}{
		{GuestsLoopback, true, 200, "member"},
		{GuestsLoopback, false, 401, "invite-required"},
		{GuestsAlways, true, 200, "guest"},
		{GuestsAlways, false, 200, "guest"},
		{GuestsNever, true, 401, "invite-required"},
		{GuestsNever, false, 401, "invite-required"},
	}
	for _, test := range tests {
		from := request(stranger, "turn.example.org")
		if test.local {
			from = request("127.0.0.1:4711", "localhost:8080")
		}
		a := newAPITest(test.guests)
		resp, object := a.do("POST", "/api/v1/tickets", `{"name":" Ada "}`, from)
		got, _ := object["role"].(string)
		if got == "" {
			got = errorCode(object)
		}
		if resp.StatusCode != test.status || got != test.role {
			t.Errorf("guests = %s, local %v: %d %s, want %d %s", test.guests, test.local, resp.StatusCode, got, test.status, test.role)
		}
		if resp.StatusCode != 200 {
			continue
		}
		ticket, err := a.cfg.Tickets.Verify(object["ticket"].(string))
		if err != nil || ticket.Name != "Ada" || !ticket.Chosen || !slices.Equal(ticket.Rooms, []string{"*"}) || string(ticket.Role) != test.role {
			t.Errorf("the ticket is %+v, %v", ticket, err)
		}
		if object["expires"] != a.now.Add(10*time.Minute).UTC().Format(time.RFC3339) || object["name"] != "Ada" {
			t.Errorf("the answer is %v", object)
		}
	}
}

func TestTicketForInvite(t *testing.T) {
	a := newAPITest(GuestsNever)
	invite, _, err := a.cfg.Invites.Issue(auth.Invite{Room: "standup", Role: auth.RoleGuest}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	foreign, _, err := a.cfg.Tickets.Issue(auth.Ticket{Name: "Eve", Rooms: []string{"*"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	from := request(stranger, "turn.example.org")
	post := func(invite string) (*http.Response, map[string]any) {
		body, _ := json.Marshal(ticketRequest{Name: "Ada", Invite: invite})
		return a.do("POST", "/api/v1/tickets", string(body), from)
	}

	resp, object := post(invite)
	if resp.StatusCode != 200 || object["role"] != "guest" {
		t.Fatalf("a good invite: %d %v", resp.StatusCode, object)
	}
	if rooms, _ := json.Marshal(object["rooms"]); string(rooms) != `["standup"]` {
		t.Errorf("the invite opens %s", rooms)
	}
	for name, bad := range map[string]string{"garbage": "x", "a ticket": foreign, "cut off": invite[:len(invite)-2]} {
		if resp, object := post(bad); resp.StatusCode != 401 || errorCode(object) != "unauthorized" {
			t.Errorf("%s as invite: %d %v", name, resp.StatusCode, object)
		}
		a.failures = newBuckets(3, a.failures.table.now)
	}
	a.now = a.now.Add(2 * time.Hour)
	if resp, object := post(invite); resp.StatusCode != 401 || errorCode(object) != "expired" {
		t.Errorf("an old invite: %d %v", resp.StatusCode, object)
	}
}

func TestTicketRefusals(t *testing.T) {
	local := func(headers ...string) *http.Request { return request("127.0.0.1:4711", "localhost:8080", headers...) }
	tests := []struct {
		name   string
		method string
		body   string
		from   *http.Request
		status int
		code   string
		field  string
	}{
		{"taken", "POST", `{"name":"BOB"}`, local(), 409, "name-taken", "name"},
		{"no name", "POST", `{}`, local(), 400, "bad-request", "name"},
		{"long name", "POST", `{"name":"` + strings.Repeat("x", 33) + `"}`, local(), 400, "bad-request", "name"},
		{"name of a wrong type", "POST", `{"name":7}`, local(), 400, "bad-request", "name"},
		{"not JSON", "POST", `name=Ada`, local(), 400, "bad-request", ""},
		{"two objects", "POST", `{"name":"Ada"}{}`, local(), 400, "bad-request", ""},
		{"too long", "POST", `{"name":"` + strings.Repeat("x", maxRequestBody) + `"}`, local(), 413, "bad-request", ""},
		{"a form", "POST", `{"name":"Ada"}`, local("Content-Type: text/plain"), 415, "bad-request", ""},
		{"wrong method", "GET", ``, local(), 405, "method-not-allowed", ""},
		{"another site", "POST", `{"name":"Ada"}`, local("Origin: https://evil.example"), 403, "forbidden", ""},
		{"a sandboxed page", "POST", `{"name":"Ada"}`, local("Origin: null"), 403, "forbidden", ""},
	}
	for _, test := range tests {
		a := newAPITest(GuestsLoopback)
		resp, object := a.do(test.method, "/api/v1/tickets", test.body, test.from)
		e, _ := object["error"].(map[string]any)
		field, _ := e["field"].(string)
		if resp.StatusCode != test.status || errorCode(object) != test.code || field != test.field {
			t.Errorf("%s: %d %v, want %d %s %q", test.name, resp.StatusCode, object, test.status, test.code, test.field)
		}
		if message, _ := e["message"].(string); message == "" {
			t.Errorf("%s: no sentence for people", test.name)
		}
	}
}

func TestBadNameCostsNoUse(t *testing.T) {
	a := newAPITest(GuestsNever)
	uses := 0
	a.cfg.UseInvite = func(auth.Invite) error { uses++; return nil }
	invite, _, err := a.cfg.Invites.Issue(auth.Invite{Room: "standup", Uses: 1}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, status := range map[string]int{"": 400, "Bob": 409} {
		body, _ := json.Marshal(ticketRequest{Name: name, Invite: invite})
		if resp, _ := a.do("POST", "/api/v1/tickets", string(body), request(stranger, "turn.example.org")); resp.StatusCode != status || uses != 0 {
			t.Errorf("name %q: %d, %d uses", name, resp.StatusCode, uses)
		}
	}
	a.cfg.UseInvite = func(auth.Invite) error { return errors.New("disk full") }
	body, _ := json.Marshal(ticketRequest{Name: "Ada", Invite: invite})
	resp, object := a.do("POST", "/api/v1/tickets", string(body), request(stranger, "turn.example.org"))
	if text := fmt.Sprint(object); resp.StatusCode != 500 || errorCode(object) != "internal" || strings.Contains(text, "disk") {
		t.Errorf("without a ledger: %d %v", resp.StatusCode, object)
	}
}
