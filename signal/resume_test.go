package signal

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

const testWindow = 30 * time.Second

func resuming(cfg *Config) { cfg.ResumeWindow = testWindow }

// lose cuts the client's connection off, as a network does.
func (c *client) lose() { c.conn.NetConn().Close() }

// identity is what a client needs to resume.
type identity struct {
	session, token string
	received       uint64
}

func (c *client) identity() identity { return identity{c.session, c.token, c.received} }

func (h *harness) resume(id identity, fields ...any) *client {
	h.t.Helper()
	c := h.dial()
	resume := msg{"session": id.session, "token": id.token, "received": id.received}
	for i := 0; i < len(fields); i += 2 {
		resume[fields[i].(string)] = fields[i+1]
	}
	c.send(msg{"type": "hello", "id": "resume", "resume": resume})
	c.received = id.received
	return c
}

// back resumes a session, which must be as it was.
func (h *harness) back(id identity, how string, fields ...any) (*client, msg) {
	h.t.Helper()
	c := h.resume(id, fields...)
	if how == wire.ResumedRestored {
		c.received = 0
	}
	w := c.expect("welcome", "ref", "resume", "session", id.session, "resumed", how)
	c.session, c.user, c.token = id.session, w["user"].(string), w["resume"].(string)
	return c, w
}

// TestReplay: messages to a session without a connection arrive once it is back, in order, and nobody else notices.
func TestReplay(t *testing.T) {
	h := newHarness(t, resuming)
	a, b := h.pair("x")
	b.lose()
	for i := range 3 {
		a.signalTo(b, "x", candidate(fmt.Sprint("192.0.2.", i)))
	}
	b2, w := h.back(b.identity(), wire.ResumedReplayed)
	if rooms := fmt.Sprint(w["rooms"]); !strings.Contains(rooms, a.session) || w["online"] != nil {
		t.Errorf("welcome %v", w)
	}
	for i := range 3 {
		m := b2.expect("signal", "from", a.session)
		if got := m["candidate"].(map[string]any)["candidate"]; got != candidate(fmt.Sprint("192.0.2.", i)) {
			t.Errorf("signal %d is %v", i, got)
		}
	}
	b2.signalTo(a, "x", "")
	a.expect("signal", "from", b.session)
	b2.expectNothing()
	a.expectNothing()
	if st := h.srv.Stats(); st.Away != 0 || st.Sessions != 2 {
		t.Errorf("stats %+v", st)
	}
}

// TestReplayIsOnce loses the connection again before the client acknowledges anything of the replay, and resumes after
// the messages that did arrive.
func TestReplayIsOnce(t *testing.T) {
	h := newHarness(t, resuming)
	a, b := h.pair("x")
	const total = 20
	for range total {
		a.signalTo(b, "x", "")
	}
	for got := 0; got < total; {
		for range min(3, total-got) {
			b.expect("signal") // read checks its number
			got++
		}
		b.lose()
		b, _ = h.back(b.identity(), wire.ResumedReplayed)
	}
	b.expectNothing()
}

// TestHalfDead resumes while the server takes the old connection for a good one.
func TestHalfDead(t *testing.T) {
	h := newHarness(t, resuming)
	a, b := h.pair("x")
	b2, _ := h.back(b.identity(), wire.ResumedReplayed)
	b.expectClose(wire.CloseReplaced)
	a.signalTo(b2, "x", "")
	b2.expect("signal")
	a.expectNothing()
	if got := counterOf(h.srv, "sessions_begun", wire.ResumedReplayed); got != 1 {
		t.Errorf("%d sessions were replayed", got)
	}
}

func counterOf(srv *Server, name, reason string) uint64 {
	for _, c := range srv.Counters() {
		if c.Name == name && c.Reason == reason {
			return c.Value
		}
	}
	return 0
}

