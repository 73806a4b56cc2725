package signal

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// TestProtocolPage holds that PROTOCOL.md shows exactly the examples of wire/testdata.
func TestProtocolPage(t *testing.T) {
	page, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown []any
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(page, -1) {
		var v any
		if err := json.Unmarshal(block[1], &v); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
		shown = append(shown, v)
	}
	paths, _ := filepath.Glob("wire/testdata/*.json")
	topics, _ := filepath.Glob("wire/testdata/page/*.json") // what the call page says to itself, which only JavaScript reads
	paths = append(paths, topics...)
	used := make([]bool, len(shown))
	for _, path := range paths {
		var ex struct{ Message any }
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &ex)
		}
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for i, v := range shown {
			if reflect.DeepEqual(v, ex.Message) {
				used[i], found = true, true
			}
		}
		if !found {
			t.Errorf("%s is not on the page", path)
		}
	}
	for i, ok := range used {
		if !ok {
			t.Errorf("an example of the page is not in wire/testdata: %v", shown[i])
		}
	}
	for _, code := range wire.Codes() {
		if !strings.Contains(string(page), "`"+string(code)+"`") {
			t.Errorf("the page does not explain the code %s", code)
		}
	}
}

// TestErrors drives every error that one client alone can draw.
func TestErrors(t *testing.T) {
	h := newHarness(t, nil)
	full1, _ := h.pair("full")
	for _, tc := range []struct {
		name   string
		ticket string // default: a member's
		send   string
		code   wire.Code
		field  string
	}{
		{name: "not JSON", send: `{`, code: wire.CodeBadMessage},
		{name: "unknown type", send: `{"type":"dance","id":"1"}`, code: wire.CodeBadMessage, field: "type"},
		{name: "null field", send: `{"type":"leave","id":"1","room":null}`, code: wire.CodeBadMessage, field: "room"},
		{name: "prototype", send: `{"type":"leave","id":"1","room":"__proto__"}`, code: wire.CodeBadMessage, field: "room"},
		{name: "second hello", send: `{"type":"hello","id":"1","ticket":"x"}`, code: wire.CodeBadMessage, field: "type"},
		{name: "join no such room", send: `{"type":"join","id":"1","room":"nowhere"}`, code: wire.CodeNotExisting},
		{name: "join full", send: `{"type":"join","id":"1","room":"full"}`, code: wire.CodeFull},
		{name: "create full", send: `{"type":"join","id":"1","room":"full","create":true,"size":16}`, code: wire.CodeFull},
		{name: "join other room than the ticket's", ticket: testTicket("t1", "T1", auth.RoleMember, "standup"),
			send: `{"type":"join","id":"1","room":"full"}`, code: wire.CodeForbidden},
		{name: "generated room with a ticket for one", ticket: testTicket("t2", "T2", auth.RoleGuest, "standup"),
			send: `{"type":"join","id":"1"}`, code: wire.CodeForbidden},
		{name: "leave a room that one is not in", send: `{"type":"leave","id":"1","room":"full"}`, code: wire.CodeNotInRoom},
		{name: "signal into another room", send: `{"type":"signal","id":"1","room":"full","to":"` + full1.session + `","candidate":null}`, code: wire.CodeNotInRoom},
		{name: "signal into no room", send: `{"type":"signal","id":"1","room":"nowhere","to":"` + full1.session + `","candidate":null}`, code: wire.CodeNotInRoom},
		{name: "call nobody", send: `{"type":"call","id":"1","to":"turnpike:nobody"}`, code: wire.CodeNoSuchUser},
		{name: "guest calls a stranger", ticket: testTicket("t3", "T3", auth.RoleGuest),
			send: `{"type":"call","id":"1","to":"turnpike:full a"}`, code: wire.CodeNoSuchUser},
		{name: "call oneself", ticket: testTicket("t4", "T4", auth.RoleMember), send: `{"type":"call","id":"1","to":"turnpike:t4"}`, code: wire.CodeForbidden},
		{name: "accept no call", send: `{"type":"accept","id":"1","call":"x"}`, code: wire.CodeNoSuchCall},
		{name: "decline no call", send: `{"type":"decline","id":"1","call":"x"}`, code: wire.CodeNoSuchCall},
		{name: "cancel no call", send: `{"type":"cancel","id":"1","call":"x"}`, code: wire.CodeNoSuchCall},
		{name: "hang up no call", send: `{"type":"hangup","id":"1","call":"x"}`, code: wire.CodeNoSuchCall},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ticket := tc.ticket
			if ticket == "" {
				ticket = testTicket("someone", "Someone", auth.RoleMember)
			}
			c := h.welcome(ticket)
			c.t = t
			c.sendText(tc.send)
			e := c.expect("error", "code", tc.code)
			if tc.field != "" && e["field"] != tc.field {
				t.Errorf("field %v, want %s", e["field"], tc.field)
			}
			if strings.Contains(tc.send, `"id"`) && e["ref"] != "1" {
				t.Errorf("ref %v, want 1", e["ref"])
			}
			if e["message"] == "" {
				t.Error("no sentence")
			}
			c.expectNothing() // and the session lives on
			c.send(msg{"type": "bye"})
			c.expectClose(wire.CloseBye)
		})
	}
}

