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

// TestOwnSeat: a new session takes the place of one of the same user that is away, where it could not enter otherwise, and is
// host if that was. The former session comes back to its other rooms alone.
func TestOwnSeat(t *testing.T) {
	for _, why := range []string{"full", "locked", "waiting"} {
		for _, isHost := range []bool{false, true} {
			t.Run(fmt.Sprint(why, ", host: ", isHost), func(t *testing.T) {
				inTheBubble(t, func(t *testing.T, n *restartable) { ownSeat(t, n, why, isHost) })
			})
		}
	}
}

func ownSeat(t *testing.T, n *restartable, why string, isHost bool) {
	mate, a := n.withRole(auth.RoleModerator, "mate"), n.withRole(auth.RoleModerator, "a")
	first, second := mate, a
	if isHost {
		first, second = a, mate
	}
	size := 2
	if why != "full" {
		size = 5
	}
	first.join("x", "size", size, "waiting", why == "waiting")
	second.join("x")
	first.expect("peer-joined")
	if why == "locked" {
		mate.send(msg{"type": "lock", "room": "x"})
		mate.skipTo("locked")
		a.skipTo("locked")
	}
	a.join("z")
	settle(mate, a)
	a.lose()
	synctest.Wait()

	guest := n.guest("guest")
	guest.send(msg{"type": "join", "id": "g", "room": "x"})
	switch why {
	case "full":
		guest.expect("error", "ref", "g", "code", "full", "away", true)
	case "locked":
		guest.expect("error", "ref", "g", "code", "locked", "away", nil)
	case "waiting":
		guest.expect("waiting", "ref", "g")
	}
	again := n.guest("a") // whose role opens nothing
	m := again.join("x")
	host := mate.session
	if isHost {
		host = again.session
	}
	if m["host"] != host || len(m["peers"].([]any)) != 1 {
		t.Errorf("joined %v, want host %s", m, host)
	}
	if knocks, _ := m["knocks"].([]any); (len(knocks) == 1) != (isHost && why == "waiting") {
		t.Errorf("joined %v", m)
	}
	if left := mate.skipTo("peer-left"); left["session"] != a.session || left["reason"] != "replaced" {
		t.Errorf("%v", left)
	}
	joined := mate.expect("peer-joined", "room", "x")
	if !strings.Contains(fmt.Sprint(joined), again.session) {
		t.Errorf("%v", joined)
	}
	if isHost {
		mate.expect("host", "session", again.session)
	}
	checkInvariants(t, n.srv)
	settle(again)
	if isHost {
		settle(mate)
	}

	back, w := n.back(a.identity(), wire.ResumedReplayed)
	if got := roomsOf(w); got != "z:" {
		t.Errorf("the former session is in %q", got)
	}
	if left := back.skipTo("left"); left["room"] != "x" || left["reason"] != "replaced" {
		t.Errorf("%v", left)
	}

	n.restart(t) // the tokens say the same
	n.restored(t, a.identity(), "z:")
	again, w = n.restored(t, again.identity(), "x:")
	if isHost && onlyRoom(w)["host"] != again.session {
		t.Errorf("restored %v", w)
	}
	n.restored(t, mate.identity(), "x: a")
}

// TestSecondDevice: where another session of the user can enter, it takes nobody's place.
func TestSecondDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		mate, a := h.guest("mate"), h.guest("a")
		mate.join("x", "size", 3)
		a.join("x")
		settle(a)
		a.lose()
		time.Sleep(wire.AwayNotice + sweepInterval)
		if m := h.guest("a").join("x"); len(m["peers"].([]any)) != 2 {
			t.Errorf("joined %v", m)
		}
		_, w := h.back(a.identity(), wire.ResumedReplayed)
		if got := roomsOf(w); got != "x: mate a" {
			t.Errorf("in %q", got)
		}
	})
}

// TestKickedSeat: being away gives nobody a way around a kick.
func TestKickedSeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		host, a := h.guest("host"), h.guest("a")
		host.join("x")
		a.join("x")
		a.lose()
		synctest.Wait()
		host.send(msg{"type": "kick", "room": "x", "session": a.session})
		synctest.Wait()
		again := h.guest("a")
		again.send(msg{"type": "join", "id": "j", "room": "x"})
		again.expect("error", "ref", "j", "code", "kicked")
	})
}

