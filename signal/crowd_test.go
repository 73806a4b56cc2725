package signal

import (
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

func unlimitedResuming(cfg *Config) {
	unlimited(cfg)
	resuming(cfg)
}

// crowd brings members online that have no connection, and of which everybody has heard. Their names begin with the
// text.
func (h *harness) crowd(text string, n int) {
	h.t.Helper()
	h.srv.mu.Lock()
	defer h.srv.mu.Unlock()
	for i := range n {
		name := fmt.Sprintf("%s %05d", text, i)
		ticket, _ := verifyTestTicket(testTicket(name, name, auth.RoleMember))
		s := newSession(h.srv, auth.NewID(h.srv.cfg.Rand, sessionIDLength), ticket)
		if e := h.srv.begin(s, askedName{shown: name, canonical: name}); e != nil {
			h.t.Fatal(e.Message)
		}
		h.srv.listOnline(s, new(wire.Welcome))
	}
	clear(h.srv.presence.changes)
}

// BenchmarkLogIn has a member come and go while others are online.
func BenchmarkLogIn(b *testing.B) {
	for _, online := range []int{100, 1000, 6000, 20000} {
		b.Run(fmt.Sprintf("online=%d", online), func(b *testing.B) {
			h := newHarness(b, unlimitedResuming)
			h.crowd("crowd", online)
			for b.Loop() {
				h.member("visitor").leaveForGood()
			}
		})
	}
}

// BenchmarkAdmit reports the part of a log-in that holds Server.mu.
func BenchmarkAdmit(b *testing.B) {
	for _, online := range []int{100, 20000} {
		b.Run(fmt.Sprintf("online=%d", online), func(b *testing.B) {
			h := newHarness(b, unlimitedResuming)
			h.crowd("crowd", online)
			var locked time.Duration
			for b.Loop() {
				locked += h.admitOne()
			}
			b.ReportMetric(float64(locked)/float64(b.N), "locked-ns/op")
		})
	}
}

// admitOne admits a member, without a socket, for a moment. It returns for how long that held Server.mu.
func (h *harness) admitOne() time.Duration {
	h.t.Helper()
	ticket, _ := verifyTestTicket(testTicket("visitor", "visitor", auth.RoleMember))
	c := newConn(h.srv, "turnpike.test")
	if _, refused := h.srv.reserve(c, netip.MustParseAddr("192.0.2.1")); refused != "" {
		h.t.Fatal(refused)
	}
	s := newSession(h.srv, auth.NewID(h.srv.cfg.Rand, sessionIDLength), ticket)
	welcome := c.newWelcome("", s.id, ticket, s.until)
	start := time.Now()
	e := c.admit(s, askedName{shown: "visitor", canonical: "visitor"}, welcome)
	locked := time.Since(start)
	if e != nil {
		h.t.Fatal(e.Message)
	}
	h.srv.end(s, wire.ReasonShutdown)
	h.srv.forgetConn(c)
	return locked
}

// TestLogInAmongMany holds that a log-in costs at most twice as much among 20,000 members as it does among 100: the
// memory that it takes, its time, and the part of the time that holds Server.mu.
func TestLogInAmongMany(t *testing.T) {
	type cost struct{ memory, total, locked float64 }
	few, many := newHarness(t, unlimitedResuming), newHarness(t, unlimitedResuming)
	few.crowd("crowd", 100)
	many.crowd("crowd", 20_000)
	least := func(h *harness, c *cost) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		h.member("visitor").leaveForGood()
		c.total = min(c.total, float64(time.Since(start)))
		runtime.ReadMemStats(&after)
		c.memory = min(c.memory, float64(after.TotalAlloc-before.TotalAlloc))

		for range 20 {
			c.locked = min(c.locked, float64(h.admitOne()))
		}
	}
	costs := [2]cost{}
	for i := range costs {
		costs[i] = cost{math.Inf(1), math.Inf(1), math.Inf(1)}
	}
	for range 50 {
		least(few, &costs[0])
		least(many, &costs[1])
	}
	if costs[1].memory > 2*costs[0].memory || costs[1].total > 2*costs[0].total || costs[1].locked > 2*costs[0].locked {
		t.Errorf("memory, time and locked time of a log-in among 20,000 are %.0f, among 100 they are %.0f", costs[1], costs[0])
	}
	if most := float64(50 * time.Microsecond); costs[1].locked > most {
		t.Errorf("a log-in among 20,000 locks the server for %.0f ns, and may for %.0f", costs[1].locked, most)
	}
}

// TestNewsAreShared holds that members who hear of the same part of what has changed share its text, which counts once among the bytes that
// wait.
func TestNewsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const members, fewTexts = 1000, 2000 // bytes
		h := newMemoryHarness(t, nil)
		h.crowd("crowd", members)
		before := h.srv.kept.Load()
		h.member("a")   // whom all hear of
		h.member("zed") // of whom they do not, at the same time
		time.Sleep(3 * presenceDelay)
		told, waits := 0, h.srv.kept.Load()-before
		for _, s := range h.srv.allSessions() {
			if s.stream.last() > 0 {
				told++
			}
		}
		if told < members || waits > fewTexts {
			t.Errorf("%d of %d members were told, and %d bytes wait", told, members, waits)
		}
	})
}

