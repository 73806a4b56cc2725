package signal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// checkInvariants holds that all pointers between sessions, users, rooms and calls go both ways.
func checkInvariants(t *testing.T, srv *Server) {
	t.Helper()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for id, s := range srv.sessions {
		if s.id != id || s.ended || srv.users[s.user.id] != s.user || !slices.Contains(s.user.sessions, s) {
			t.Errorf("session %s: id %s, ended %v, user %v", id, s.id, s.ended, s.user)
		}
		for _, r := range s.rooms {
			if srv.rooms[r.id] != r || !r.has(s) {
				t.Errorf("session %s is in room %s, which does not have it", id, r.id)
			}
		}
		for _, r := range s.waits {
			if srv.rooms[r.id] != r || !slices.Contains(r.waiting, s) {
				t.Errorf("session %s waits for room %s, which does not know", id, r.id)
			}
		}
	}
	for id, u := range srv.users {
		if len(u.sessions) == 0 || !slices.Contains(srv.names[u.canonical], u) {
			t.Errorf("user %s has %d sessions; the name %s is of %v", id, len(u.sessions), u.canonical, srv.names[u.canonical])
		}
		if u.call != nil && (srv.calls[u.call.id] != u.call || u.call.caller.user != u && u.call.callee != u) {
			t.Errorf("user %s is in a call that is over, or another's", id)
		}
	}
	names := 0
	for _, holders := range srv.names {
		names += len(holders)
	}
	if names != len(srv.users) {
		t.Errorf("%d names of %d users", names, len(srv.users))
	}
	for id, r := range srv.rooms {
		if len(r.members) == 0 || len(r.members) > r.size {
			t.Errorf("room %s has %d of %d", id, len(r.members), r.size)
		}
		for _, s := range r.members {
			if srv.sessions[s.id] != s || !slices.Contains(s.rooms, r) {
				t.Errorf("room %s has session %s, which is not in it", id, s.id)
			}
		}
		checkModeration(t, srv, r)
	}
	for id, c := range srv.calls {
		if c.caller.user.call != c || c.callee.call != c || srv.sessions[c.caller.id] != c.caller {
			t.Errorf("call %s: its users are not in it", id)
		}
		if c.room == nil && len(c.ringing) == 0 {
			t.Errorf("call %s rings nowhere", id)
		}
		if c.room != nil && (c.room.call != c || !c.room.has(c.caller) || !c.room.has(c.answered)) {
			t.Errorf("call %s is answered, but not both are in its room", id)
		}
	}
}

// checkModeration holds the invariants of a room with regard to host powers.
func checkModeration(t *testing.T, srv *Server, r *room) {
	t.Helper()
	if (r.host() == nil) != r.hostless || r.hostless && (r.locked || r.hasWaiting || len(r.waiting)+len(r.kicked) > 0) {
		t.Errorf("room %s: host %v, of a call %v, locked %v, %d wait", r.id, r.host(), r.hostless, r.locked, len(r.waiting))
	}
	if len(r.waiting) > wire.MaxWaiting || len(r.waiting) > 0 && !r.hasWaiting {
		t.Errorf("%d wait for room %s, which has a waiting room: %v", len(r.waiting), r.id, r.hasWaiting)
	}
	for _, s := range r.waiting {
		if srv.sessions[s.id] != s || !slices.Contains(s.waits, r) || r.has(s) || s.moderates() {
			t.Errorf("session %s waits for room %s, in it: %v, its role %s", s.id, r.id, r.has(s), s.ticket.Role)
		}
	}
	for _, s := range slices.Concat(r.members, r.waiting) {
		if slices.Contains(r.kicked, s.user.id) {
			t.Errorf("room %s was closed to user %s, who is in it or waits", r.id, s.user.id)
		}
	}
}

// TestInvariants lets clients do random things at once, again and again. Each time that all is quiet, it compares the
// state of the server with the state that clients know.
func TestInvariants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, rounds = 12, 300
		h := newMemoryHarness(t, func(cfg *Config) {
			unlimited(cfg)
			cfg.Limits.RoomsPerSession = 3
		})
		connect := func(i int) *actor {
			role := []auth.Role{auth.RoleMember, auth.RoleGuest, auth.RoleModerator, auth.RoleGuest}[i%4]
			user := fmt.Sprint("user", i/2*2%8) // some have several sessions
			a := newActor(h, testTicket(user, user, role))
			go a.listen()
			return a
		}
		actors := make([]*actor, clients)
		for i := range actors {
			actors[i] = connect(i)
		}
		did := map[string]bool{}
		for round := range rounds {
			rng := rand.New(rand.NewPCG(1, uint64(round)))
			for i, a := range actors {
				other := actors[rng.IntN(clients)]
				room := fmt.Sprint("room", rng.IntN(3))
				call := a.lastCall()
				switch n := rng.IntN(32); {
				case n >= 20 && n < 23:
					a.send(msg{"type": []string{"lock", "unlock", "unlock"}[n-20], "room": room})
				case n == 23:
					room, mate := a.aMate(rng.IntN(8))
					a.send(msg{"type": "kick", "room": room, "session": mate})
				case n >= 24 && n < 31:
					knock, id := a.aKnock(rng.IntN(3))
					a.send(msg{"type": []string{"admit", "refuse"}[min(n-24, 5)/5], "room": knock, "session": id})
				case n < 5 || n == 31:
					a.send(msg{"type": "join", "room": room, "create": true, "size": 2 + rng.IntN(6), "waiting": rng.IntN(2) == 0})
				case n < 7:
					a.send(msg{"type": "leave", "room": room})
				case n < 10:
					a.signalTo(other.client, room, candidate("192.0.2.1"))
				case n < 13:
					a.send(msg{"type": "call", "to": other.user})
				case n < 18:
					a.send(msg{"type": []string{"accept", "accept", "decline", "cancel", "hangup"}[n-13], "call": call})
				case n == 18:
					a.send(msg{"type": "bye"})
					a.conn.Close()
					actors[i] = connect(i)
				default:
					a.conn.Close()
					actors[i] = connect(i)
				}
			}
			synctest.Wait()
			time.Sleep(2 * presenceDelay)
			checkInvariants(t, h.srv)
			for _, a := range actors {
				a.check(h.srv, did)
			}
			for kind, is := range map[string]bool{"rooms": h.srv.Stats().Rooms > 0, "calls": h.srv.Stats().Calls > 0, "answered": h.answered()} {
				did[kind] = did[kind] || is
			}
			if t.Failed() {
				t.Fatalf("after round %d", round)
			}
		}
		for _, kind := range []string{"rooms", "calls", "answered", "locked", "waiting", "knocks", "kicked", "admitted", "refused", "host"} {
			if !did[kind] {
				t.Errorf("of %s there was nothing: %v", kind, did)
			}
		}
		for _, a := range actors {
			a.conn.Close()
		}
		synctest.Wait()
		checkInvariants(t, h.srv)
		if st := h.srv.Stats(); st != (Stats{}) {
			t.Errorf("left %+v", st)
		}
	})
}

// answered reports whether there is an answered call.
func (h *harness) answered() bool {
	h.srv.mu.Lock()
	defer h.srv.mu.Unlock()
	for _, c := range h.srv.calls {
		if c.room != nil {
			return true
		}
	}
	return false
}
