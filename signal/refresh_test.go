package signal

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

const testMaxSession = time.Hour

// bounded has the sessions of the issuer "app" end after testMaxSession. Credentials live for an hour and a half at most.
func bounded(cfg *Config) {
	cfg.MaxSession = map[string]time.Duration{"app": testMaxSession}
	cfg.ResumeWindow = testWindow
	cfg.ICEServers = func(session string, _ auth.User, _ string, until time.Time) ([]wire.ICEServer, time.Time) {
		expires := time.Now().Add(90 * time.Minute)
		if !until.IsZero() && until.Before(expires) {
			expires = until
		}
		return []wire.ICEServer{{URLs: []string{"turn:turn.test"}}}, expires.Truncate(time.Second)
	}
}

func (h *harness) relaysEnded() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ended)
}

// TestSessionExpires: a session of an issuer with a greatest age ends in time, with its relays, and its credential does not
// outlive it. Others do not end.
func TestSessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, bounded)
		own := h.member("own")
		app := h.dial()
		app.send(msg{"type": "hello", "ticket": ofIssuer("app", "u1", "Ann", auth.RoleMember)})
		w := app.expect("welcome", "expiresIn", 3600)
		start := time.Now()
		if expires, err := time.Parse(time.RFC3339, w["iceExpires"].(string)); err != nil || expires.After(start.Add(testMaxSession)) {
			t.Errorf("the credential outlives the session: %v", w["iceExpires"])
		}
		app.session, app.token = w["session"].(string), w["resume"].(string)
		own.join("x")
		app.join("x")
		own.skipTo("peer-joined")
		closed := make(chan time.Duration)
		go func() {
			for {
				m, err := app.read()
				if err != nil {
					closed <- time.Since(start)
					return
				}
				if m["type"] == "resume" {
					app.token = m["token"].(string)
				}
				if m["type"] == "ice-servers" { // ever more, the nearer the end
					t.Error("a credential was renewed that could not last longer")
				}
			}
		}()
		if m := own.skipTo("peer-left"); m["reason"] != "expired" || m["session"] != app.session {
			t.Errorf("the room heard %v", m)
		}
		if took := <-closed; took < testMaxSession || took > testMaxSession+2*time.Second {
			t.Errorf("ended after %v", took)
		}
		if ended := h.relaysEnded(); !slices.Equal(ended, []string{app.session}) {
			t.Errorf("ended the relays of %v", ended)
		}
		again := h.dial()
		again.send(msg{"type": "hello", "resume": msg{"session": app.session, "token": app.token, "received": 0}})
		again.expect("error", "code", "no-such-session")
		again.send(msg{"type": "hello", "ticket": ofIssuer("app", "u1", "Ann", auth.RoleMember)})
		again.expect("welcome", "expiresIn", 3600)
		again.conn.Close()
		own.acknowledge()
		own.expectNothingButPresence()
	})
}

// expectNothingButPresence is expectNothing for a member.
func (c *client) expectNothingButPresence() {
	c.t.Helper()
	id := c.newID()
	c.send(msg{"type": "leave", "id": id, "room": "never-joined"})
	for {
		m, err := c.read()
		if err != nil {
			c.t.Fatal(err)
		}
		switch m["type"] {
		case "online", "offline", "resume", "ice-servers", "peer-away":
			continue
		}
		if m["ref"] != id {
			c.t.Errorf("got %v", m)
		}
		return
	}
}

// TestExpiryClosesWithItsCode: the close code tells the client that a new ticket is all it needs.
func TestExpiryClosesWithItsCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, bounded)
		app := h.welcome(ofIssuer("app", "u1", "Ann", auth.RoleGuest))
		app.expectClose(wire.CloseExpired)
	})
}

// TestAwaySessionExpires: also one that has lost its connection.
func TestAwaySessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, func(cfg *Config) {
			bounded(cfg)
			cfg.MaxSession["app"] = testWindow / 2
		})
		app := h.welcome(ofIssuer("app", "u1", "Ann", auth.RoleGuest))
		app.conn.Close()
		time.Sleep(testWindow/2 + 3*time.Second)
		if h.srv.Stats().Sessions != 0 || !slices.Equal(h.relaysEnded(), []string{app.session}) {
			t.Errorf("%+v, ended the relays of %v", h.srv.Stats(), h.relaysEnded())
		}
	})
}