// TestOnlineInPages holds that a welcome lists the first users and says that there are more, that a client gets the
// others in pages, and that it hears of changes up to the end of what it has.
func TestOnlineInPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		h.crowd("crowd", 250)
		c := h.dial()
		c.send(msg{"type": "hello", "ticket": testTicket("me", "me", auth.RoleMember)})
		welcome := c.expect("welcome", "onlineMore", true)
		known := welcome["online"].([]any)
		if len(known) != wire.MaxOnline {
			t.Fatalf("the welcome lists %d", len(known))
		}

		h.member("zoe").leaveForGood()
		early, late := h.member("a"), h.member("zed")
		c.expect("online", "users", says("a"))
		time.Sleep(3 * presenceDelay)
		c.expectNothing() // of zed, who is beyond the list

		for i, want := range []int{100, 51} { // with zed
			c.send(msg{"type": "online", "id": fmt.Sprint(i), "after": known[len(known)-1]})
			page := c.expect("online", "ref", i)
			users := page["users"].([]any)
			if more := i == 0; len(users) != want || (page["more"] == true) != more {
				t.Fatalf("page %d has %d users, more %v", i, len(users), page["more"])
			}
			known = append(known, users...)
		}
		names := make(map[string]bool)
		for _, u := range known {
			names[u.(map[string]any)["name"].(string)] = true
		}
		if len(names) != 251 || !names["zed"] || !names["crowd 00249"] {
			t.Errorf("the pages name %d users", len(names))
		}
		early.leaveForGood()
		late.leaveForGood()
		h.member("zoe")
		c.expect("online", "users", says("zoe"))
		c.expect("offline", "users", says("a", "zed"))

		gast := h.guest("gast")
		gast.send(msg{"type": "online", "id": "9"})
		gast.expect("online", "ref", 9, "users", "[]", "more", nil)
	})
}

// TestRenamedAcrossTheEnd holds that a user whose new name is beyond a member's list goes offline for that member, and
// one whose new name is within it comes online.
func TestRenamedAcrossTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		h.crowd("crowd", 200)
		h.welcome(testTicket("u", "a", auth.RoleMember))
		h.welcome(testTicket("v", "y", auth.RoleMember))
		time.Sleep(2 * presenceDelay)
		c := h.member("me")
		time.Sleep(2 * presenceDelay)
		h.welcome(testTicket("u", "z", auth.RoleMember))
		h.welcome(testTicket("v", "b", auth.RoleMember))
		c.expect("online", "users", "[map[name:b user:turnpike:v]]")
		c.expect("offline", "users", "[map[name:z user:turnpike:u]]")
	})
}

// TestManyChangesAtOnce holds that a message names at most presenceChunk users, that a rush is told completely, and that
// nobody is told of itself.
func TestManyChangesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		there := h.member("there")
		time.Sleep(2 * presenceDelay)
		const rush = 250
		names := make(map[string]bool)
		var last *client
		for i := range rush {
			names[fmt.Sprintf("u%03d", i)] = true
			last = h.member(fmt.Sprintf("u%03d", i))
		}
		for len(names) > 0 {
			users := there.expect("online")["users"].([]any)
			if len(users) > presenceChunk {
				t.Fatalf("a message names %d users", len(users))
			}
			for _, u := range users {
				delete(names, u.(map[string]any)["name"].(string))
			}
		}
		there.expectNothing()
		time.Sleep(2 * presenceDelay)
		for {
			last.send(msg{"type": "ping", "id": "end"})
			m, err := last.read()
			if err != nil || m["type"] == "pong" {
				break
			}
			for _, u := range m["users"].([]any) {
				if u.(map[string]any)["user"] == last.user {
					t.Error("a session was told of its own user")
				}
			}
		}
	})
}

// TestComingAndGoing holds that somebody who comes and goes without end has each member told at the rate that the
// number of members allows.
func TestComingAndGoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const members = 4000
		h := newMemoryHarness(t, unlimited)
		c := h.member("me")
		h.crowd("crowd", members)
		time.Sleep(time.Second)
		c.acknowledge()
		before := c.received
		const rounds = 300
		for range rounds {
			h.member("a").leaveForGood()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		for {
			c.send(msg{"type": "ping", "id": "end"})
			if m, err := c.read(); err != nil || m["type"] == "pong" {
				break
			}
		}
		told := int(c.received - before)
		if most := 2 * (1 + rounds*10*int(time.Millisecond)/(members*int(presencePerMember))); told > most {
			t.Errorf("%d messages about %d rounds, want at most %d", told, rounds, most)
		}
	})
}

// TestSharedTextCountsOnce holds that a text to many sessions counts once among the bytes that the server keeps, until
// the last session has no more use for it.
func TestSharedTextCountsOnce(t *testing.T) {
	h := newHarness(t, nil)
	h.crowd("crowd", 50)
	kept := func() int { return int(h.srv.kept.Load()) }
	h.srv.mu.Lock()
	sessions := slices.Clone(h.srv.members)
	h.srv.mu.Unlock()
	text := share(make([]byte, 1000))
	for _, s := range sessions {
		s.tellShared(text)
		s.tellText(make([]byte, 10))
	}
	if want := 1000 + 50*10; kept() != want {
		t.Errorf("%d bytes are kept, want %d", kept(), want)
	}
	for i, s := range sessions {
		if s.stream.bytes != 1010 {
			t.Errorf("a stream has %d bytes, want all that waits for it", s.stream.bytes)
		}
		if i == 0 {
			h.srv.end(s, wire.ReasonBye) // forgets all
			continue
		}
		s.stream.mu.Lock()
		s.stream.forget(1)
		s.stream.mu.Unlock()
		if want := 49 * 10; i == len(sessions)-1 && kept() != want {
			t.Errorf("%d bytes are kept, want %d", kept(), want)
		}
	}
}