// TestWaitsForOwnSeat: a session that waits already gets the place as soon as it asks again, and need not be let in.
func TestWaitsForOwnSeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		host, again := h.guest("a"), h.guest("a")
		host.join("x", "waiting", true)
		again.send(msg{"type": "join", "room": "x"})
		again.expect("waiting")
		host.lose()
		synctest.Wait()
		if m := again.join("x"); m["host"] != again.session || m["knocks"] != nil {
			t.Errorf("joined %v", m)
		}
		checkInvariants(t, h.srv)
	})
}

func (h *harness) byInvite(user, invite string) *client {
	h.t.Helper()
	return h.welcome(strings.Replace(testTicket(user, user, auth.RoleGuest), `"Invite":""`, `"Invite":"`+invite+`"`, 1))
}

// TestSeatOfInvite: in a full room, a guest takes the place of one who came by the same invite and has been away for a moment,
// but not that of the host, nor past a lock, nor without being let in.
func TestSeatOfInvite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		tries := func(c *client) {
			t.Helper()
			c.send(msg{"type": "join", "id": c.newID(), "room": "x"})
		}
		a, mate, other := h.byInvite("a", "one"), h.guest("mate"), h.byInvite("other", "two")
		a.join("x", "size", 2)
		mate.join("x")
		settle(a, mate)
		a.lose()
		synctest.Wait()
		again := h.byInvite("again", "one")
		tries(again)
		again.expect("error", "code", "full", "away", true) // it may be back in a moment
		time.Sleep(wire.AwayNotice + sweepInterval)
		tries(other)
		other.expect("error", "code", "full", "away", true)
		tries(again)
		if m := again.expect("joined"); m["host"] != mate.session {
			t.Errorf("joined %v", m)
		}
		mate.skipTo("peer-left")
		mate.expect("host", "session", mate.session)
		mate.expect("peer-joined")

		// Nobody is away any more.
		tries(other)
		other.expect("error", "code", "full", "away", nil)

		// A room with a waiting room: the host decides, and then there is room.
		mate.send(msg{"type": "leave", "room": "x"})
		again.skipTo("host")
		again.send(msg{"type": "leave", "room": "x"})
		again.skipTo("left")
		host, b := h.guest("host"), h.byInvite("b", "three")
		host.join("x", "size", 2, "waiting", true)
		tries(b)
		b.expect("waiting")
		host.send(msg{"type": "admit", "room": "x", "session": b.session})
		b.expect("joined")
		b.lose()
		time.Sleep(wire.AwayNotice + sweepInterval)
		c := h.byInvite("c", "three")
		tries(c)
		c.expect("waiting")
		host.send(msg{"type": "admit", "room": "x", "session": c.session})
		c.expect("joined")
		c.lose()
		time.Sleep(wire.AwayNotice + sweepInterval)
		host.send(msg{"type": "lock", "room": "x"})
		host.skipTo("locked")
		d := h.byInvite("d", "three")
		tries(d)
		d.expect("error", "code", "locked")
		checkInvariants(t, h.srv)
	})
}

// TestNameOfAbsent: name-taken says whether the holder of the name is away.
func TestNameOfAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		ann, bob := h.guest("ann"), h.guest("bob")
		bob.send(msg{"type": "rename", "name": "Ann"})
		bob.expect("error", "code", "name-taken", "away", nil)
		ann.lose()
		synctest.Wait()
		bob.send(msg{"type": "rename", "name": "Ann"})
		bob.expect("error", "code", "name-taken", "away", true)
	})
}

// TestLimitIsNamed: a client learns which fixed limit forbids what it asked for.
func TestLimitIsNamed(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.RoomsPerSession, cfg.Limits.SessionsPerUser = 1, 1 })
	a := h.guest("a")
	a.join("x")
	a.send(msg{"type": "join", "id": "y"})
	a.expect("error", "ref", "y", "code", "forbidden", "limit", "rooms")
	b := h.dial()
	b.send(msg{"type": "hello", "id": "h", "ticket": testTicket("a", "a", auth.RoleGuest)})
	b.expect("error", "ref", "h", "code", "forbidden", "limit", "sessions")
}