func TestHello(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		cfg.ICEServers = testICEServers
	})
	c := h.dial()
	c.send(msg{"type": "join", "id": "early", "room": "a"})
	c.expect("error", "code", "bad-message", "field", "type", "ref", "early")
	c.send(msg{"type": "hello", "id": "h", "ticket": testTicket("ann", "Ann", auth.RoleMember), "name": "Not Ann", "resume": msg{"session": "x", "token": "x", "received": 0}})
	w := c.expect("welcome", "ref", "h", "user", "turnpike:ann", "name", "Ann", "role", "member", "online", "[]")
	if w["resume"] != nil || len(w["session"].(string)) != sessionIDLength {
		t.Errorf("welcome %v", w)
	}
	servers := w["iceServers"].([]any)
	if got := servers[0].(map[string]any)["username"]; got != w["session"] {
		t.Errorf("credential for %v, want the session's", got)
	}

	// A guest chooses a name. After a taken one it may try again on the connection.
	g := h.dial()
	ticket := testTicket("bob", "Bob", auth.RoleGuest)
	g.send(msg{"type": "hello", "id": "1", "ticket": ticket, "name": " ANN "})
	g.expect("error", "ref", "1", "code", "name-taken")
	g.send(msg{"type": "hello", "id": "2", "ticket": ticket, "name": "bad\u0000name"})
	g.expect("error", "ref", "2", "code", "bad-message", "field", "name")
	g.send(msg{"type": "hello", "id": "3", "ticket": ticket, "name": "Bobby"})
	g.expect("welcome", "ref", "3", "name", "Bobby", "role", "guest", "online", "[]")
	c.expect("online", "users", "[map[name:Bobby user:turnpike:bob]]")
	if !h.srv.NameTaken("bobby") || h.srv.NameTaken("bob") {
		t.Error("Bobby, not Bob, should be taken")
	}

	// Another session of the user with another name renames the user.
	g2 := h.dial()
	g2.send(msg{"type": "hello", "ticket": ticket, "name": "Robert"})
	g2.expect("welcome", "name", "Robert")
	c.expect("online", "users", "[map[name:Robert user:turnpike:bob]]")
	if h.srv.NameTaken("bobby") || !h.srv.NameTaken("robert") {
		t.Error("Robert, not Bobby, should be taken")
	}

	m := h.member("Cat")
	c.expect("online", "users", "[map[name:Cat user:turnpike:Cat]]")
	m.send(msg{"type": "bye"})
	m.expectClose(wire.CloseBye)
	c.expect("offline", "users", "[map[name:Cat user:turnpike:Cat]]")

	// When the first of two sessions ends, the user stays online.
	g.send(msg{"type": "bye"})
	g.expectClose(wire.CloseBye)
	c.expectNothing()
	g2.conn.Close()
	c.expect("offline", "users", "[map[name:Robert user:turnpike:bob]]")
}

