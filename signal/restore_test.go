package signal

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// settledPair is pair, and waits until each of the two has a token that knows the room.
func (h *harness) settledPair(room string) (a, b *client) {
	h.t.Helper()
	a, b = h.pair(room)
	for _, c := range []*client{a, b} {
		c.token = c.expect("resume")["token"].(string)
	}
	return a, b
}

// TestLostWelcomeOfRestore: another process takes a session over, and the welcome is lost. The next try gets all
// messages of the session there, whatever numbers the client knows from the former process.
func TestLostWelcomeOfRestore(t *testing.T) {
	for _, received := range []int{3, 50} { // of the former process: as many as there are here, and more
		t.Run(fmt.Sprint(received), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				former, next := newMemoryHarness(t, resuming), newMemoryHarness(t, resuming)
				a, b := former.settledPair("x")
				for b.received < uint64(received) {
					a.signalTo(b, "x", "")
					b.expect("signal")
				}
				next.back(b.identity(), wire.ResumedRestored) // the welcome is lost
				a2, _ := next.back(a.identity(), wire.ResumedRestored)
				for i := range 3 {
					a2.signalTo(b, "x", fmt.Sprint(i))
				}
				synctest.Wait()
				b2, w := next.back(b.identity(), wire.ResumedRestored)
				if w["after"] != 0.0 || w["handled"] != nil || !strings.Contains(fmt.Sprint(w["rooms"]), a.session) {
					t.Errorf("welcome %v", w)
				}
				b2.expect("peer-joined", "room", "x")
				b2.expect("host", "room", "x", "session", a.session)
				for i := range 3 {
					if m := b2.expect("signal", "from", a.session); m["candidate"].(map[string]any)["candidate"] != fmt.Sprint(i) {
						t.Errorf("signal %d is %v", i, m)
					}
				}
				b2.expectNothing()
			})
		})
	}
}

// TestRestoreTriedAtOnce: when one client tries twice at once, neither try fails because the other is ahead.
func TestRestoreTriedAtOnce(t *testing.T) {
	var both sync.WaitGroup // tries that have found no session there
	both.Add(2)
	var asked atomic.Int32
	former, next := newHarness(t, resuming), newHarness(t, func(cfg *Config) {
		resuming(cfg)
		cfg.ICEServers = func(session string, user auth.User, host string, until time.Time) ([]wire.ICEServer, time.Time) {
			if asked.Add(1) <= 2 {
				both.Done()
				both.Wait()
			}
			return testICEServers(session, user, host, until)
		}
	})
	id := former.guest("a").identity()
	one, other := next.resume(id), next.resume(id)
	together(func() { one.isWelcomeOrReplaced(id) }, func() { other.isWelcomeOrReplaced(id) })
	if st := next.srv.Stats(); st.Sessions != 1 || st.Away != 0 {
		t.Errorf("stats %+v", st)
	}
}

func (c *client) isWelcomeOrReplaced(id identity) {
	m, err := c.read()
	if !websocket.IsCloseError(err, wire.CloseReplaced) && (err != nil || m["resumed"] != wire.ResumedRestored || m["session"] != id.session) {
		c.t.Errorf("%v, %v", m, err)
	}
}

// TestThereAndBack: a session goes to another process, and back to the first, where it is away and has missed messages.
// It gets no message twice, and takes no old message for a new one.
func TestThereAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newMemoryHarness(t, resuming), newMemoryHarness(t, resuming)
		a, b := first.settledPair("x")
		b.acknowledge()
		b.expectNothing()
		b.lose()
		synctest.Wait()
		a.signalTo(b, "x", "missed")
		b2, _ := second.back(b.identity(), wire.ResumedRestored)
		b2.acknowledge()
		b2.expectNothing()
		b2.lose()
		b3, w := first.back(b2.identity(), wire.ResumedRestored)
		if w["after"] != float64(b3.received) || !strings.Contains(fmt.Sprint(w["rooms"]), a.session) {
			t.Errorf("welcome %v", w)
		}
		a.signalTo(b3, "x", "now")
		if m := b3.expect("signal"); m["candidate"].(map[string]any)["candidate"] != "now" {
			t.Errorf("%v", m)
		}
		b3.expectNothing()
		b3.lose()
		b4, _ := first.back(b3.identity(), wire.ResumedReplayed) // the token is of the last generation
		b4.expectNothing()
		// Former tokens of either process are not good any more.
		first.resume(b.identity()).expect("error", "code", "no-such-session")
		first.resume(b2.identity()).expect("error", "code", "no-such-session")
	})
}

// TestTokenOfTheReplayHolds: a client gets a token in the welcome, and then one that waited in the stream. It keeps the
// last, which must hold.
func TestTokenOfTheReplayHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		b := h.guest("b")
		before := b.identity()
		b.join("x")
		b.expect("resume") // as if it were lost
		b.lose()
		b, _ = h.back(before, wire.ResumedReplayed)
		b.expect("joined")
		if token := b.expect("resume")["token"]; token != b.token {
			t.Error("the replay brings another token than the welcome")
		}
		b.acknowledge()
		b.expectNothing()
		b.lose()
		h.back(b.identity(), wire.ResumedReplayed)
	})
}

// TestFreshRestore: a page that was loaded again comes back to another process. Mates that came there before it connect
// to it anew.
func TestFreshRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		former, next := newMemoryHarness(t, resuming), newMemoryHarness(t, resuming)
		a, b := former.settledPair("x")
		a2, _ := next.back(a.identity(), wire.ResumedRestored)
		next.back(b.identity(), wire.ResumedRestored, "fresh", true)
		a2.expect("peer-joined")
		a2.expect("peer-back", "room", "x", "session", b.session, "fresh", true)
	})
}

