package signal

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

const codeRoom = "code-7-k7m2pq9xr4ts8w3e"

// codeTicket is a ticket of a code, for its room alone.
func codeTicket(user string, role auth.Role, seats int) string {
	data, err := json.Marshal(auth.Ticket{User: auth.User{Issuer: auth.Issuer, Subject: user}, Name: user, Role: role, Rooms: []string{codeRoom}, Seats: seats})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// TestOnlyCodesOpenTheirRooms: no other ticket enters the room of a code or makes it, and a ticket of a code enters no other room.
func TestOnlyCodesOpenTheirRooms(t *testing.T) {
	h := newHarness(t, nil)
	refused := func(c *client, m msg) {
		t.Helper()
		m["id"] = c.newID()
		c.send(m)
		c.expect("error", "ref", m["id"], "code", "forbidden")
	}
	admin := h.welcome(testTicket("admin", "admin", auth.RoleAdmin))
	byName := h.welcome(testTicket("byname", "byname", auth.RoleMember, codeRoom, "code-*"))
	for _, c := range []*client{admin, byName} {
		refused(c, msg{"type": "join", "room": codeRoom, "create": true})
	}
	admin.join("code-review")
	maker := h.welcome(codeTicket("maker", auth.RoleMember, 3))
	for _, room := range []string{"code-7-another", "code-8-k7m2pq9xr4ts8w3e", "standup", "code-review"} {
		refused(maker, msg{"type": "join", "room": room, "create": true})
	}
	refused(maker, msg{"type": "join"}) // to a room that the server names
	maker.join(codeRoom)
	for _, c := range []*client{admin, byName} {
		refused(c, msg{"type": "join", "room": codeRoom})
	}
}

// TestCodeRoom: the room of a code has as many seats as tickets say, and nobody who comes has powers over the others.
func TestCodeRoom(t *testing.T) {
	h := newHarness(t, nil)
	stranger := h.welcome(codeTicket("stranger", auth.RoleGuest, 2))
	if m := stranger.join(codeRoom, "size", 16, "waiting", true); m["size"] != 2.0 || m["host"] != nil || m["waiting"] != nil {
		t.Errorf("the room is %v", m)
	}
	maker := h.welcome(codeTicket("maker", auth.RoleMember, 2))
	maker.join(codeRoom)
	stranger.expect("peer-joined")
	for _, m := range []msg{
		{"type": "lock", "id": "1", "room": codeRoom}, {"type": "kick", "id": "2", "room": codeRoom, "session": maker.session},
	} {
		stranger.send(m)
		stranger.expect("error", "ref", m["id"], "code", "not-host")
	}
	stranger.send(msg{"type": "call", "id": "3", "to": maker.user})
	stranger.expect("error", "ref", "3", "code", "forbidden")
	maker.expectNothing()

	late := h.welcome(codeTicket("late", auth.RoleGuest, 2))
	late.send(msg{"type": "join", "id": "4", "room": codeRoom})
	late.expect("error", "ref", "4", "code", "full")
	more := h.welcome(codeTicket("more", auth.RoleGuest, 3)) // the maker let one more come
	if m := more.join(codeRoom); m["size"] != 3.0 {
		t.Errorf("the room is %v", m)
	}
	maker.expect("peer-joined")
	stranger.send(msg{"type": "leave", "room": codeRoom})
	stranger.skipTo("left")
	late.send(msg{"type": "join", "id": "5", "room": codeRoom})
	late.expect("joined", "ref", "5", "size", 3)
}

// TestMakerOfACodeSeesNobodyElse: a ticket of a code tells its holder of nobody outside of the room, whatever the role.
func TestMakerOfACodeSeesNobodyElse(t *testing.T) {
	h := newHarness(t, nil)
	h.member("bob")
	maker := h.dial()
	maker.send(msg{"type": "hello", "ticket": codeTicket("maker", auth.RoleAdmin, 2)})
	if online, _ := maker.expect("welcome")["online"].([]any); len(online) > 0 {
		t.Errorf("it sees %v", online)
	}
	h.member("cy")
	maker.expectNothing()
}

// TestMakerComesBackToItsCode though all seats are taken, while its former session is away.
func TestMakerComesBackToItsCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		maker, guest := h.welcome(codeTicket("maker", auth.RoleMember, 2)), h.welcome(codeTicket("guest", auth.RoleGuest, 2))
		maker.join(codeRoom)
		guest.join(codeRoom)
		maker.lose()
		synctest.Wait()
		h.welcome(codeTicket("maker", auth.RoleMember, 2)).join(codeRoom)
		if m := guest.skipTo("peer-left"); m["session"] != maker.session || m["reason"] != wire.ReasonReplaced {
			t.Errorf("%v", m)
		}
		guest.skipTo("peer-joined")
	})
}

