package signal

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// withRole connects a client whose user and name are name.
func (h *harness) withRole(role auth.Role, name string) *client {
	h.t.Helper()
	return h.welcome(testTicket(name, name, role))
}

// gather puts clients into a room of six, the first of them as host, and has each read that the others came.
func gather(room string, clients ...*client) {
	for i, c := range clients {
		c.t.Helper()
		c.join(room, "size", 6)
		for _, other := range clients[:i] {
			other.expect("peer-joined", "room", room)
		}
	}
}

func TestHost(t *testing.T) {
	h := newHarness(t, nil)
	a, b, c := h.guest("a"), h.guest("b"), h.guest("c")
	if m := a.join("x", "size", 3); m["host"] != a.session {
		t.Errorf("joined %v", m)
	}
	if m := b.join("x"); m["host"] != a.session {
		t.Errorf("joined %v", m)
	}
	c.join("x")
	a.expect("peer-joined")
	a.expect("peer-joined")
	b.expect("peer-joined")

	a.send(msg{"type": "leave", "room": "x"})
	a.expect("left")
	for _, other := range []*client{b, c} {
		other.expect("peer-left", "session", a.session)
		other.expect("host", "room", "x", "session", b.session)
	}
	// A session that comes back comes last.
	if m := a.join("x"); m["host"] != b.session {
		t.Errorf("joined %v", m)
	}
	b.expect("peer-joined")
	c.expect("peer-joined")
	// When another session leaves, the host stays host.
	c.send(msg{"type": "leave", "room": "x"})
	c.expect("left")
	b.expect("peer-left", "session", c.session)
	b.expectNothing()
	a.expect("peer-left", "session", c.session)
	// A host that ends leaves.
	b.send(msg{"type": "bye"})
	a.expect("peer-left", "session", b.session, "reason", "bye")
	a.expect("host", "session", a.session)
}

func TestLock(t *testing.T) {
	h := newHarness(t, nil)
	a, b, c := h.guest("a"), h.guest("b"), h.guest("c")
	gather("x", a, b)

	a.send(msg{"type": "lock", "id": "1", "room": "x"})
	a.expect("locked", "ref", "1", "room", "x", "by", a.session)
	if m := b.expect("locked", "room", "x", "by", a.session); m["ref"] != nil {
		t.Errorf("%v answers what b never asked", m)
	}
	a.send(msg{"type": "lock", "id": "2", "room": "x"}) // again
	a.expect("locked", "ref", "2")
	b.expectNothing()

	c.send(msg{"type": "join", "id": "3", "room": "x", "create": true})
	c.expect("error", "ref", "3", "code", "locked")
	b.send(msg{"type": "join", "room": "x"}) // b is in the room already
	b.expect("joined", "locked", true)
	mod := h.withRole(auth.RoleModerator, "mod")
	mod.join("x")
	a.expect("peer-joined")
	b.expect("peer-joined")

	mod.send(msg{"type": "unlock", "id": "4", "room": "x"})
	mod.expect("unlocked", "ref", "4", "by", mod.session)
	a.expect("unlocked", "by", mod.session)
	b.expect("unlocked", "by", mod.session)
	if m := c.join("x"); m["locked"] != nil {
		t.Errorf("joined %v", m)
	}
}

