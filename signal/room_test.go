package signal

import (
	"regexp"
	"testing"

	"example.org/turnpike/signal/wire"
)

func TestRoom(t *testing.T) {
	h := newHarness(t, nil)
	a, b, c := h.guest("a"), h.guest("b"), h.guest("c")
	a.send(msg{"type": "join", "id": "1", "room": "standup", "create": true, "size": 3})
	a.expect("joined", "ref", "1", "room", "standup", "size", 3, "peers", "[]")
	b.send(msg{"type": "join", "id": "2", "room": "standup", "size": 16})
	b.expect("joined", "ref", "2", "size", 3, "peers", "[map[name:a session:"+a.session+" user:turnpike:a]]")
	a.expect("peer-joined", "room", "standup", "peer", "map[name:b session:"+b.session+" user:turnpike:b]")
	c.join("standup")
	a.expect("peer-joined")
	b.expect("peer-joined")

	// Joining again draws joined again, and nobody else learns of it.
	b.send(msg{"type": "join", "id": "3", "room": "standup"})
	if m := b.expect("joined", "ref", "3"); len(m["peers"].([]any)) != 2 {
		t.Errorf("peers %v, want a and c", m["peers"])
	}
	a.expectNothing()

	b.send(msg{"type": "leave", "id": "4", "room": "standup"})
	b.expect("left", "ref", "4", "room", "standup", "reason", "leave")
	a.expect("peer-left", "room", "standup", "session", b.session, "reason", "leave")
	c.expect("peer-left", "session", b.session, "reason", "leave")

	// The reason tells a lost connection from a bye.
	c.conn.NetConn().Close()
	a.expect("peer-left", "session", c.session, "reason", "gone")
	b.join("standup")
	a.expect("peer-joined")
	b.send(msg{"type": "bye"})
	b.expectClose(wire.CloseBye)
	a.expect("peer-left", "session", b.session, "reason", "bye")

	// The room dies with its last session.
	a.send(msg{"type": "leave", "room": "standup"})
	a.expect("left")
	a.send(msg{"type": "join", "room": "standup"})
	a.expect("error", "code", "not-existing")
	if st := h.srv.Stats(); st.Rooms != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestGeneratedRoom(t *testing.T) {
	h := newHarness(t, nil)
	a := h.guest("a")
	a.send(msg{"type": "join", "id": "1"})
	room := a.expect("joined", "size", wire.DefaultRoomSize)["room"].(string)
	if !regexp.MustCompile(`^[a-hjkmnp-z2-9]{3}(-[a-hjkmnp-z2-9]{3}){2}$`).MatchString(room) {
		t.Errorf("room %q cannot be read aloud", room)
	}
	h.guest("b").join(room, "create", false)
	a.expect("peer-joined", "room", room)
}

func TestRoomsPerSession(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.RoomsPerSession = 2 })
	a := h.guest("a")
	a.join("one")
	a.join("two")
	a.send(msg{"type": "join", "room": "three", "create": true})
	a.expect("error", "code", "forbidden")
	a.send(msg{"type": "leave", "room": "one"})
	a.expect("left")
	a.join("three")
}

func TestSignal(t *testing.T) {
	h := newHarness(t, nil)
	a, b := h.pair("here")
	_, d := h.pair("there")

	offer := msg{"type": "offer", "sdp": "v=0\r\n<&>\u2028"}
	a.send(msg{"type": "signal", "room": "here", "to": b.session, "from": d.session, "description": offer, "extra": 1})
	got := b.expect("signal", "room", "here", "from", a.session) // the sender forged from: the server's stands
	if sdp := got["description"].(map[string]any)["sdp"]; sdp != offer["sdp"] {
		t.Errorf("sdp %q", sdp)
	}
	if _, ok := got["extra"]; ok {
		t.Error("an unknown field was forwarded")
	}
	b.sendText(`{"type":"signal","room":"here","to":"` + a.session + `","candidate": null}`)
	end := a.expect("signal", "from", b.session)
	if v, ok := end["candidate"]; !ok || v != nil {
		t.Errorf("the end of candidates came as %v", end)
	}

	// A session that is no mate cannot be reached, whatever room the message names.
	for _, tc := range []struct{ name, room, to string }{
		{"own room, stranger", "here", d.session},
		{"stranger's room", "there", d.session},
		{"nobody", "here", "nobody"},
		{"oneself", "here", a.session},
	} {
		a.send(msg{"type": "signal", "id": tc.name, "room": tc.room, "to": tc.to, "candidate": nil})
		a.expect("error", "ref", tc.name, "code", "not-in-room")
	}
	d.expectNothing()
}
