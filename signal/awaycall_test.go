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

// loseNoticed cuts clients off and returns once they are away. other is a client that stays.
func (h *harness) loseNoticed(other *client, lost ...*client) {
	h.t.Helper()
	want := h.srv.Stats().Away + len(lost)
	for _, c := range lost {
		c.lose()
	}
	for h.srv.Stats().Away != want {
		other.expectNothing()
	}
}

// ringAway has c call a user who has no connection and returns the call's id.
func (c *client) ringAway(user string) string {
	c.t.Helper()
	request := c.newID()
	c.send(msg{"type": "call", "id": request, "to": user})
	return c.expect("ringing", "ref", request)["call"].(string)
}

// TestCallRingsAwayUser: a call rings a user whose connection is lost, and the user answers on the next one.
func TestCallRingsAwayUser(t *testing.T) {
	h := newHarness(t, resuming)
	m := h.members("ann", "bob")
	ann, bob := m[0], m[1]
	h.loseNoticed(ann, bob)
	id := ann.ringAway(bob.user)
	bob2, _ := h.back(bob.identity(), wire.ResumedReplayed)
	bob2.expect("call", "call", id, "from", "map[name:ann user:turnpike:ann]")
	bob2.send(msg{"type": "accept", "id": "1", "call": id})
	room := bob2.expect("accept", "ref", "1")["room"]
	bob2.expect("joined", "room", room)
	ann.expect("accept", "call", id, "room", room)
	ann.expect("joined", "room", room)
	ann.expect("peer-joined", "room", room)
}

// TestCallTakenBackWhileAway: a user who was away learns of a call that rang meanwhile, and that it is over.
func TestCallTakenBackWhileAway(t *testing.T) {
	h := newHarness(t, resuming)
	m := h.members("ann", "bob")
	ann, bob := m[0], m[1]
	id := ann.ring(bob)
	h.loseNoticed(ann, bob)
	ann.send(msg{"type": "cancel", "id": "1", "call": id})
	ann.expect("cancel", "ref", "1")
	second := ann.ringAway(bob.user)
	bob2, _ := h.back(bob.identity(), wire.ResumedReplayed)
	bob2.expect("cancel", "call", id, "reason", "cancelled")
	bob2.expect("call", "call", second)
	bob2.send(msg{"type": "decline", "id": "2", "call": second})
	bob2.expect("decline", "ref", "2")
	ann.expect("decline", "call", second)
}

// TestCallAcceptedWhileCallerIsAway: the caller comes back to the room, and learns in which order it came there.
func TestCallAcceptedWhileCallerIsAway(t *testing.T) {
	h := newHarness(t, resuming)
	m := h.members("ann", "bob")
	ann, bob := m[0], m[1]
	id := ann.ring(bob)
	h.loseNoticed(bob, ann)
	bob.send(msg{"type": "accept", "id": "1", "call": id})
	room := bob.expect("accept", "ref", "1")["room"]
	bob.expect("joined", "room", room, "peers", "[map[name:ann session:"+ann.session+" user:turnpike:ann]]")
	bob.signalTo(ann, room.(string), "candidate:1 1 udp 1 192.0.2.1 9 typ host")

	ann2, w := h.back(ann.identity(), wire.ResumedReplayed)
	if rooms := fmt.Sprint(w["rooms"]); !strings.Contains(rooms, fmt.Sprint(room)) {
		t.Errorf("welcome %v", w)
	}
	ann2.expect("accept", "call", id, "room", room)
	ann2.expect("joined", "room", room, "peers", "[]")
	ann2.expect("peer-joined", "room", room)
	ann2.expect("signal", "from", bob.session)
	bob.expectNothing()
	ann2.send(msg{"type": "hangup", "id": "2", "call": id})
	ann2.expect("hangup", "ref", "2", "call", id)
	bob.expect("hangup", "call", id)
	bob.expect("left", "room", room, "reason", "hangup")
}

// TestCallHungUpWhileAway: a user who was away learns that the call is over, and is in no room.
func TestCallHungUpWhileAway(t *testing.T) {
	h := newHarness(t, resuming)
	ann, bob, id, room := h.inCall()
	h.loseNoticed(ann, bob)
	ann.send(msg{"type": "hangup", "id": "1", "call": id})
	ann.expect("hangup", "ref", "1")
	bob2, w := h.back(bob.identity(), wire.ResumedReplayed)
	if rooms := fmt.Sprint(w["rooms"]); rooms != "[]" && rooms != "<nil>" {
		t.Errorf("rooms %v", rooms)
	}
	bob2.expect("hangup", "call", id, "room", room)
	bob2.expect("left", "room", room, "reason", "hangup")
	ann.ring(bob2)
}