func TestOnlineInWelcome(t *testing.T) {
	h := newHarness(t, nil)
	h.member("Zoe")
	h.guest("Ann")
	c := h.dial()
	c.send(msg{"type": "hello", "ticket": testTicket("m", "M", auth.RoleMember)})
	c.expect("welcome", "online", "[map[name:Ann user:turnpike:Ann] map[name:Zoe user:turnpike:Zoe]]")
	g := h.dial()
	g.send(msg{"type": "hello", "ticket": testTicket("g", "G", auth.RoleGuest)})
	g.expect("welcome", "online", "[]")
}

func TestUnauthorized(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		cfg.Limits.FailedHellos = Rate{PerSecond: 0.001, Burst: 4}
	})
	old := h.dial() // an expired ticket is no guess: it does not count against the address
	for range ticketTries {
		old.send(msg{"type": "hello", "ticket": "expired"})
		old.expect("error", "code", "unauthorized")
	}
	old.expectClose(wire.CloseUnauthorized)
	early := h.dial()
	c := h.dial()
	for range ticketTries {
		c.send(msg{"type": "hello", "id": "x", "ticket": "forged"})
		e := c.expect("error", "ref", "x", "code", "unauthorized")
		if strings.Contains(e["message"].(string), "unauthorized") {
			t.Errorf("the reason is told: %v", e["message"])
		}
	}
	c.expectClose(wire.CloseUnauthorized)

	// The address has one more try. Then a connection that has sent a bad ticket must wait even with a good one.
	early.send(msg{"type": "hello", "ticket": "forged"})
	early.expect("error", "code", "unauthorized")
	early.send(msg{"type": "hello", "id": "y", "ticket": testTicket("a", "A", auth.RoleMember)})
	if e := early.expect("error", "code", "rate-limited", "ref", "y"); e["retryAfter"].(float64) < 1 {
		t.Errorf("retryAfter %v", e["retryAfter"])
	}
	h.guest("b") // has sent no bad ticket
}

func TestUpgradeRefused(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		cfg.AllowedOrigins = []string{"https://App.example.org/", "capacitor://localhost"}
		cfg.Limits.SessionsPerAddr = 2
	})
	host := strings.TrimSuffix(strings.TrimPrefix(h.url, "ws://"), "/signal")
	for _, tc := range []struct {
		name, subprotocol string
		origin            []string
		status            int
	}{
		{"same origin", wire.Subprotocol, []string{"http://" + host}, 101},
		{"allowed origin", wire.Subprotocol, []string{"https://app.example.org"}, 101},
		{"another origin", wire.Subprotocol, []string{"https://evil.example.org"}, 403},
		{"allowed host by another scheme", wire.Subprotocol, []string{"http://app.example.org"}, 403},
		{"packaged app", wire.Subprotocol, []string{"capacitor://localhost"}, 101},
		{"another packaged app", wire.Subprotocol, []string{"tauri://localhost"}, 403},
		{"packaged app with our host", wire.Subprotocol, []string{"tauri://" + host}, 403},
		{"opaque origin", wire.Subprotocol, []string{"null"}, 403},
		{"two origins", wire.Subprotocol, []string{"http://" + host, "https://evil.example.org"}, 403},
		{"no subprotocol", "", nil, 400},
		{"another subprotocol", "turnpike.v0", nil, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := websocket.Dialer{}
			if tc.subprotocol != "" {
				d.Subprotocols = []string{"chat", tc.subprotocol}
			}
			conn, resp, err := d.Dial(h.url, http.Header{"Origin": tc.origin})
			if err == nil {
				if conn.Subprotocol() != wire.Subprotocol {
					t.Errorf("subprotocol %q", conn.Subprotocol())
				}
				if ext := resp.Header.Get("Sec-Websocket-Extensions"); ext != "" {
					t.Errorf("extensions %q, want no compression", ext)
				}
				defer conn.Close()
			}
			if resp == nil || resp.StatusCode != tc.status {
				t.Errorf("got %v, %v, want %d", resp, err, tc.status)
			}
		})
	}
	resp, err := http.Get("http" + strings.TrimPrefix(h.url, "ws"))
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain GET: %v, %v, want 400", resp, err)
	}
	resp.Body.Close()
}

