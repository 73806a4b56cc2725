package signal

import (
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// ring has a call b and returns the call's id.
func (c *client) ring(to ...*client) string {
	c.t.Helper()
	request := c.newID()
	c.send(msg{"type": "call", "id": request, "to": to[0].user})
	id := c.expect("ringing", "ref", request)["call"].(string)
	for _, other := range to {
		other.expect("call", "call", id)
	}
	return id
}

// members connects members, and has each read that the others came.
func (h *harness) members(names ...string) []*client {
	h.t.Helper()
	var all []*client
	for _, name := range names {
		c := h.member(name)
		for _, other := range all {
			other.expect("online")
		}
		all = append(all, c)
	}
	return all
}

func TestCallAccepted(t *testing.T) {
	h := newHarness(t, nil)
	m := h.members("ann", "bob", "cat")
	ann, bob, cat := m[0], m[1], m[2]
	bob2 := h.member("bob")

	ann.send(msg{"type": "call", "id": "1", "to": bob.user})
	id := ann.expect("ringing", "ref", "1", "to", "map[name:bob user:turnpike:bob]")["call"].(string)
	bob.expect("call", "call", id, "from", "map[name:ann user:turnpike:ann]")
	bob2.expect("call", "call", id)

	// Other users can neither answer nor end the call.
	for _, typ := range []string{"accept", "decline", "cancel", "hangup"} {
		cat.send(msg{"type": typ, "id": typ, "call": id})
		cat.expect("error", "ref", typ, "code", "no-such-call")
	}
	bob.send(msg{"type": "cancel", "call": id})
	bob.expect("error", "code", "no-such-call")
	ann.send(msg{"type": "accept", "call": id})
	ann.expect("error", "code", "no-such-call")

	bob2.send(msg{"type": "accept", "id": "2", "call": id})
	room := bob2.expect("accept", "ref", "2", "call", id)["room"]
	bob.expect("cancel", "call", id, "reason", "answered-elsewhere")
	ann.expect("accept", "call", id, "room", room)
	ann.expect("joined", "room", room, "size", 2, "peers", "[]")
	ann.expect("peer-joined", "room", room)
	bob2.expect("joined", "room", room, "peers", "[map[name:ann session:"+ann.session+" user:turnpike:ann]]")
	bob.send(msg{"type": "accept", "call": id})
	bob.expect("error", "code", "no-such-call")

	// Both are busy, and can signal.
	cat.send(msg{"type": "call", "to": ann.user})
	cat.expect("error", "code", "busy")
	cat.send(msg{"type": "call", "to": bob.user})
	cat.expect("error", "code", "busy")
	cat.send(msg{"type": "join", "room": room})
	cat.expect("error", "code", "full")
	ann.signalTo(bob2, room.(string), "candidate:1 1 udp 1 192.0.2.1 9 typ host")
	bob2.expect("signal", "from", ann.session)

	bob2.send(msg{"type": "hangup", "id": "3", "call": id})
	bob2.expect("hangup", "ref", "3", "call", id, "room", room)
	ann.expect("hangup", "call", id, "room", room)
	ann.expect("left", "room", room, "reason", "hangup")
	ann.send(msg{"type": "hangup", "call": id})
	ann.expect("error", "code", "no-such-call")
	bob2.expectNothing()
	if st := h.srv.Stats(); st.Calls != 0 || st.Rooms != 0 {
		t.Errorf("stats %+v", st)
	}
	cat.ring(ann)
}

func TestCallNotAnswered(t *testing.T) {
	h := newHarness(t, nil)
	m := h.members("ann", "bob", "cat")
	ann, bob, cat := m[0], m[1], m[2]
	bob2 := h.member("bob")

	id := ann.ring(bob, bob2)
	bob.send(msg{"type": "decline", "id": "1", "call": id})
	bob.expect("decline", "ref", "1", "call", id)
	bob2.expect("cancel", "call", id, "reason", "answered-elsewhere")
	ann.expect("decline", "call", id)

	id = ann.ring(bob, bob2)
	ann.send(msg{"type": "cancel", "id": "2", "call": id})
	ann.expect("cancel", "ref", "2", "call", id, "reason", "cancelled")
	bob.expect("cancel", "call", id, "reason", "cancelled")
	bob2.expect("cancel", "call", id, "reason", "cancelled")
	bob.send(msg{"type": "accept", "call": id})
	bob.expect("error", "code", "no-such-call")

	// If two users call each other at once, the second is busy; so is a user who is being rung.
	id = ann.ring(bob, bob2)
	bob.send(msg{"type": "call", "to": ann.user})
	bob.expect("error", "code", "busy")
	cat.send(msg{"type": "call", "to": bob.user})
	cat.expect("error", "code", "busy")
	cat.send(msg{"type": "call", "to": ann.user})
	cat.expect("error", "code", "busy")
	ann.send(msg{"type": "call", "to": cat.user})
	ann.expect("error", "code", "busy")

	// One of two ringing sessions ends: the call rings on. The other ends: the call is over.
	bob2.conn.NetConn().Close()
	for h.srv.Stats().Sessions != 3 {
		bob.expectNothing()
	}
	ann.expectNothing()
	bob.conn.NetConn().Close()
	ann.expect("cancel", "call", id, "reason", "gone")
	ann.expect("offline")
	cat.expect("offline")

	// The caller ends.
	id = ann.ring(cat)
	ann.conn.NetConn().Close()
	cat.expect("cancel", "call", id, "reason", "gone")
}

// TestCallEndsWithRoom holds that an answered call is over when one of the two leaves its room in any way.
func TestCallEndsWithRoom(t *testing.T) {
	for _, way := range []string{"leave", "bye", "gone"} {
		t.Run(way, func(t *testing.T) {
			h := newHarness(t, nil)
			m := h.members("ann", "bob")
			ann, bob := m[0], m[1]
			id := ann.ring(bob)
			bob.send(msg{"type": "accept", "call": id})
			bob.expect("accept")
			room := bob.expect("joined")["room"]
			ann.skipTo("peer-joined")
			switch way {
			case "gone":
				bob.conn.NetConn().Close()
			case "leave":
				bob.send(msg{"type": "leave", "room": room})
			default:
				bob.send(msg{"type": "bye"})
			}
			ann.expect("peer-left", "room", room, "session", bob.session, "reason", way)
			if st := h.srv.Stats(); st.Calls != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func TestGuestsRingOnlyMates(t *testing.T) {
	h := newHarness(t, nil)
	a, b := h.pair("a")
	member := h.member("m")
	id := a.ring(b)
	a.send(msg{"type": "cancel", "call": id})
	a.expect("cancel")
	b.expect("cancel")
	a.send(msg{"type": "call", "to": member.user})
	a.expect("error", "code", "no-such-user")
	member.ring(a)
	a.expectNothing() // a guest never hears who is online
	stranger := h.welcome(testTicket("s", "S", auth.RoleGuest))
	stranger.send(msg{"type": "call", "to": a.user})
	stranger.expect("error", "code", "no-such-user")
	member.expect("online")
}

func TestRingTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		ann := h.member("ann")
		bob := h.guest("bob")
		ann.expect("online")
		start := time.Now()
		id := ann.ring(bob)
		together(
			func() { ann.expect("cancel", "call", id, "reason", "timeout") },
			func() { bob.expect("cancel", "call", id, "reason", "timeout") },
		)
		if took := time.Since(start); took < wire.RingTimeout || took > wire.RingTimeout+sweepInterval {
			t.Errorf("rang for %v", took)
		}
	})
}