// inCall connects two members who are in a call.
func (h *harness) inCall() (ann, bob *client, id string, room any) {
	h.t.Helper()
	m := h.members("ann", "bob")
	ann, bob = m[0], m[1]
	id = ann.ring(bob)
	bob.send(msg{"type": "accept", "call": id})
	room = bob.expect("accept")["room"]
	bob.expect("joined")
	ann.skipTo("peer-joined")
	return ann, bob, id, room
}

// TestCallOfAFreshPage: a page that is loaded again while it calls can take the call back. A page that is loaded again
// while it is called rings again.
func TestCallOfAFreshPage(t *testing.T) {
	h := newHarness(t, resuming)
	m := h.members("ann", "bob")
	ann, bob := m[0], m[1]
	id := ann.ring(bob)
	h.loseNoticed(ann, bob)
	bob2, _ := h.back(bob.identity(), wire.ResumedReplayed, "fresh", true)
	bob2.expect("call", "call", id)
	h.loseNoticed(bob2, ann)
	ann2, _ := h.back(ann.identity(), wire.ResumedReplayed, "fresh", true)
	ann2.send(msg{"type": "cancel", "id": "1", "call": id})
	ann2.expect("cancel", "ref", "1", "call", id)
	bob2.expect("cancel", "call", id, "reason", "cancelled")
}

// TestCallMissedWhileAway: a call rings for its time, heard or not.
func TestCallMissedWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, func(cfg *Config) { cfg.ResumeWindow = 2 * wire.RingTimeout })
		m := h.members("ann", "bob")
		ann, bob := m[0], m[1]
		bob.lose()
		synctest.Wait()
		start := time.Now()
		id := ann.ringAway(bob.user)
		ann.expect("cancel", "call", id, "reason", "timeout")
		if took := time.Since(start); took < wire.RingTimeout || took > wire.RingTimeout+sweepInterval {
			t.Errorf("rang for %v", took)
		}
		bob2, _ := h.back(bob.identity(), wire.ResumedReplayed)
		bob2.expect("call", "call", id)
		bob2.expect("cancel", "call", id, "reason", "timeout")
		bob2.send(msg{"type": "accept", "call": id})
		bob2.expect("error", "code", "no-such-call")
	})
}

// TestCallEndsWithTheResumeWindow: a call rings, or lasts, for as long as the sessions that it needs may come back, and
// no longer.
func TestCallEndsWithTheResumeWindow(t *testing.T) {
	t.Run("the caller", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newMemoryHarness(t, resuming)
			m := h.members("ann", "bob")
			ann, bob := m[0], m[1]
			id := ann.ring(bob)
			lost := time.Now()
			ann.lose()
			bob.expect("cancel", "call", id, "reason", "gone")
			expectWindow(t, lost)
		})
	})
	t.Run("the called, with the last of their sessions", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newMemoryHarness(t, resuming)
			m := h.members("ann", "bob")
			ann, bob := m[0], m[1]
			bob2 := h.member("bob")
			id := ann.ring(bob, bob2)
			bob2.lose()
			synctest.Wait()
			time.Sleep(testWindow / 2)
			lost := time.Now()
			bob.lose()
			ann.expect("cancel", "call", id, "reason", "gone")
			expectWindow(t, lost)
		})
	})
	t.Run("one of two in a call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newMemoryHarness(t, resuming)
			ann, bob, id, room := h.inCall()
			lost := time.Now()
			bob.lose()
			ann.skipTo("peer-away")
			ann.expect("peer-left", "room", room, "session", bob.session, "reason", "gone")
			expectWindow(t, lost)
			ann.skipTo("offline")
			if st := h.srv.Stats(); st.Calls != 0 || st.Rooms != 1 {
				t.Errorf("stats %+v", st)
			}
			ann.send(msg{"type": "hangup", "id": "1", "call": id})
			ann.expect("error", "ref", "1", "code", "no-such-call")
			bob2 := h.welcome(testTicket("bob", "bob", auth.RoleMember))
			ann.expect("online")
			bob2.ring(ann) // ann is not busy any more
		})
	})
}

// expectWindow holds that the resume window is over, and only just.
func expectWindow(t *testing.T, lost time.Time) {
	t.Helper()
	if took := time.Since(lost); took < testWindow || took > testWindow+2*sweepInterval {
		t.Errorf("after %v", took)
	}
}

// TestRefusedPing: a ping is no request of the session, so a refused ping does not change which requests were handled.
func TestRefusedPing(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		resuming(cfg)
		cfg.Limits.Messages = Rate{PerSecond: 1e-3, Burst: 3}
	})
	a, b := h.pair("x") // a join each
	a.send(msg{"type": "signal", "id": "7", "room": "x", "to": b.session, "candidate": nil})
	b.expect("signal")
	a.send(msg{"type": "ping", "id": "ping-1"})
	a.send(msg{"type": "ping", "id": "ping-2"})
	a.skipTo("error")
	a.lose()
	if _, w := h.back(a.identity(), wire.ResumedReplayed); w["handled"] != "7" {
		t.Errorf("handled %v", w["handled"])
	}
}
