package signal

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
)

// ofIssuer makes the ticket of an app's user, whose name it vouches for.
func ofIssuer(issuer, user, name string, role auth.Role) string {
	return ticketOf(issuer, user, name, role, []string{"*"})
}

func ticketOf(issuer, user, name string, role auth.Role, rooms []string) string {
	data, err := json.Marshal(auth.Ticket{User: auth.User{Issuer: issuer, Subject: user}, Name: name, Role: role, Rooms: rooms})
	if err != nil {
		panic(err)
	}
	return string(data)
}

func withPresence(cfg *Config) {
	cfg.Presence = map[string]Presence{"open": PresenceAll, "shut": PresenceIssuer, "mute": PresenceNobody}
}

// seen returns the users that a message names.
func seen(m msg, field string) (ids []string) {
	list, _ := m[field].([]any)
	for _, u := range list {
		ids = append(ids, u.(map[string]any)["user"].(string))
	}
	return slices.Sorted(slices.Values(ids))
}

// TestPresenceOfIssuers: each issuer's members see whom its setting says, in the welcome, in changes, and when they ask.
func TestPresenceOfIssuers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, withPresence)
		come := func(issuer, user string) (*client, msg) {
			c := h.dial()
			c.send(msg{"type": "hello", "ticket": ofIssuer(issuer, user, user, auth.RoleMember)})
			w := c.expect("welcome")
			c.user = w["user"].(string)
			return c, w
		}
		gone, _ := come("shut", "gone")
		come("open", "o")
		come("shut", "s")
		come("mute", "m")
		come("turnpike", "t")
		time.Sleep(2 * presenceDelay)

		want := map[string][]string{
			"open": {"mute:m", "open:o", "shut:gone", "shut:s", "turnpike:t"}, "shut": {"shut:gone", "shut:s"}, "mute": nil,
			"turnpike": {"mute:m", "open:o", "shut:gone", "shut:s", "turnpike:t"},
		}
		watchers := map[string]*client{}
		for _, issuer := range []string{"open", "shut", "mute", "turnpike"} {
			c, w := come(issuer, "watcher")
			watchers[issuer] = c
			synctest.Wait()
			others := slices.DeleteFunc(seen(w, "online"), func(id string) bool { return strings.HasSuffix(id, ":watcher") })
			if !slices.Equal(others, want[issuer]) {
				t.Errorf("a member of %s sees %v, want %v", issuer, others, want[issuer])
			}
		}
		time.Sleep(2 * presenceDelay)
		for issuer, c := range watchers { // what came in the delay
			c.send(msg{"type": "online", "id": "1"})
			list := c.skipToRef("1")
			wanted := slices.Clone(want[issuer])
			for other := range watchers {
				if other != issuer && (issuer == "open" || issuer == "turnpike") {
					wanted = append(wanted, other+":watcher")
				}
			}
			if got := seen(list, "users"); !slices.Equal(got, slices.Sorted(slices.Values(wanted))) {
				t.Errorf("a member of %s is listed %v, want %v", issuer, got, wanted)
			}
		}

		// Changes reach those who see the user, and no others.
		gone.leaveForGood()
		fresh, _ := come("shut", "fresh")
		come("open", "fresh")
		time.Sleep(2 * presenceDelay)
		for issuer, came := range map[string][]string{"open": {"open:fresh", "shut:fresh"}, "turnpike": {"open:fresh", "shut:fresh"}, "shut": {"shut:fresh"}} {
			if got := seen(watchers[issuer].expect("online"), "users"); !slices.Equal(got, came) {
				t.Errorf("a member of %s hears of %v, want %v", issuer, got, came)
			}
			if got := seen(watchers[issuer].expect("offline"), "users"); !slices.Equal(got, []string{"shut:gone"}) {
				t.Errorf("a member of %s hears that %v went", issuer, got)
			}
		}
		for _, c := range watchers {
			c.expectNothing()
		}

		// Calls follow, and room mates may always be called.
		for _, try := range []struct {
			from *client
			to   string
			ok   bool
		}{
			{watchers["shut"], "shut:s", true}, {watchers["open"], "shut:fresh", true}, {watchers["shut"], "open:o", false}, {watchers["mute"], "mute:m", false},
		} {
			try.from.send(msg{"type": "call", "id": try.to, "to": try.to})
			m := try.from.skipToRef(try.to)
			if ok := m["type"] == "ringing"; ok != try.ok {
				t.Errorf("%s calls %s: %v", try.from.user, try.to, m)
			}
			if try.ok {
				try.from.send(msg{"type": "cancel", "call": m["call"]})
				try.from.skipTo("cancel")
			}
		}
		watchers["mute"].join("x")
		fresh.skipTo("cancel")
		fresh.join("x")
		watchers["mute"].skipTo("peer-joined")
		watchers["mute"].send(msg{"type": "call", "id": "9", "to": "shut:fresh"})
		if m := watchers["mute"].skipToRef("9"); m["type"] != "ringing" {
			t.Errorf("a room mate cannot be called: %v", m)
		}
		checkInvariants(t, h.srv)
	})
}

// skipToRef reads until the answer to a request comes.
func (c *client) skipToRef(id string) msg {
	c.t.Helper()
	for {
		m, err := c.read()
		if err != nil {
			c.t.Fatalf("waiting for the answer to %s: %v", id, err)
		}
		if m["ref"] == id && m["type"] != "ack" {
			return m
		}
	}
}

// TestNamesOfIssuers: the names that an issuer gives need to differ only among those who see each other; a name that its
// user chose is nobody else's.
func TestNamesOfIssuers(t *testing.T) {
	h := newHarness(t, withPresence)
	for i, try := range []struct{ issuer, name, want string }{
		{"shut", "Alice", "Alice"},
		{"shut", "Alice", "Alice (2)"},
		{"mute", "Alice", "Alice"},
		{"open", "Alice", "Alice"},
		{"turnpike", "Alice", "Alice (2)"},
		{"open", "Alice", "Alice (3)"},
	} {
		if _, name := h.nameInForce(ofIssuer(try.issuer, fmt.Sprint("u", i), try.name, auth.RoleMember)); name != try.want {
			t.Errorf("%d: %s of %s is shown as %q, want %q", i, try.name, try.issuer, name, try.want)
		}
	}
	chooser := h.dial()
	chooser.send(msg{"type": "hello", "ticket": testTicket("guest", "", auth.RoleGuest), "name": "alice"})
	chooser.expect("error", "code", "name-taken")
	chooser.send(msg{"type": "hello", "ticket": testTicket("guest", "", auth.RoleGuest), "name": "Bob"})
	chooser.expect("welcome", "name", "Bob")
	if !h.srv.NameTaken("alice") || !h.srv.NameTaken("bob") || h.srv.NameTaken("carol") {
		t.Error("the API is told wrong names")
	}
	if _, name := h.nameInForce(ofIssuer("shut", "bob", "Bob", auth.RoleMember)); name != "Bob (2)" {
		t.Errorf("a name that a guest chose is another's: %q", name)
	}
	checkInvariants(t, h.srv)
}
