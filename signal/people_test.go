package signal

import (
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

func TestSessionAndRoomList(t *testing.T) {
	h := newHarness(t, nil)
	ann, bob := h.member("ann"), h.guest("bob")
	ann2 := h.member("ann")
	gather("den", ann, bob)
	bob.join("attic", "size", 5, "waiting", true)
	sessions := h.srv.SessionList()
	var got [][]string
	for _, s := range sessions {
		got = append(got, append([]string{s.Session, s.User, s.Name, string(s.Role), s.Address}, s.Rooms...))
		if s.Since.IsZero() || s.Away {
			t.Errorf("%+v", s)
		}
	}
	const here = "127.0.0.1"
	want := [][]string{
		{ann.session, "turnpike:ann", "ann", "member", here, "den"},
		{ann2.session, "turnpike:ann", "ann", "member", here},
		{bob.session, "turnpike:bob", "bob", "guest", here, "attic", "den"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sessions %v, want %v", got, want)
	}
	rooms := h.srv.RoomList()
	if wantRooms := []RoomInfo{
		{Room: "attic", Size: 5, Host: bob.session, Waiting: true, Sessions: []string{bob.session}},
		{Room: "den", Size: 6, Host: ann.session, Sessions: []string{ann.session, bob.session}},
	}; !reflect.DeepEqual(rooms, wantRooms) {
		t.Errorf("rooms %+v, want %+v", rooms, wantRooms)
	}
	room, in, found := h.srv.FindRoom("den")
	if !found || !reflect.DeepEqual(room, rooms[1]) || !reflect.DeepEqual(in, []SessionInfo{sessions[0], sessions[2]}) {
		t.Errorf("found %+v with %+v, %v", room, in, found)
	}
	if _, _, found := h.srv.FindRoom("nowhere"); found {
		t.Error("found a room that is not there")
	}
}

// TestEndUser ends the sessions of one user that match, their relays too, and no others.
func TestEndUser(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.ResumeWindow = testWindow })
	ann, bob := h.member("ann"), h.member("bob")
	guest := h.guest("ann")
	if n := h.srv.EndUser("turnpike:ann", func(t auth.Ticket) bool { return t.Role == auth.RoleMember }); n != 1 {
		t.Errorf("ended %d sessions, want 1", n)
	}
	ann.expectClose(wire.CloseEnded)
	h.mu.Lock()
	ended := slices.Clone(h.ended)
	h.mu.Unlock()
	if !slices.Equal(ended, []string{ann.session}) {
		t.Errorf("ended the relays of %v", ended)
	}
	guest.expectNothing()
	again := h.dial()
	again.send(msg{"type": "hello", "resume": msg{"session": ann.session, "token": ann.token, "received": 0}})
	again.expect("error", "code", "no-such-session")
	bob.send(msg{"type": "ping"})
	if n := h.srv.EndUser("turnpike:nobody", func(auth.Ticket) bool { return true }); n != 0 {
		t.Errorf("ended %d sessions of nobody", n)
	}
}

// TestKickUserFromRoom: an operator takes a user out of a room, who cannot come back with the same ticket, neither here
// nor in the next process, and also if the room died with the user.
func TestKickUserFromRoom(t *testing.T) {
	var kicked atomic.Bool
	kickedFrom := func(ticket auth.Ticket, room string) bool {
		return kicked.Load() && ticket.User.Subject == "bad" && room != "elsewhere" && ticket.ID != "new"
	}
	setup := func(cfg *Config) { cfg.ResumeWindow, cfg.KickedFrom = testWindow, kickedFrom }
	h := newHarness(t, setup)
	host, bad := h.guest("host"), h.guest("bad")
	gather("x", host, bad)
	bad.join("elsewhere")
	bad.join("alone")
	waiting := h.guest("bad")
	host.join("lobby", "waiting", true)
	waiting.send(msg{"type": "join", "room": "lobby"})
	waiting.expect("waiting")
	host.expect("knock")
	token := bad.skipTo("resume")["token"] // it knows the rooms

	kicked.Store(true)
	for room, want := range map[string]int{"x": 1, "alone": 1, "lobby": 1, "elsewhere": 0, "nowhere": 0} {
		if n := h.srv.KickUser("turnpike:bad", room); n != want {
			t.Errorf("%d sessions were in %s, want %d", n, room, want)
		}
	}
	host.skipTo("knock-over")
	waiting.expect("left", "room", "lobby", "reason", "kicked")
	h.mu.Lock()
	ended := slices.Compact(slices.Clone(h.ended))
	h.mu.Unlock()
	if !slices.Equal(ended, []string{bad.session}) {
		t.Errorf("ended the relays of %v, want %v", ended, bad.session)
	}
	for _, room := range []string{"x", "alone", "lobby"} {
		waiting.send(msg{"type": "join", "room": room, "create": true})
		waiting.expect("error", "code", "kicked")
	}
	waiting.join("elsewhere")

	next := newHarness(t, setup)
	back := next.dial()
	back.send(msg{"type": "hello", "resume": msg{"session": bad.session, "token": token, "received": 0}})
	rooms := back.expect("welcome", "resumed", "restored")["rooms"].([]any)
	if len(rooms) != 1 || rooms[0].(map[string]any)["room"] != "elsewhere" {
		t.Errorf("came back to %v", rooms)
	}
}
