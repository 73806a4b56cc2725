package signal

import (
	"fmt"
	"testing"

	"example.org/turnpike/auth"
)

// knock has c wait for a room. Its hosts must be told.
func (c *client) knock(room string, hosts ...*client) {
	c.t.Helper()
	c.send(msg{"type": "join", "room": room})
	c.expect("waiting", "room", room)
	for _, host := range hosts {
		host.expect("knock", "room", room, "peer", fmt.Sprintf("map[name:%s session:%s user:%s]", c.name(), c.session, c.user))
	}
}

// name returns the name of a client, which its user id ends with.
func (c *client) name() string { return c.user[len(auth.Issuer)+1:] }

func TestWaitingRoom(t *testing.T) {
	h := newHarness(t, nil)
	host, mod, mate := h.guest("host"), h.withRole(auth.RoleModerator, "mod"), h.guest("mate")
	if m := host.join("x", "size", 4, "waiting", true); m["waiting"] != true || m["knocks"] != nil {
		t.Errorf("joined %v", m)
	}
	mate.send(msg{"type": "join", "id": "0", "room": "x"})
	mate.expect("waiting", "ref", "0", "room", "x")
	host.expect("knock", "room", "x")
	// The waiting mate knows nobody and cannot signal into the room.
	mate.send(msg{"type": "signal", "id": "1", "room": "x", "to": host.session, "candidate": nil})
	mate.expect("error", "ref", "1", "code", "not-in-room")
	// Knocking again draws the answer again, and nobody else learns of it.
	mate.knock("x")
	host.expectNothing()

	// A moderator comes in without waiting and sees the sessions that wait.
	want := fmt.Sprintf("[map[name:mate session:%s user:turnpike:mate]]", mate.session)
	if m := mod.join("x"); fmt.Sprint(m["knocks"]) != want {
		t.Errorf("knocks %v, want %s", m["knocks"], want)
	}
	host.expect("peer-joined")

	mod.send(msg{"type": "admit", "id": "2", "room": "x", "session": mate.session})
	mod.expect("admitted", "ref", "2", "room", "x", "session", mate.session)
	host.expect("admitted", "session", mate.session)
	m := mate.expect("joined", "room", "x", "host", host.session, "waiting", true)
	if m["ref"] != nil || m["knocks"] != nil || len(m["peers"].([]any)) != 2 {
		t.Errorf("joined %v", m)
	}
	host.expect("peer-joined")
	mod.expect("peer-joined")

	// A session is refused, knocks again, and then gives up or ends.
	other := h.guest("other")
	other.knock("x", host, mod)
	host.send(msg{"type": "refuse", "id": "3", "room": "x", "session": other.session})
	host.expect("refused", "ref", "3", "session", other.session)
	mod.expect("refused", "session", other.session)
	other.expect("left", "room", "x", "reason", "refused")
	other.knock("x", host, mod)
	other.send(msg{"type": "leave", "id": "4", "room": "x"})
	other.expect("left", "ref", "4", "room", "x", "reason", "leave")
	host.expect("knock-over", "room", "x", "session", other.session)
	mod.expect("knock-over", "session", other.session)
	other.knock("x", host, mod)
	other.conn.NetConn().Close()
	host.expect("knock-over", "session", other.session)
	mod.expect("knock-over", "session", other.session)
	mate.expectNothing() // sessions without host powers learn of none of it
}

func TestNewHostHearsWhoWaits(t *testing.T) {
	h := newHarness(t, nil)
	host, next, a, b := h.guest("host"), h.guest("next"), h.guest("a"), h.guest("b")
	host.join("x", "size", 3, "waiting", true)
	next.knock("x", host)
	host.send(msg{"type": "admit", "room": "x", "session": next.session})
	next.expect("joined")
	a.knock("x")
	b.knock("x")
	next.expectNothing()
	host.send(msg{"type": "leave", "room": "x"})
	next.expect("peer-left")
	next.expect("host", "session", next.session)
	next.expect("knock", "peer", fmt.Sprintf("map[name:a session:%s user:turnpike:a]", a.session))
	next.expect("knock", "peer", fmt.Sprintf("map[name:b session:%s user:turnpike:b]", b.session))

	// The room dies with its last session, however many wait.
	next.send(msg{"type": "leave", "room": "x"})
	for _, c := range []*client{a, b} {
		c.expect("left", "room", "x", "reason", "closed")
	}
	a.send(msg{"type": "join", "room": "x"})
	a.expect("error", "code", "not-existing")
}

// TestOrderOfRefusals holds which answer goes first where several would fit.
func TestOrderOfRefusals(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.RoomsPerSession = 2 })
	host, early := h.guest("host"), h.guest("early")
	host.join("x", "size", 2, "waiting", true)
	early.knock("x", host)

	// A lock keeps newcomers out, but not sessions that wait.
	host.send(msg{"type": "lock", "room": "x"})
	host.expect("locked")
	late := h.guest("late")
	late.send(msg{"type": "join", "room": "x"})
	late.expect("error", "code", "locked")
	early.knock("x")
	host.send(msg{"type": "unlock", "room": "x"})
	host.expect("unlocked")
	late.knock("x", host)

	// A room that a session waits for counts as a room that it is in.
	late.join("y")
	late.send(msg{"type": "join", "room": "z", "create": true})
	late.expect("error", "code", "forbidden")

	// An admitted session takes the last place: another cannot be admitted, and waits on.
	host.send(msg{"type": "admit", "room": "x", "session": early.session})
	host.expect("admitted")
	host.expect("peer-joined")
	early.expect("joined")
	host.send(msg{"type": "admit", "id": "1", "room": "x", "session": late.session})
	host.expect("error", "ref", "1", "code", "full")
	third := h.guest("third")
	third.send(msg{"type": "join", "room": "x"})
	third.expect("error", "code", "full")

	// A kick takes out all sessions of a user, those that wait too.
	early2 := h.guest("early")
	early.send(msg{"type": "leave", "room": "x"})
	early.expect("left")
	host.expect("peer-left")
	early.knock("x", host)
	host.send(msg{"type": "admit", "room": "x", "session": early.session})
	host.expect("admitted")
	host.expect("peer-joined")
	early.expect("joined")
	host.send(msg{"type": "kick", "room": "x", "session": early.session})
	host.expect("peer-left")
	host.expect("kicked")
	early.expect("left", "reason", "kicked")
	early2.send(msg{"type": "join", "room": "x"})
	early2.expect("error", "code", "kicked")
}

func TestKickReachesWhoWaits(t *testing.T) {
	h := newHarness(t, nil)
	host, in, out := h.guest("host"), h.guest("twice"), h.guest("twice")
	host.join("x", "size", 3, "waiting", true)
	in.knock("x", host)
	host.send(msg{"type": "admit", "room": "x", "session": in.session})
	host.expect("admitted")
	host.expect("peer-joined")
	out.knock("x", host)
	host.send(msg{"type": "kick", "room": "x", "session": in.session})
	host.expect("peer-left", "session", in.session)
	host.expect("knock-over", "session", out.session)
	host.expect("kicked", "session", in.session)
	out.expect("left", "room", "x", "reason", "kicked")
}