func TestSocketsPerAddress(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.SessionsPerAddr = 2 })
	a := h.member("a")
	h.member("b")
	third := h.dial() // as it could resume
	third.send(msg{"type": "hello", "ticket": testTicket("c", "c", auth.RoleMember)})
	third.expect("error", "code", "rate-limited", "retryAfter", 2)
	if st := h.srv.Stats(); st.Sockets != 3 || st.Sessions != 2 || st.Users != 2 {
		t.Errorf("stats %+v", st)
	}
	a.send(msg{"type": "bye"})
	a.expectClose(wire.CloseBye)
	a.conn.Close()
	// The place is free again once the reader has ended, which the client cannot see.
	for {
		third.send(msg{"type": "hello", "ticket": testTicket("c", "c", auth.RoleMember)})
		m, err := third.read()
		if err != nil {
			t.Fatal(err)
		}
		if m["type"] == "welcome" {
			return
		}
	}
}

func TestBadMessages(t *testing.T) {
	h := newHarness(t, nil)
	a, b := h.pair("a")
	for range wire.MaxBadMessages - 1 {
		a.sendText(`[]`)
		a.expect("error", "code", "bad-message")
	}
	a.expectNothing()
	if err := a.conn.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"bye"}`)); err != nil {
		t.Fatal(err)
	}
	a.expect("error", "code", "bad-message")
	a.expectClose(wire.CloseBadMessage)
	b.expect("peer-left", "session", a.session, "reason", "bad-message")
}

func TestTooBig(t *testing.T) {
	h := newHarness(t, nil)
	a, b := h.pair("a")
	head := `{"type":"signal","room":"a","to":"` + b.session + `","description":{"type":"offer","sdp":"`
	fits := head + strings.Repeat("x", wire.MaxMessage-len(head)-3) + `"}}`
	a.sendText(fits)
	b.expect("signal", "from", a.session)
	a.sendText(strings.Replace(fits, "xx", "xxx", 1))
	a.expectClose(wire.CloseTooBig)
	b.expect("peer-left", "session", a.session, "reason", "bad-message")
}

func TestMessageRate(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.Messages = Rate{PerSecond: 0.001, Burst: 3} })
	c := h.member("a") // one message
	c.expectNothing()
	c.expectNothing()
	for range refusalRate.Burst + 1 {
		c.send(msg{"type": "leave", "id": "q", "room": "x"}) // it was not handled, so the id may be used again
	}
	for range refusalRate.Burst + 1 {
		if e := c.expect("error", "ref", "q", "code", "rate-limited"); e["retryAfter"].(float64) < 1 {
			t.Errorf("retryAfter %v", e["retryAfter"])
		}
	}
	c.expectClose(wire.CloseRateLimited)
}

func TestCounters(t *testing.T) {
	h := newHarness(t, nil)
	before := h.srv.Counters()
	c := h.member("a")
	c.sendText(`{"type":"made up"}`)
	c.expect("error")
	c.expectNothing()
	c.send(msg{"type": "bye"})
	c.expectClose(wire.CloseBye)
	grown := map[string]uint64{}
	for i, after := range h.srv.Counters() {
		if after.Name != before[i].Name || after.Reason != before[i].Reason {
			t.Fatalf("the order changed: %v became %v", before[i], after)
		}
		if n := after.Value - before[i].Value; n > 0 {
			grown[after.Name+" "+after.Reason] = n
		}
	}
	want := map[string]uint64{"messages hello": 1, "messages invalid": 1, "messages leave": 1, "messages bye": 1, "errors bad-message": 1,
		"errors not-in-room": 1, "closes bye": 1, "sessions_begun new": 1, "sessions_ended bye": 1}
	if !maps.Equal(grown, want) {
		t.Errorf("grown %v, want %v", grown, want)
	}
}

func TestJoinRate(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.Joins = Rate{PerSecond: 0.1, Burst: 2} })
	c := h.member("a")
	c.join("x")
	c.join("x")
	c.send(msg{"type": "join", "id": "j", "room": "x"})
	c.expect("error", "code", "rate-limited", "ref", "j", "retryAfter", 10)
	c.send(msg{"type": "call", "id": "c", "to": "turnpike:b"})
	c.expect("error", "code", "rate-limited", "ref", "c", "retryAfter", 10)
}