// TestRefresh: a fresh ticket of the same user has the session live on, in its rooms, with a credential that lasts as long.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, bounded)
		mate := h.guest("mate")
		app := h.welcome(ofIssuer("app", "u1", "Ann", auth.RoleGuest))
		start := time.Now()
		mate.join("x")
		app.join("x")
		mate.expect("peer-joined")

		heard := pump(app)
		pump(mate)
		token := ""
		hear := func(id, typ string) msg {
			t.Helper()
			for m := range heard {
				if m["type"] == "resume" {
					token = m["token"].(string)
				}
				if m["ref"] == id && m["type"] == typ || id == "" && m["type"] == typ {
					return m
				}
			}
			t.Fatalf("the connection was lost before the %s", typ)
			return nil
		}

		time.Sleep(45 * time.Minute)
		app.send(msg{"type": "refresh", "id": "1", "ticket": "forged"})
		if m := hear("1", "error"); m["code"] != "unauthorized" {
			t.Errorf("a forged ticket: %v", m)
		}
		app.send(msg{"type": "refresh", "id": "2", "ticket": ofIssuer("app", "u2", "Ann", auth.RoleGuest)})
		if m := hear("2", "error"); m["code"] != "forbidden" {
			t.Errorf("another user's ticket: %v", m)
		}
		app.send(msg{"type": "refresh", "id": "3", "ticket": ofIssuer("app", "u1", "Ann", auth.RoleGuest)})
		if m := hear("3", "refreshed"); m["name"] != "Ann" || m["role"] != "guest" || m["expiresIn"] != 3600.0 || m["online"] != nil {
			t.Errorf("%v", m)
		}
		ice := hear("", "ice-servers")
		if expires, err := time.Parse(time.RFC3339, ice["iceExpires"].(string)); err != nil || expires.Before(start.Add(104*time.Minute)) || expires.After(start.Add(105*time.Minute)) {
			t.Errorf("the credential lasts until %v", ice["iceExpires"])
		}
		app.send(msg{"type": "refresh", "id": "3", "ticket": "sent again"}) // it was handled
		hear("3", "refreshed")
		time.Sleep(45 * time.Minute) // beyond the first end
		app.send(msg{"type": "leave", "id": "4", "room": "nowhere"})
		hear("4", "error")
		app.conn.Close()
		time.Sleep(time.Second)
		next := newMemoryHarness(t, bounded)
		back := next.dial()
		back.send(msg{"type": "hello", "resume": msg{"session": app.session, "token": token, "received": 0}})
		w := back.expect("welcome", "resumed", "restored")
		left := time.Duration(w["expiresIn"].(float64)) * time.Second
		if ends := time.Since(start) + left; ends < 104*time.Minute || ends > 105*time.Minute {
			t.Errorf("in the next process it ends %v after the beginning", ends)
		}
		if len(w["rooms"].([]any)) != 1 {
			t.Errorf("it is in %v", w["rooms"])
		}
		for range pump(back) {
		}
		if took := time.Since(start); took < 104*time.Minute || took > 106*time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
}

// pump reads until the connection ends, so that pings are answered meanwhile.
func pump(c *client) <-chan msg {
	heard := make(chan msg, 1000)
	go func() {
		defer close(heard)
		for {
			m, err := c.read()
			if err != nil {
				return
			}
			heard <- m
		}
	}()
	return heard
}