// TestCodeRoomAfterRestart: all who were in the room are in it again, also if more had come than the first knows of.
func TestCodeRoomAfterRestart(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		maker, first := n.welcome(codeTicket("maker", auth.RoleMember, 2)), n.welcome(codeTicket("first", auth.RoleGuest, 2))
		second := n.welcome(codeTicket("second", auth.RoleGuest, 3))
		maker.join(codeRoom)
		settle(maker)
		first.join(codeRoom)
		settle(first)
		second.join(codeRoom)
		settle(second)
		n.restart(t)
		n.restored(t, maker.identity(), codeRoom+":")
		n.restored(t, first.identity(), codeRoom+": maker")
		again, w := n.restored(t, second.identity(), codeRoom+": maker first")
		if room := onlyRoom(w); room["size"] != 3.0 || room["host"] != nil {
			t.Errorf("the room is %v", room)
		}
		again.send(msg{"type": "lock", "id": "l", "room": codeRoom})
		again.expect("error", "ref", "l", "code", "not-host")
		// Its ticket is what it was.
		again.send(msg{"type": "join", "id": "j", "room": "standup", "create": true})
		again.expect("error", "ref", "j", "code", "forbidden")
		stranger := n.guest("stranger")
		stranger.send(msg{"type": "join", "id": "j", "room": codeRoom})
		stranger.expect("error", "ref", "j", "code", "forbidden")
	})
}

// TestCodeSessionsEnd after a day, unless their issuer's end before.
func TestCodeSessionsEnd(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		cfg.MaxSession = map[string]time.Duration{"app": time.Hour, "lasting": 48 * time.Hour}
	})
	for issuer, want := range map[string]float64{auth.Issuer: 24 * 3600, "lasting": 24 * 3600, "app": 3600} {
		c := h.dial()
		c.send(msg{"type": "hello", "ticket": strings.Replace(codeTicket("u", auth.RoleGuest, 2), `"Issuer":"turnpike"`, `"Issuer":"`+issuer+`"`, 1)})
		if w := c.expect("welcome"); w["expiresIn"] != want && w["expiresIn"] != want-1 {
			t.Errorf("of %s: the session ends in %v s, want %v", issuer, w["expiresIn"], want)
		}
	}
}

// TestRefreshLeavesCodeRoom: a ticket that does not open the room of a code ends the stay there.
func TestRefreshLeavesCodeRoom(t *testing.T) {
	h := newHarness(t, nil)
	maker := h.welcome(codeTicket("maker", auth.RoleMember, 2))
	maker.join(codeRoom)
	maker.send(msg{"type": "refresh", "id": "1", "ticket": codeTicket("maker", auth.RoleMember, 3)})
	maker.skipTo("refreshed")
	maker.expectNothing()
	maker.send(msg{"type": "refresh", "id": "2", "ticket": testTicket("maker", "maker", auth.RoleMember)})
	maker.skipTo("refreshed")
	maker.skipTo("left")
}
