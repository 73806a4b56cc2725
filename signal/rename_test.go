package signal

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

func (c *client) rename(name string) {
	c.t.Helper()
	c.send(msg{"type": "rename", "id": c.newID(), "name": name})
	c.expect("renamed", "ref", fmt.Sprint("request ", c.requests), "name", name)
}

// TestRename: a host who gets another name stays host of its locked room with a waiting room, and all who see it learn of the
// name: mates, those who may let it in elsewhere, its other sessions, and members.
func TestRename(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		member := h.member("member")
		host, mate, other := h.guest("ann"), h.guest("mate"), h.guest("other")
		again := h.guest("ann")
		other.join("y", "waiting", true)
		host.send(msg{"type": "join", "room": "y"})
		host.expect("waiting")
		other.expect("knock")
		host.join("x", "size", 3, "waiting", true)
		mate.send(msg{"type": "join", "room": "x"})
		mate.expect("waiting")
		host.expect("knock")
		host.send(msg{"type": "admit", "room": "x", "session": mate.session})
		host.expect("admitted")
		host.expect("peer-joined")
		mate.expect("joined")
		host.send(msg{"type": "lock", "room": "x"})
		host.expect("locked")
		mate.expect("locked")
		time.Sleep(2 * presenceDelay)

		host.rename("Anna")
		host.expectNothing()
		mate.expect("peer-renamed", "room", "x", "session", host.session, "name", "Anna")
		mate.expectNothing()
		other.expect("peer-renamed", "room", "y", "session", host.session, "name", "Anna")
		other.expectNothing()
		again.expect("renamed", "ref", nil, "name", "Anna")
		again.expectNothing()
		member.skipTo("online")
		member.expect("online", "users", "[map[name:Anna user:turnpike:ann]]")

		m := host.join("x")
		if m["host"] != host.session || m["locked"] != true || m["waiting"] != true {
			t.Errorf("the room is %v", m)
		}
		if m := mate.join("x"); !strings.Contains(fmt.Sprint(m["peers"]), "name:Anna") {
			t.Errorf("the mate sees %v", m)
		}
		checkInvariants(t, h.srv)

		// A session that comes now learns the name, and the former one is free.
		if _, name := h.nameInForce(testTicket("ann", "Anna", auth.RoleGuest)); name != "Anna" {
			t.Errorf("a new session is called %q", name)
		}
		other.rename("ann")
	})
}

// TestRenameErrors: names have the rules of hello, and one that an app gave is the app's to change.
func TestRenameErrors(t *testing.T) {
	h := newHarness(t, nil)
	h.member("Ann")
	bob := h.guest("Bob")
	for _, tc := range []struct{ name, code string }{
		{"ann", "name-taken"},
		{"ＡＮＮ", "name-taken"},
		{"Aнn", "bad-message"},
		{"Ann\u200b", "bad-message"},
		{" ", "bad-message"},
		{strings.Repeat("x", 33), "bad-message"},
	} {
		bob.send(msg{"type": "rename", "id": bob.newID(), "name": tc.name})
		m := bob.expect("error", "code", tc.code)
		if tc.code == "bad-message" && m["field"] != "name" {
			t.Errorf("%q: %v", tc.name, m)
		}
	}
	bob.rename("Bob")
	bob.rename("BOB")
	fixed := h.member("Cat")
	fixed.send(msg{"type": "rename", "id": "1", "name": "Dan"})
	fixed.expect("error", "ref", "1", "code", "forbidden")
	for _, ticket := range []string{
		testTicket("e", "", auth.RoleMember),
		choosingTicket("f", "Fay"),
		testTicket("g", "Ann", auth.RoleGuest), // which its app calls so, and the server Ann (2)
	} {
		c := h.welcome(ticket)
		c.send(msg{"type": "rename", "id": "taken", "name": "Ann"})
		c.expect("error", "ref", "taken", "code", "name-taken")
		c.rename("Zoe " + c.user[len(c.user)-1:])
	}
}