// TestLostWelcome: a token is good until the client has been heard on the connection that brought the next one.
func TestLostWelcome(t *testing.T) {
	h := newHarness(t, resuming)
	b := h.member("b")
	first := b.identity()
	for range 3 { // each welcome is lost
		h.back(first, wire.ResumedReplayed)
	}
	b2, _ := h.back(first, wire.ResumedReplayed)
	b2.acknowledge()
	b2.expectNothing()
	c := h.resume(first)
	c.expect("error", "ref", "resume", "code", "no-such-session")
	c.send(msg{"type": "hello", "id": "2", "ticket": testTicket("b", "b", auth.RoleMember)}) // on the same connection
	if w := c.expect("welcome", "ref", "2"); w["session"] == b.session || w["resumed"] != nil {
		t.Errorf("welcome %v", w)
	}
	h.back(b2.identity(), wire.ResumedReplayed)
}

// TestRequestsOnce sends handled requests again, with an answer and without, before and after a resume.
func TestRequestsOnce(t *testing.T) {
	h := newHarness(t, resuming)
	a, b := h.pair("x")
	call := msg{"type": "call", "id": "c1", "to": b.user}
	signal := msg{"type": "signal", "id": "s1", "room": "x", "to": b.session, "candidate": nil}
	a.send(call)
	a.send(signal)
	id := a.expect("ringing", "ref", "c1")["call"]
	b.expect("call", "call", id)
	b.expect("signal")
	a.lose()
	a2, w := h.back(identity{a.session, a.token, a.received - 1}, wire.ResumedReplayed)
	if w["handled"] != "s1" {
		t.Errorf("welcome %v", w)
	}
	a2.expect("ringing", "ref", "c1", "call", id) // replayed
	a2.send(call)
	a2.send(signal)
	a2.expect("ringing", "ref", "c1", "call", id) // answered again
	a2.expectNothing()
	b.expectNothing()
}

// TestHandledIsTold: the client can forget requests that have no answer.
func TestHandledIsTold(t *testing.T) {
	h := newHarness(t, resuming)
	a, b := h.pair("x")
	for i := range 2 * wire.AckEvery {
		a.send(msg{"type": "signal", "id": fmt.Sprint(i), "room": "x", "to": b.session, "candidate": nil})
		b.expect("signal")
	}
	a.expect("ack", "ref", wire.AckEvery-1)
	a.expect("ack", "ref", 2*wire.AckEvery-1)
}

// TestFresh: a page that was loaded again has lost its peer connections, and its mates learn that.
func TestFresh(t *testing.T) {
	h := newHarness(t, resuming)
	a, b := h.pair("x")
	b.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(wire.CloseGoingAway, ""), time.Now().Add(time.Second))
	b.lose()
	b2, w := h.back(b.identity(), wire.ResumedReplayed, "fresh", true)
	if w["online"] == nil || !strings.Contains(fmt.Sprint(w["rooms"]), a.session) {
		t.Errorf("welcome %v", w)
	}
	a.expect("peer-back", "room", "x", "session", b.session, "fresh", true)
	b2.signalTo(a, "x", "")
	a.expect("signal", "from", b.session)
}

// TestRestore: another process with the same secret takes sessions over, with their room, and the first tokens of both
// hold.
func TestRestore(t *testing.T) {
	h := newHarness(t, resuming)
	a, b := h.guest("a"), h.guest("b")
	for _, c := range []*client{a, b} {
		c.join("x", "size", 4)
	}
	a.expect("peer-joined")
	for _, c := range []*client{a, b} {
		c.token = c.expect("resume")["token"].(string) // it knows the room
	}
	next := newHarness(t, resuming)
	b2, w := next.back(b.identity(), wire.ResumedRestored)
	if fmt.Sprint(w["rooms"]) != "[map[host:"+b.session+" peers:[] room:x size:4]]" || w["handled"] != nil {
		t.Errorf("welcome %v", w)
	}
	a2, w := next.back(a.identity(), wire.ResumedRestored)
	if !strings.Contains(fmt.Sprint(w["rooms"]), b.session) {
		t.Errorf("welcome %v", w)
	}
	b2.expect("peer-joined", "room", "x")
	b2.expect("host", "room", "x", "session", a.session) // as before
	a2.signalTo(b2, "x", "")
	b2.expect("signal", "from", a.session)
	b2.lose()
	b3, _ := next.back(b.identity(), wire.ResumedRestored) // as if the welcome and all messages after it had been lost
	b3.expect("peer-joined", "room", "x")
	b3.expect("host", "room", "x", "session", a.session)
	b3.expect("signal", "from", a.session)
	b3.expectNothing()

	b3.send(msg{"type": "bye"})
	b3.expectClose(wire.CloseBye)
	for _, id := range []identity{b.identity(), b2.identity()} {
		next.resume(id).expect("error", "code", "no-such-session")
	}
}