// TestRefreshChangesRights: role, name and rooms are those of the new ticket.
func TestRefreshChangesRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, bounded)
		watcher := h.member("watcher")
		host := h.guest("host")
		app := h.welcome(ofIssuer("app", "u1", "Ann", auth.RoleGuest))
		host.join("x", "size", 5, "waiting", true)
		h.guest("knocker").send(msg{"type": "join", "room": "x"})
		host.expect("knock")
		app.send(msg{"type": "join", "room": "x"})
		app.expect("waiting")
		host.expect("knock")
		host.send(msg{"type": "admit", "room": "x", "session": app.session})
		app.expect("joined")
		app.join("y")
		app.join("z")

		refresh := func(name string, role auth.Role, rooms ...string) msg {
			t.Helper()
			id := app.newID()
			app.send(msg{"type": "refresh", "id": id, "ticket": ticketOf("app", "u1", name, role, rooms)})
			return app.skipToRef(id)
		}
		m := refresh("Ann Lee", auth.RoleModerator, "x", "y")
		if m["type"] != "refreshed" || m["role"] != "moderator" || m["name"] != "Ann Lee" || !slices.Equal(seen(m, "online"), []string{"turnpike:host", "turnpike:knocker", "turnpike:watcher"}) {
			t.Errorf("%v", m)
		}
		app.expect("left", "room", "z", "reason", "revoked")
		app.expect("knock", "room", "x")
		app.send(msg{"type": "lock", "id": "lock", "room": "x"})
		app.expect("locked", "ref", "lock")
		app.send(msg{"type": "join", "id": "z", "room": "z", "create": true})
		app.expect("error", "ref", "z", "code", "forbidden")
		for m := watcher.skipTo("online"); ; m = watcher.skipTo("online") {
			if slices.ContainsFunc(m["users"].([]any), func(u any) bool { return u.(map[string]any)["name"] == "Ann Lee" }) {
				break
			}
		}
		h.member("late")
		for !slices.Contains(seen(app.skipTo("online"), "users"), "turnpike:late") {
		}
		checkInvariants(t, h.srv)

		m = refresh("Ann Lee", auth.RoleGuest, "x", "y")
		if online, there := m["online"].([]any); !there || len(online) > 0 || m["role"] != "guest" {
			t.Errorf("%v", m)
		}
		app.send(msg{"type": "unlock", "id": "unlock", "room": "x"})
		app.expect("error", "ref", "unlock", "code", "not-host")
		h.member("later")
		time.Sleep(2 * presenceDelay)
		app.expectNothing()
		checkInvariants(t, h.srv)
	})
}

// TestTicketNameWaits: a user whose name has changed too often comes in, and goes on, by a good ticket with yet another name of the issuer's.
// The name comes later, and everybody hears it.
func TestTicketNameWaits(t *testing.T) {
	ticket := func(name string) string { return ofIssuer("app", "u1", name, auth.RoleMember) }
	for how, by := range map[string]func(h *harness, app *client) *client{
		"refresh": func(_ *harness, app *client) *client {
			id := app.newID()
			app.send(msg{"type": "refresh", "id": id, "ticket": ticket("Cleo")})
			if m := app.skipToRef(id); m["type"] != "refreshed" || m["name"] != "Bea" || m["expiresIn"] != 3600.0 {
				app.t.Errorf("%v", m)
			}
			return app
		},
		"hello": func(h *harness, _ *client) *client {
			c := h.dial()
			c.send(msg{"type": "hello", "ticket": ticket("Cleo")})
			c.expect("welcome", "name", "Bea")
			return c
		},
	} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newMemoryHarness(t, func(cfg *Config) {
					bounded(cfg)
					cfg.Limits.UserJoins = Rate{PerSecond: 1, Burst: 6}
				})
				mate, app := h.guest("mate"), h.welcome(ticket("Ann"))
				for _, room := range []string{"x", "y", "z"} {
					mate.join(room)
				}
				for _, room := range []string{"x", "y", "z"} {
					app.join(room)
				}
				id := app.newID()
				app.send(msg{"type": "refresh", "id": id, "ticket": ticket("Bea")})
				app.skipToRef(id)
				mate.skipTo("peer-renamed")
				start := time.Now()
				c := by(h, app)
				if m := c.skipTo("renamed"); m["name"] != "Cleo" || m["ref"] != nil {
					t.Errorf("%v", m)
				}
				if took := time.Since(start); took < time.Second/2 || took > 4*time.Second {
					t.Errorf("the name came after %v", took)
				}
				for m := mate.skipTo("peer-renamed"); m["name"] != "Cleo"; m = mate.skipTo("peer-renamed") {
				}
				checkInvariants(t, h.srv)
			})
		})
	}
}