func TestKick(t *testing.T) {
	h := newHarness(t, nil)
	host, other := h.guest("host"), h.guest("other")
	bad, bad2 := h.guest("bad"), h.guest("bad")
	gather("x", host, other, bad, bad2)
	bad.join("elsewhere")
	other.signalTo(bad, "x", candidate("192.0.2.7"))
	bad.expect("signal")
	if !h.srv.MayRelay(bad.session, netip.MustParseAddr("192.0.2.7")) {
		t.Fatal("a mate's candidate is out of scope")
	}

	host.send(msg{"type": "kick", "id": "1", "room": "x", "session": bad.session})
	for _, session := range []string{bad.session, bad2.session} {
		host.expect("peer-left", "room", "x", "session", session, "reason", "kicked")
		other.expect("peer-left", "room", "x", "session", session, "reason", "kicked")
	}
	host.expect("kicked", "ref", "1", "room", "x", "session", bad.session)
	bad.expect("left", "room", "x", "reason", "kicked")
	bad2.skipTo("left")
	host.expectNothing() // afterwards, EndRelays has been called
	h.mu.Lock()
	ended := slices.Sorted(slices.Values(h.ended))
	h.mu.Unlock()
	if want := slices.Sorted(slices.Values([]string{bad.session, bad2.session})); !slices.Equal(ended, want) {
		t.Errorf("ended the relays of %v, want %v", ended, want)
	}
	if h.srv.MayRelay(bad.session, netip.MustParseAddr("192.0.2.7")) {
		t.Error("the scope outlives the kick")
	}
	if !h.srv.SessionLive(bad.session) {
		t.Error("the kicked session ended")
	}

	// No session of the user can come back, not even a new one. Other rooms are open to it.
	for _, c := range []*client{bad, bad2, h.guest("bad")} {
		c.send(msg{"type": "join", "room": "x", "create": true})
		c.expect("error", "code", "kicked")
	}
	bad.send(msg{"type": "join", "room": "elsewhere"})
	bad.expect("joined", "room", "elsewhere")
	// The kicks are forgotten with the room.
	for _, c := range []*client{host, other} {
		c.send(msg{"type": "leave", "room": "x"})
		c.skipTo("left")
	}
	bad.join("x")
}

// TestWhoKicksWhom is the table of roles. In other rooms, a host is an ordinary guest or member.
func TestWhoKicksWhom(t *testing.T) {
	roles := []auth.Role{auth.RoleGuest, auth.RoleMember, auth.RoleModerator, auth.RoleAdmin}
	may := map[auth.Role][]auth.Role{
		auth.RoleModerator: {auth.RoleGuest, auth.RoleMember, auth.RoleModerator},
		auth.RoleAdmin:     roles,
	}
	for _, by := range append([]auth.Role{"host"}, roles...) {
		for _, whom := range roles {
			t.Run(fmt.Sprintf("%s kicks %s", by, whom), func(t *testing.T) {
				h := newHarness(t, nil)
				host, kicker := h.guest("host"), h.guest("kicker")
				allowed, code := slices.Contains(may[by], whom), "forbidden"
				if by == "host" {
					host, kicker = kicker, host
					host.join("x", "size", 3)
					kicker, allowed = host, whom == auth.RoleGuest || whom == auth.RoleMember
				} else {
					if by != auth.RoleGuest {
						kicker = h.withRole(by, "other")
					}
					host.join("x", "size", 3)
					kicker.join("x")
					if by == auth.RoleGuest || by == auth.RoleMember {
						code = "not-host"
					}
				}
				target := h.withRole(whom, "target")
				target.join("x")
				kicker.send(msg{"type": "kick", "id": "1", "room": "x", "session": target.session})
				for {
					m, err := kicker.read()
					if err != nil {
						t.Fatal(err)
					}
					if m["ref"] != "1" {
						continue
					}
					if got := m["type"] == "kicked"; got != allowed || !allowed && m["code"] != code {
						t.Errorf("%v, want it allowed: %v, else %s", m, allowed, code)
					}
					return
				}
			})
		}
	}
}

func TestModeratorKicksHost(t *testing.T) {
	h := newHarness(t, nil)
	host, mod, next := h.guest("host"), h.withRole(auth.RoleModerator, "mod"), h.guest("next")
	gather("x", host, next)
	mod.join("x")
	next.expect("peer-joined")
	mod.send(msg{"type": "kick", "id": "1", "room": "x", "session": host.session})
	next.expect("peer-left", "session", host.session, "reason", "kicked")
	next.expect("host", "session", next.session)
	host.skipTo("left")
}