// TestAwayIsToldOnce: a session that joins in the first moments of an absence is told of it with the others, and is
// told of the return too.
func TestAwayIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		a, b := h.guest("a"), h.guest("b")
		a.join("x", "size", 3)
		b.drain()
		a.lose()
		synctest.Wait()
		c := h.guest("c")
		if peers := fmt.Sprint(c.join("x")["peers"]); strings.Contains(peers, "away") {
			t.Errorf("away already: %v", peers)
		}
		c.expect("resume")
		c.expect("peer-away", "session", a.session)
		d := h.guest("d")
		if peers := fmt.Sprint(d.join("x")["peers"]); !strings.Contains(peers, "away:true") {
			t.Errorf("not away: %v", peers)
		}
		c.expect("peer-joined")
		h.back(a.identity(), wire.ResumedReplayed)
		c.expect("peer-back", "session", a.session)
		d.expect("peer-back", "session", a.session)
	})
}

// TestAnotherUserBegins: if the ticket beside the resume token is another user's, that user begins a session, as when
// another person signs in on the page. Any other ticket changes nothing.
func TestAnotherUserBegins(t *testing.T) {
	h := newHarness(t, resuming)
	a := h.member("a")
	hello := func(ticket string) *client {
		c := h.dial()
		c.send(msg{"type": "hello", "ticket": ticket, "resume": msg{"session": a.session, "token": a.token, "received": a.received}})
		return c
	}
	if w := hello(testTicket("b", "b", auth.RoleMember)).expect("welcome", "user", "turnpike:b"); w["resumed"] != nil || w["session"] == a.session {
		t.Errorf("welcome %v", w)
	}
	a.expect("online")
	a.acknowledge()
	a.expectNothing()
	hello("expired").expect("welcome", "user", "turnpike:a", "resumed", wire.ResumedReplayed)
	hello(testTicket("a", "renamed", auth.RoleMember)).expect("welcome", "name", "a", "resumed", wire.ResumedReplayed)
}

// TestRefusedForItsRateIsHandled: a request over the rate has its answer, so the client does not send it again. Its
// acknowledgement counts.
func TestRefusedForItsRateIsHandled(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		resuming(cfg)
		cfg.Limits.Messages = Rate{PerSecond: 0.001, Burst: 2}
	})
	c := h.guest("c") // one message
	c.join("x")
	for _, id := range []string{"1", "2"} {
		c.send(msg{"type": "leave", "id": id, "room": "x", "received": c.received})
		c.expect("error", "ref", id, "code", "rate-limited")
	}
	if kept := h.srv.streamOf(c.session); kept > 1 {
		t.Errorf("%d messages are kept, and all except the last are acknowledged", kept)
	}
	c.send(msg{"type": "leave", "id": "3", "room": "x", "received": c.received + 1}) // for a ping, see TestRefusedPing
	if e := c.expect("error", "ref", "3"); e["code"] != "rate-limited" && e["code"] != "bad-message" {
		t.Errorf("%v", e)
	}
	c.lose()
	if _, w := h.back(c.identity(), wire.ResumedReplayed); w["handled"] != "3" {
		t.Errorf("welcome %v", w)
	}
}

// streamOf counts the messages in the stream of a session.
func (srv *Server) streamOf(session string) int {
	srv.mu.Lock()
	st := &srv.sessions[session].stream
	srv.mu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.messages)
}

// TestHoarders has more sessions leave messages unacknowledged than the node has room for. Sessions over the bound end;
// a pair that acknowledges goes on.
func TestHoarders(t *testing.T) {
	const hoarders, messages, size, room = 150, 10, 1000, 1 << 20
	h := newHarness(t, func(cfg *Config) {
		unlimited(cfg)
		cfg.Limits.KeptBytes = room
	})
	text := candidate("192.0.2.1") + strings.Repeat(" ", size)
	one, other := h.pair("honest")
	for i := range hoarders {
		room := fmt.Sprint("hoard", i)
		sender, hoarder := h.pair(room)
		for range messages {
			sender.signalTo(hoarder, room, text)
		}
		one.signalTo(other, "honest", text)
		other.expect("signal")
		other.acknowledge()
	}
	other.expectNothing()
	if kept := h.srv.Stats().KeptBytes; kept > room || kept < room/4 {
		t.Errorf("%d bytes are kept, with room for %d", kept, room)
	}
	if ended := counterOf(h.srv, "closes", wire.CloseReason(wire.CloseSlow)); ended == 0 || ended == hoarders {
		t.Errorf("%d of %d hoarders were ended", ended, hoarders)
	}
}

// TestWaitingAgainAnswersNothing: a newcomer whom the members of before have wait has asked for nothing. What it is told
// must not become the answer to its request, which belongs to its turns.
func TestWaitingAgainAnswersNothing(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		host := n.guest("host")
		host.join("x", "size", 4, "waiting", true)
		settle(host)
		n.restart(t)
		stranger := n.guest("stranger")
		stranger.join("x")
		synctest.Wait()
		n.srv.mu.Lock()
		s := n.srv.sessions[stranger.session]
		n.srv.mu.Unlock()
		answer := func() string {
			s.turn.Lock()
			defer s.turn.Unlock()
			return string(s.requests.answer)
		}
		before := answer()
		n.restored(t, host.identity(), "x:")
		stranger.skipTo("waiting")
		if after := answer(); after != before {
			t.Errorf("the answer %q has become %q", before, after)
		}
	})
}