// TestRenameRings: a call goes on ringing while its caller gets another name, and can be answered.
func TestRenameRings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		caller := h.welcome(choosingTicket("a", "a"))
		callee := h.guest("b")
		caller.send(msg{"type": "call", "to": callee.user})
		call := caller.skipTo("ringing")["call"]
		caller.rename("Anna")
		callee.expect("call", "call", call)
		callee.send(msg{"type": "accept", "id": "y", "call": call})
		callee.expect("accept", "ref", "y")
		if m := callee.expect("joined"); !strings.Contains(fmt.Sprint(m["peers"]), "name:Anna") {
			t.Errorf("%v", m)
		}
	})
}

// TestRenamedComesBack: a new name outlives a lost connection and a restart, and a session that was away when the user got it
// does not bring the former one back, in either order. The user may still choose another.
func TestRenamedComesBack(t *testing.T) {
	for _, oldFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("oldFirst=", oldFirst), func(t *testing.T) {
			inTheBubble(t, func(t *testing.T, n *restartable) {
				ticket := choosingTicket("ann", "Ann")
				a, old := n.welcome(ticket), n.welcome(ticket)
				a.join("x", "size", 4)
				settle(a)
				old.lose()
				synctest.Wait()
				a.rename("Anna")
				settle(a)
				a.lose()
				synctest.Wait()
				a, w := n.back(a.identity(), wire.ResumedReplayed)
				if w["name"] != "Anna" {
					t.Errorf("resumed as %q", w["name"])
				}
				a.requests = 100 // its former ids are used
				a.expectNothing()

				n.restart(t)
				if oldFirst {
					old, w = n.restored(t, old.identity(), "")
					if w["name"] != "Ann" { // it is all that is known
						t.Errorf("the old session came back as %q", w["name"])
					}
				}
				a, w = n.restored(t, a.identity(), "x:")
				if w["name"] != "Anna" {
					t.Errorf("restored as %q", w["name"])
				}
				if oldFirst {
					old.expect("renamed", "name", "Anna")
				} else if _, w = n.restored(t, old.identity(), ""); w["name"] != "Anna" {
					t.Errorf("the old session came back as %q", w["name"])
				}
				a.expectNothing()
				taken := n.dial()
				taken.send(msg{"type": "hello", "ticket": testTicket("c", "", auth.RoleGuest), "name": "Anna"})
				taken.expect("error", "code", "name-taken")
				a.rename("Annika")
			})
		})
	}
}

// TestFixedNameComesBack: a user whose app chose the name cannot change it after a restart either.
func TestFixedNameComesBack(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a := n.member("Ann")
		n.restart(t)
		a, _ = n.restored(t, a.identity(), "")
		a.send(msg{"type": "rename", "id": "1", "name": "Bob"})
		a.expect("error", "ref", "1", "code", "forbidden")
	})
}

// TestRenameRate: a name counts as a join for each room in which others learn of it, whether it comes by rename or by hello.
func TestRenameRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, func(cfg *Config) { cfg.Limits.UserJoins = Rate{PerSecond: 1, Burst: 10} })
		a := h.guest("a")
		for _, room := range []string{"u", "v", "w"} {
			a.join(room)
		}
		a.rename("b") // 4, of the 7 that are left
		a.rename("c") // in debt by 1
		a.send(msg{"type": "rename", "id": "1", "name": "d"})
		a.expect("error", "ref", "1", "code", "rate-limited", "retryAfter", 2)
		c := h.dial()
		c.send(msg{"type": "hello", "id": "2", "ticket": testTicket("a", "e", auth.RoleGuest)})
		c.expect("error", "ref", "2", "code", "rate-limited", "retryAfter", 2)
		c.send(msg{"type": "hello", "id": "3", "ticket": testTicket("a", "c", auth.RoleGuest)})
		c.expect("welcome", "name", "c")
		time.Sleep(2 * time.Second)
		a.rename("d")
	})
}