// TestResumeRefused tries to resume sessions without the right to, and counts which tries are guesses at tickets.
func TestResumeRefused(t *testing.T) {
	h := newHarness(t, resuming)
	a, b := h.member("a"), h.member("b")
	tokens := auth.NewResumeTokens(testSecret, time.Now, rand.Reader)
	other, err := tokens.Issue(auth.Resume{Session: "made-up", Epoch: h.srv.epoch, Ticket: auth.Ticket{
		User: auth.User{Issuer: "turnpike", Subject: "a"}, Role: auth.RoleAdmin}, Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		id      identity
		guesses bool
	}{
		{"another session's token", identity{a.session, b.token, 0}, true},
		{"no token", identity{a.session, "x", 0}, true},
		{"a changed token", identity{a.session, a.token + "x", 0}, true},
		{"a session that never was, of this process", identity{"made-up", other, 0}, false},
		{"received what was never sent", identity{a.session, a.token, 1000}, false},
		{"received more than there can be", identity{a.session, a.token, 1<<53 - 1}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := h.failures()
			c := h.resume(tc.id)
			c.t = t
			c.expect("error", "ref", "resume", "code", "no-such-session")
			if guessed := h.failures() > before; guessed != tc.guesses {
				t.Errorf("a guess: %v", guessed)
			}
		})
	}
	a.expect("online") // of b; and the sessions still have their connections
	a.expectNothing()
	b.expectNothing()
}

// failures counts the bad tickets and tokens of an address.
func (h *harness) failures() float64 {
	h.srv.mu.Lock()
	defer h.srv.mu.Unlock()
	sum := 0.0
	for _, use := range h.srv.addrs.uses {
		sum += use.failed.spent
	}
	return sum
}

// TestAway follows a session that nobody resumes.
func TestAway(t *testing.T) {
	for _, tc := range []struct {
		name string
		lose func(c *client)
		ends time.Duration
	}{
		{"lost", (*client).lose, testWindow},
		{"page closed", func(c *client) {
			c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(wire.CloseGoingAway, ""), time.Now().Add(time.Second))
			c.lose()
		}, wire.ClosedWindow},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newMemoryHarness(t, resuming)
				a, b := h.pair("x")
				start := time.Now()
				b.drain()
				tc.lose(b)
				a.expect("resume")
				a.expect("peer-away", "room", "x", "session", b.session)
				if took := time.Since(start); took < wire.AwayNotice || took > wire.AwayNotice+2*sweepInterval {
					t.Errorf("told after %v", took)
				}
				if !h.srv.SessionLive(b.session) {
					t.Error("an away session is not live")
				}
				a.expect("peer-left", "room", "x", "session", b.session, "reason", "gone")
				if took := time.Since(start); took < tc.ends || took > tc.ends+sweepInterval {
					t.Errorf("ended after %v", took)
				}
				if h.srv.SessionLive(b.session) {
					t.Error("an ended session is live")
				}
				h.anew(b.identity())
			})
		})
	}
}

// TestPeerBack: mates that were told of an absence are told of the return.
func TestPeerBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		a, b := h.pair("x")
		b.drain()
		b.lose()
		a.expect("resume")
		a.expect("peer-away")
		c := h.guest("c")
		c.send(msg{"type": "join", "room": "x"})
		c.expect("error", "code", "full") // a session that is away keeps its place
		h.back(identity{b.session, b.token, 0}, wire.ResumedReplayed)
		if m := a.expect("peer-back", "room", "x", "session", b.session); m["fresh"] != nil {
			t.Errorf("%v", m)
		}
	})
}