// TestCallsHaveNoHost holds that nobody has host powers in the room of a call: not the caller, and not the session that
// stays when the other leaves.
func TestCallsHaveNoHost(t *testing.T) {
	h := newHarness(t, nil)
	m := h.members("ann", "bob")
	ann, bob := m[0], m[1]
	id := ann.ring(bob)
	bob.send(msg{"type": "accept", "call": id})
	bob.expect("accept")
	joined := bob.expect("joined")
	room := joined["room"].(string)
	if joined["host"] != nil {
		t.Errorf("joined %v", joined)
	}
	ann.skipTo("peer-joined")
	ann.send(msg{"type": "kick", "id": "1", "room": room, "session": bob.session})
	ann.expect("error", "ref", "1", "code", "not-host")
	bob.send(msg{"type": "leave", "room": room})
	ann.expect("peer-left")
	ann.send(msg{"type": "lock", "id": "2", "room": room})
	ann.expect("error", "ref", "2", "code", "not-host")
}

func TestKickedAreBounded(t *testing.T) {
	r := new(room)
	for i := range maxKicked + 1 {
		r.rememberKicked(fmt.Sprint(i))
	}
	if len(r.kicked) != maxKicked || r.kicked[0] != "1" || r.kicked[maxKicked-1] != fmt.Sprint(maxKicked) {
		t.Errorf("%d, from %s to %s", len(r.kicked), r.kicked[0], r.kicked[len(r.kicked)-1])
	}
}

// TestModerationAttacks tries moderation without the right to it. Each try draws a stable code and changes nothing.
func TestModerationAttacks(t *testing.T) {
	h := newHarness(t, nil)
	host, guest := h.guest("host"), h.guest("guest")
	gather("x", host, guest)
	stranger, mate := h.guest("stranger"), h.guest("mate")
	gather("y", stranger, mate)
	mod := h.withRole(auth.RoleModerator, "mod")
	for _, tc := range []struct {
		name string
		by   *client
		send msg
		code wire.Code
	}{
		{"guest kicks host", guest, msg{"type": "kick", "room": "x", "session": host.session}, wire.CodeNotHost},
		{"guest kicks itself", guest, msg{"type": "kick", "room": "x", "session": guest.session}, wire.CodeNotHost},
		{"host kicks itself", host, msg{"type": "kick", "room": "x", "session": host.session}, wire.CodeForbidden},
		{"host kicks across rooms", host, msg{"type": "kick", "room": "x", "session": mate.session}, wire.CodeNotInRoom},
		{"host kicks in another's room", host, msg{"type": "kick", "room": "y", "session": mate.session}, wire.CodeNotInRoom},
		{"host kicks nobody", host, msg{"type": "kick", "room": "x", "session": "__proto__"}, wire.CodeNotInRoom},
		{"moderator kicks in a room not in", mod, msg{"type": "kick", "room": "x", "session": guest.session}, wire.CodeNotInRoom},
		{"guest locks", guest, msg{"type": "lock", "room": "x"}, wire.CodeNotHost},
		{"lock of a room not in", stranger, msg{"type": "lock", "room": "x"}, wire.CodeNotInRoom},
		{"lock of no room", host, msg{"type": "lock", "room": "nowhere"}, wire.CodeNotInRoom},
		{"unlock of a room not in", mod, msg{"type": "unlock", "room": "x"}, wire.CodeNotInRoom},
		{"admit of somebody who does not wait", host, msg{"type": "admit", "room": "x", "session": mate.session}, wire.CodeNotInRoom},
		{"admit of a mate", host, msg{"type": "admit", "room": "x", "session": guest.session}, wire.CodeNotInRoom},
		{"refuse of a mate", host, msg{"type": "refuse", "room": "x", "session": guest.session}, wire.CodeNotInRoom},
		{"guest admits", guest, msg{"type": "admit", "room": "x", "session": mate.session}, wire.CodeNotHost},
		{"waiting room for a room that is there", stranger, msg{"type": "join", "room": "x", "waiting": 1}, wire.CodeBadMessage},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.by.t = t
			tc.send["id"] = tc.name
			tc.by.send(tc.send)
			tc.by.expect("error", "ref", tc.name, "code", tc.code)
		})
	}
	for _, c := range []*client{host, guest, stranger, mate} {
		c.t = t
		c.expectNothing()
	}
	if len(h.ended) > 0 {
		t.Errorf("relays ended of %v", h.ended)
	}
}