// TestLatestTicketNameHolds: of two names that a user waits for, it gets the one that came last, whichever session brings it.
func TestLatestTicketNameHolds(t *testing.T) {
	ticket := func(name string) string { return ofIssuer("app", "u1", name, auth.RoleMember) }
	for former := range 2 {
		synctest.Test(t, func(t *testing.T) {
			h := newMemoryHarness(t, func(cfg *Config) {
				bounded(cfg)
				cfg.Limits.UserJoins = Rate{PerSecond: 1, Burst: 4}
			})
			mate := h.guest("mate")
			both := []*client{h.welcome(ticket("Ann")), h.welcome(ticket("Ann"))}
			refresh := func(c *client, name, want string) {
				t.Helper()
				id := c.newID()
				c.send(msg{"type": "refresh", "id": id, "ticket": ticket(name)})
				if m := c.skipToRef(id); m["name"] != want {
					t.Errorf("%v, want %s", m, want)
				}
			}
			mate.join("x", "size", 5)
			for _, c := range both {
				c.join("x")
			}
			refresh(both[former], "Bea", "Bea")
			refresh(both[former], "Cleo", "Bea")
			refresh(both[1-former], "Dora", "Bea")
			for renamed := 0; renamed < 4; renamed++ {
				if m := mate.skipTo("peer-renamed"); m["name"] != "Bea" && m["name"] != "Dora" {
					t.Errorf("%v", m)
				}
			}
			for range 8 { // in which another name would come
				time.Sleep(time.Second)
				for _, c := range append(both, mate) {
					id := c.newID()
					c.send(msg{"type": "leave", "id": id, "room": "never-joined"})
					c.skipToRef(id)
				}
			}
			h.srv.mu.Lock()
			if u := h.srv.users["app:u1"]; u.name != "Dora" || u.nameOwed != nil {
				t.Errorf("the user is %s, and waits for another name: %v", u.name, u.nameOwed != nil)
			}
			h.srv.mu.Unlock()
			checkInvariants(t, h.srv)
		})
	}
}

// TestLingeringRelaysExpire: a session that was lost has relays that go on, but not for longer than the session could.
func TestLingeringRelaysExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, bounded)
		mate, app := h.guest("mate"), h.welcome(ofIssuer("app", "u1", "Ann", auth.RoleGuest))
		mate.join("x")
		app.join("x")
		mate.expect("peer-joined")
		mate.signalTo(app, "x", candidate("192.0.2.7"))
		app.expect("signal")
		app.conn.Close()
		time.Sleep(2 * testWindow)
		if !h.srv.MayRelay(app.session, netip.MustParseAddr("192.0.2.7")) {
			t.Error("the relays of a lost session end with it")
		}
		time.Sleep(testMaxSession)
		if h.srv.MayRelay(app.session, netip.MustParseAddr("192.0.2.7")) {
			t.Error("the relays outlive what the session may")
		}
	})
}

// TestLesserMaxSessionHolds: sessions of before that come back have the greatest age that holds now.
func TestLesserMaxSessionHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newMemoryHarness(t, bounded).welcome(ofIssuer("app", "u1", "Ann", auth.RoleGuest))
		for most, want := range map[time.Duration]float64{testMaxSession / 4: 900, 2 * testMaxSession: 3600} {
			back := newMemoryHarness(t, func(cfg *Config) {
				bounded(cfg)
				cfg.MaxSession["app"] = most
			}).dial()
			back.send(msg{"type": "hello", "resume": msg{"session": app.session, "token": app.token, "received": 0}})
			if w := back.expect("welcome", "resumed", "restored"); w["expiresIn"] != want {
				t.Errorf("with max_session %v it ends in %v s, want %v", most, w["expiresIn"], want)
			}
		}
	})
}