// TestAwayAndFull: a session ends as slow when too much waits for it, and never goes on with a gap.
func TestAwayAndFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, func(cfg *Config) {
			resuming(cfg)
			cfg.Limits.QueueMessages = 8
		})
		a, b := h.pair("x")
		b.lose()
		synctest.Wait()
		for range 9 {
			a.signalTo(b, "x", "")
		}
		a.expect("peer-left", "session", b.session, "reason", "slow")
		a.expect("resume")
		h.anew(b.identity())
		if st := h.srv.Stats(); st.Away != 0 || st.Sessions != 2 {
			t.Errorf("stats %+v", st)
		}
	})
}

// TestKeptBytes bounds the bytes that all sessions together have not acknowledged.
func TestKeptBytes(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		resuming(cfg)
		cfg.Limits.KeptBytes = 100_000 // one session never gets all of it
	})
	a, b := h.pair("x")
	for range 10 { // few enough that the errors after the end of b are not too much for a, which reads none meanwhile
		a.send(msg{"type": "signal", "room": "x", "to": b.session, "candidate": msg{"candidate": strings.Repeat("x", 200)}})
	}
	b.withoutAck = true
	b.expectClose(wire.CloseSlow)
	a.skipTo("peer-left")
	if kept := h.srv.Stats().KeptBytes; kept > 100_000 {
		t.Errorf("%d bytes are kept", kept)
	}
}

// TestNeverAcknowledges: a client that reads but acknowledges nothing is cut off as slow, not kept for ever.
func TestNeverAcknowledges(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		resuming(cfg)
		cfg.Limits.QueueMessages = 100
		cfg.Limits.Messages = Rate{PerSecond: 1e6, Burst: 1e6}
	})
	a, b := h.pair("x")
	b.withoutAck = true
	for range 101 {
		a.signalTo(b, "x", "")
	}
	b.expectClose(wire.CloseSlow)
}

// TestAckOfTheFuture: a client cannot acknowledge messages that were not sent.
func TestAckOfTheFuture(t *testing.T) {
	h := newHarness(t, resuming)
	c := h.member("a")
	c.send(msg{"type": "ack", "id": "1", "received": 5})
	c.expect("error", "ref", "1", "code", "bad-message", "field", "received")
	c.send(msg{"type": "leave", "id": "2", "room": "x", "received": 1})
	c.expect("error", "ref", "2", "code", "not-in-room")
}

func TestPing(t *testing.T) {
	h := newHarness(t, resuming)
	c := h.dial()
	c.send(msg{"type": "ping", "id": "1"})
	c.expect("pong", "ref", "1")
	c.send(msg{"type": "hello", "ticket": testTicket("a", "A", auth.RoleMember)})
	c.expect("welcome", "resumeWindow", 30)
	c.send(msg{"type": "ping", "id": "2"})
	if m := c.expect("pong", "ref", "2"); m["seq"] != nil {
		t.Errorf("%v", m)
	}
}

// TestEndWhere ends sessions whose ticket was revoked, connected or away, for good.
func TestEndWhere(t *testing.T) {
	h := newHarness(t, resuming)
	a, b := h.pair("x")
	c := h.member("c")
	b.lose()
	h.srv.EndWhere(func(session string, ticket auth.Ticket) bool { return ticket.Role == auth.RoleGuest })
	a.expectClose(wire.CloseEnded)
	for _, gone := range []*client{a, b} {
		h.resume(gone.identity()).expect("error", "code", "no-such-session")
	}
	if m := c.expect("offline"); len(m["users"].([]any)) != 2 {
		t.Errorf("%v", m)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ended) != 2 {
		t.Errorf("the relays of %v were ended", h.ended)
	}
}

// TestRevokedIsNotRestored: another process does not take over a session whose invite was revoked.
func TestRevokedIsNotRestored(t *testing.T) {
	h := newHarness(t, resuming)
	c := h.member("a")
	next := newHarness(t, func(cfg *Config) {
		resuming(cfg)
		cfg.Revoked = func(ticket auth.Ticket) bool { return ticket.User.Subject == "a" }
	})
	next.resume(c.identity()).expect("error", "code", "no-such-session")
}
