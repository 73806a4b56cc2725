package signal

import (
	"testing"

	"example.org/turnpike/signal/wire"
)

// The server is restarted twice, and before the members of a room are back, others make a room of its name. Both rooms keep what
// is theirs.

// provisionalRoom has a room whose member does not come back after a restart, and another in its place, from which mallory is
// kicked. Then the server starts once more.
func provisionalRoom(t *testing.T, n *restartable) (old, oldMallory, host, mallory identity) {
	t.Helper()
	o, om := n.guest("old"), n.guest("mallory")
	o.join("x", "size", 8)
	om.join("x")
	eve := n.guest("eve")
	eve.join("x")
	settle(o, om)
	o.send(msg{"type": "kick", "id": "k", "room": "x", "session": eve.session})
	o.skipTo("kicked")
	settle(o)
	n.restart(t)

	h, m := n.guest("host"), n.guest("mallory")
	h.join("x", "size", 4)
	m.join("x")
	e := n.guest("eve")
	e.join("x") // who was kicked from the other one
	settle(h, m)
	h.send(msg{"type": "kick", "id": "k", "room": "x", "session": m.session})
	h.skipTo("kicked")
	settle(h)
	n.restart(t)
	return o.identity(), om.identity(), h.identity(), m.identity()
}

// TestProvisionalKeepsItsKicks: a user who was kicked from the second room stays out of it.
func TestProvisionalKeepsItsKicks(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		_, _, hostID, malloryID := provisionalRoom(t, n)
		host, w := n.restored(t, hostID, "x:")
		if room := onlyRoom(w); room["host"] != host.session || room["size"] != 4.0 {
			t.Errorf("the room is %v", room)
		}
		mallory, _ := n.restored(t, malloryID, "")
		mallory.send(msg{"type": "join", "id": "j", "room": "x", "create": true})
		mallory.expect("error", "ref", "j", "code", "kicked")
		eve := n.guest("eve")
		eve.join("x")
		checkInvariants(t, n.srv)
	})
}

// TestProvisionalHostComesBack: the host of the second room gets it back from a stranger who was faster after the second restart,
// and the kicked user, who was in the stranger's room, is out.
func TestProvisionalHostComesBack(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		_, _, hostID, malloryID := provisionalRoom(t, n)
		stranger := n.guest("stranger")
		stranger.join("x", "size", 8)
		mallory, _ := n.restored(t, malloryID, "")
		mallory.join("x")
		host, w := n.restored(t, hostID, "x: stranger")
		if room := onlyRoom(w); room["host"] != host.session {
			t.Errorf("the room is %v", room)
		}
		if m := mallory.skipTo("left"); m["reason"] != wire.ReasonKicked {
			t.Errorf("%v", m)
		}
		checkInvariants(t, n.srv)
		settle(host)
		n.restart(t) // and still after the next
		n.guest("another").join("x")
		host, w = n.restored(t, host.identity(), "x: another")
		if room := onlyRoom(w); room["host"] != host.session {
			t.Errorf("the room is %v", room)
		}
	})
}

// TestOriginalComesBack: the first room takes the place of the second also after the second restart, with its own kicks: not those
// of the second.
func TestOriginalComesBack(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		oldID, oldMalloryID, hostID, _ := provisionalRoom(t, n)
		host, _ := n.restored(t, hostID, "x:")
		eve := n.guest("eve")
		eve.join("x")
		old, w := n.restored(t, oldID, "x: host")
		if room := onlyRoom(w); room["host"] != old.session || room["size"] != 8.0 {
			t.Errorf("the room is %v", room)
		}
		if m := eve.skipTo("left"); m["reason"] != wire.ReasonKicked {
			t.Errorf("%v", m)
		}
		n.restored(t, oldMalloryID, "x: old host")
		checkInvariants(t, n.srv)
		settle(host)
		n.restart(t)
		n.restored(t, host.identity(), "x:")
		_, w = n.restored(t, old.identity(), "x: host")
		if room := onlyRoom(w); room["host"] != old.session {
			t.Errorf("the room is %v", room)
		}
	})
}