// TestKnockFlood holds that a client that knocks again and again is slowed down, and that the number of waiting
// sessions is bounded.
func TestKnockFlood(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.Joins = Rate{PerSecond: 0.001, Burst: 3} })
	host, flood := h.guest("host"), h.guest("flood")
	host.join("x", "waiting", true)
	for range 3 {
		flood.send(msg{"type": "join", "room": "x"})
		flood.expect("waiting")
		flood.send(msg{"type": "leave", "room": "x"})
		flood.expect("left")
		host.expect("knock")
		host.expect("knock-over")
	}
	flood.send(msg{"type": "join", "room": "x"})
	flood.expect("error", "code", "rate-limited")
	host.expectNothing()
	for i := range wire.MaxWaiting {
		c := h.guest(fmt.Sprint("guest", i))
		c.send(msg{"type": "join", "room": "x"})
		c.expect("waiting")
		host.expect("knock")
	}
	late := h.guest("late")
	late.send(msg{"type": "join", "room": "x"})
	late.expect("error", "code", "full")
	host.expectNothing()
}

// TestRelaysEndUnlocked holds that the server calls EndRelays with no lock held: the sessions that are concerned can act
// meanwhile.
func TestRelaysEndUnlocked(t *testing.T) {
	var h *harness
	var host atomic.Pointer[session]
	var ends atomic.Int32
	h = newHarness(t, func(cfg *Config) {
		cfg.EndRelays = func(session string) {
			ends.Add(1)
			s := host.Load()
			if !s.turn.TryLock() {
				t.Error("the turn of the session that kicks is held")
				return
			}
			s.turn.Unlock()
		}
	})
	a, b := h.pair("room")
	h.srv.mu.Lock()
	host.Store(h.srv.sessions[a.session])
	h.srv.mu.Unlock()
	a.send(msg{"type": "kick", "id": "k", "room": "room", "session": b.session})
	a.skipTo("kicked")
	a.send(msg{"type": "leave", "id": "l", "room": "room"})
	a.skipTo("left")
	if n := ends.Load(); n != 1 {
		t.Errorf("EndRelays was called %d times", n)
	}
}

// TestAwayMemberIsNoHost holds that a member without a connection becomes host only if all are without one, and that the
// first to come back takes over then.
func TestAwayMemberIsNoHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		host, away, there := h.guest("host"), h.guest("away"), h.guest("there")
		host.join("room", "size", 4)
		away.join("room")
		there.join("room")
		away.conn.NetConn().Close()
		there.skipTo("peer-away")
		host.send(msg{"type": "leave", "room": "room"})
		there.skipTo("host")
		if host := h.hostOf("room"); host != there.session {
			t.Fatalf("%s is host, want the member that is there", host)
		}

		host.skipTo("left")
		host.join("room")
		host.conn.NetConn().Close()
		synctest.Wait()
		there.send(msg{"type": "leave", "room": "room"})
		there.skipTo("left")
		if got := h.hostOf("room"); got != away.session {
			t.Fatalf("%s is host of a room whose members are away", got)
		}
		back, _ := h.back(host.identity(), wire.ResumedReplayed)
		m := back.skipTo("host")
		for m["session"] != host.session {
			m = back.skipTo("host")
		}
	})
}

func (h *harness) hostOf(room string) string {
	h.srv.mu.Lock()
	defer h.srv.mu.Unlock()
	return h.srv.rooms[room].host().id
}
