package signal

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// restartable is a server that starts anew with the same state.
type restartable struct {
	*harness
	path       string
	limits     Limits
	maxSession time.Duration
	file       *auth.EndedFile
}

func newRestartable(t *testing.T) *restartable {
	n := &restartable{path: filepath.Join(t.TempDir(), "ended")}
	n.begin(t)
	return n
}

func (n *restartable) begin(t *testing.T) {
	t.Helper()
	ended := auth.NewEnded(time.Now)
	file, err := auth.OpenEndedFile(n.path, ended, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	n.file = file
	n.harness = newMemoryHarness(t, func(cfg *Config) {
		resuming(cfg)
		cfg.Ended, cfg.Limits = ended, n.limits
		cfg.MaxSession = map[string]time.Duration{auth.Issuer: n.maxSession}
	})
}

// restart stops the server as planned, and starts it anew.
func (n *restartable) restart(t *testing.T) {
	t.Helper()
	n.shutdown()
	if err := n.file.Flush(); err != nil {
		t.Fatal(err)
	}
	n.begin(t)
}

// crash starts the server anew. What was not written is lost.
func (n *restartable) crash(t *testing.T) {
	t.Helper()
	n.shutdown()
	n.begin(t)
}

// settle waits for the token that knows the rooms as they are now.
func settle(clients ...*client) {
	for _, c := range clients {
		c.t.Helper()
		c.token = c.skipTo("resume")["token"].(string)
	}
}

// rooms writes the rooms of a welcome, as in "x of a: b c".
func roomsOf(welcome msg) string {
	var all []string
	rooms, _ := welcome["rooms"].([]any)
	for _, r := range rooms {
		room := r.(map[string]any)
		peers := ""
		for _, p := range room["peers"].([]any) {
			peers += " " + p.(map[string]any)["name"].(string)
		}
		all = append(all, fmt.Sprint(room["room"], ":", peers))
	}
	return strings.Join(all, ", ")
}

func onlyRoom(welcome msg) map[string]any {
	if rooms, _ := welcome["rooms"].([]any); len(rooms) == 1 {
		return rooms[0].(map[string]any)
	}
	return nil
}

func (h *harness) restored(t *testing.T, id identity, rooms string) (*client, msg) {
	t.Helper()
	c, w := h.back(id, wire.ResumedRestored)
	if got := roomsOf(w); got != rooms {
		t.Errorf("in the rooms %q, want %q", got, rooms)
	}
	return c, w
}

func inTheBubble(t *testing.T, test func(t *testing.T, n *restartable)) {
	synctest.Test(t, func(t *testing.T) { test(t, newRestartable(t)) })
}

// TestKickedStaysOut: a user who was kicked cannot come back after a restart, neither by a token of before the kick nor
// by a new session, and not even if it is the first to make the room.
func TestKickedStaysOut(t *testing.T) {
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprint("first=", first), func(t *testing.T) {
			inTheBubble(t, func(t *testing.T, n *restartable) {
				host, mallory := n.member("host"), n.guest("mallory")
				host.join("x", "size", 4)
				mallory.join("x")
				settle(host, mallory)
				before := mallory.identity()
				host.send(msg{"type": "kick", "id": "k", "room": "x", "session": mallory.session})
				host.skipTo("kicked")
				settle(host)
				n.restart(t)

				kicked := func(c *client) {
					t.Helper()
					c.send(msg{"type": "join", "id": "j", "room": "x", "create": true})
					c.expect("error", "ref", "j", "code", "kicked")
				}
				if first {
					mallory, _ = n.restored(t, before, "")
					mallory.join("x")
					host, w := n.restored(t, host.identity(), "x:")
					if joined := onlyRoom(w); joined["host"] != host.session {
						t.Errorf("the room is %v", joined)
					}
					mallory.skipTo("left")
					kicked(mallory)
					return
				}
				host, _ = n.restored(t, host.identity(), "x:")
				mallory, _ = n.restored(t, before, "")
				kicked(mallory)
				kicked(n.guest("mallory"))
				host.expectNothing()
			})
		})
	}
}

// TestLeftStaysOut: a session that left a room does not come back into it by a token of before, past a lock or a waiting
// room.
func TestLeftStaysOut(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a, b := n.guest("a"), n.guest("b")
		a.join("x", "size", 4)
		b.join("x")
		settle(a, b)
		before := b.identity()
		b.send(msg{"type": "leave", "id": "l", "room": "x"})
		b.skipTo("left")
		a.send(msg{"type": "lock", "id": "lock", "room": "x"})
		a.skipTo("locked")
		settle(a)
		n.restart(t)
		b, _ = n.restored(t, before, "")
		n.restored(t, a.identity(), "x:")
		b.send(msg{"type": "join", "id": "j", "room": "x"})
		b.expect("error", "ref", "j", "code", "locked")
	})
}

// TestJoinedAgainComesBack: a session that has left and joined again is in the room after a restart.
func TestJoinedAgainComesBack(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a, b := n.settledPair("x")
		a.drain()
		for range 20 {
			b.send(msg{"type": "leave", "id": b.newID(), "room": "x"})
			b.skipTo("left")
			b.send(msg{"type": "join", "id": b.newID(), "room": "x"})
			b.skipTo("joined")
			settle(b)
			b.acknowledge()
		}
		n.restart(t)
		n.restored(t, b.identity(), "x:")
	})
}

// TestByeIsForGood: a session that said bye is over, also after two restarts, and its token resumes nothing.
func TestByeIsForGood(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a := n.guest("a")
		a.leaveForGood()
		for range 2 {
			n.restart(t)
			n.resume(a.identity()).expect("error", "code", "no-such-session")
		}
		time.Sleep(auth.ResumeTTL / 2)
		n.restart(t)
		n.resume(a.identity()).expect("error", "code", "no-such-session")
	})
}

// TestGoneIsOver: a session whose resume window is over does not live again after a restart.
func TestGoneIsOver(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a := n.guest("a")
		a.lose()
		time.Sleep(testWindow + 2*sweepInterval)
		n.restart(t)
		n.anew(a.identity())
	})
}

// TestFormerGenerationIsOver: a token of before a welcome that its client has had resumes nothing after a restart, also
// if it comes before the later one.
func TestFormerGenerationIsOver(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a := n.guest("a")
		before := a.identity()
		a.lose()
		a, _ = n.back(before, wire.ResumedReplayed)
		a.acknowledge()
		a.expectNothing()
		n.restart(t)
		n.resume(before).expect("error", "code", "no-such-session")
		n.restored(t, a.identity(), "")
	})
}

// TestSessionsOutliveRestart: sessions that had not ended come back, whether they are carried or away at the stop.
func TestSessionsOutliveRestart(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a, b := n.settledPair("x")
		b.lose()
		synctest.Wait()
		n.restart(t)
		n.restored(t, b.identity(), "x:")
		a, w := n.restored(t, a.identity(), "x: x b")
		if host := onlyRoom(w)["host"]; host != a.session {
			t.Errorf("host %v, want %v", host, a.session)
		}
		n.restart(t)
		n.restored(t, a.identity(), "x:")
	})
}

// TestLockComesBack: the lock and the waiting room are there again after a restart, even if the first session to come
// back has a token of before the lock.
func TestLockComesBack(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		host, b := n.guest("host"), n.guest("b")
		host.send(msg{"type": "join", "id": "j", "room": "x", "create": true, "size": 4, "waiting": true})
		host.expect("joined")
		b.send(msg{"type": "join", "id": "j", "room": "x"})
		b.expect("waiting")
		host.send(msg{"type": "admit", "id": "a", "room": "x", "session": b.session})
		settle(host, b)
		before := b.identity()
		host.send(msg{"type": "lock", "id": "l", "room": "x"})
		host.skipTo("locked")
		n.restart(t)
		_, w := n.restored(t, before, "x:")
		if r := onlyRoom(w); r["locked"] != true || r["waiting"] != true {
			t.Errorf("the room is %v", r)
		}
		stranger := n.guest("stranger")
		stranger.send(msg{"type": "join", "id": "j", "room": "x"})
		stranger.expect("error", "code", "locked")
	})
}

// TestHostComesBack: after a restart the host is the one of before, whatever order they come in. Nobody who stood in for
// it, and no former host, takes its place.
func TestHostComesBack(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		first, host, c := n.guest("first"), n.guest("host"), n.guest("c")
		first.join("x", "size", 4)
		host.join("x")
		c.join("x")
		settle(first, host, c)
		old := first.identity()
		first.send(msg{"type": "leave", "id": "l", "room": "x"})
		first.skipTo("left")
		first.join("x")
		settle(first, host, c)
		for range 2 { // also after the next restart
			n.restart(t)
			old.received = 0
			stale := n.resume(old)
			stale.send(msg{"type": "ping", "id": "p"}) // it has been welcomed without the room, or not at all
			stale.skipTo("pong")
			c, _ = n.restored(t, c.identity(), "x:")
			settle(c)
			var w msg
			host, w = n.restored(t, host.identity(), "x: c")
			if got := onlyRoom(w)["host"]; got != host.session {
				t.Errorf("host %v, want %v", got, host.session)
			}
			c.expect("peer-joined")
			c.expect("host", "session", host.session)
		}
	})
}

// TestLaterHostWins: a crash loses the record of a new host. The token with the later term counts, in any order.
func TestLaterHostWins(t *testing.T) {
	for _, formerFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("formerFirst=", formerFirst), func(t *testing.T) {
			inTheBubble(t, func(t *testing.T, n *restartable) {
				former, later := n.settledPair("x")
				old := former.identity()
				if err := n.file.Flush(); err != nil {
					t.Fatal(err)
				}
				former.send(msg{"type": "leave", "id": "l", "room": "x"})
				later.skipTo("host")
				settle(later)
				n.crash(t)
				var w msg
				if formerFirst {
					n.restored(t, old, "x:")
					_, w = n.restored(t, later.identity(), "x: x a")
				} else {
					later, _ = n.restored(t, later.identity(), "x:")
					_, w = n.restored(t, old, "x: x b")
				}
				if host := onlyRoom(w)["host"]; host != later.session {
					t.Errorf("host %v, want %v", host, later.session)
				}
			})
		})
	}
}

// TestStrangerWasFaster: somebody makes a room of the same name before the members of before come back. Then it is their
// room again, with their host. The stranger is a newcomer in it: it stays, waits, or has to go.
func TestStrangerWasFaster(t *testing.T) {
	for name, row := range map[string]struct {
		join []any
		lock bool
		want func(t *testing.T, stranger, host *client)
	}{
		"stays": {[]any{"size", 4}, false, func(t *testing.T, stranger, host *client) {
			stranger.expect("peer-joined")
			stranger.expect("host", "session", host.session)
			stranger.expectNothing()
			host.send(msg{"type": "kick", "id": "k", "room": "x", "session": stranger.session})
			host.skipTo("kicked")
			stranger.expect("left", "reason", "kicked")
		}},
		"locked": {[]any{"size", 4}, true, func(t *testing.T, stranger, _ *client) {
			stranger.expect("left", "room", "x", "reason", "returned")
			stranger.expectNothing()
		}},
		"waiting room": {[]any{"size", 4, "waiting", true}, false, func(t *testing.T, stranger, host *client) {
			stranger.expect("left", "room", "x", "reason", "returned")
			stranger.expect("waiting", "room", "x")
			host.skipTo("knock")
			host.send(msg{"type": "admit", "id": "a", "room": "x", "session": stranger.session})
			stranger.skipTo("joined")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inTheBubble(t, func(t *testing.T, n *restartable) {
				host := n.guest("host")
				host.join("x", row.join...)
				settle(host)
				if row.lock {
					host.send(msg{"type": "lock", "id": "l", "room": "x"})
					settle(host)
				}
				n.restart(t)
				stranger := n.guest("stranger")
				stranger.join("x", "size", 2)
				stranger.send(msg{"type": "lock", "id": "l", "room": "x"})
				stranger.expect("locked")
				stranger.send(msg{"type": "unlock", "id": "u", "room": "x"})
				stranger.expect("unlocked")
				host, w := n.restored(t, host.identity(), "x:"+map[bool]string{true: " stranger", false: ""}[name == "stays"])
				if r := onlyRoom(w); r["host"] != host.session || r["size"] != 4.0 || r["locked"] == true != row.lock {
					t.Errorf("the room is %v", r)
				}
				row.want(t, stranger, host)
				checkInvariants(t, n.srv)
			})
		})
	}
}

// TestStrangerMakesPlace: the members of before go before those who came into their room meanwhile, where it is full.
func TestStrangerMakesPlace(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a, b := n.settledPair("x")
		n.restart(t)
		one, two := n.guest("one"), n.guest("two")
		one.join("x", "size", 4)
		two.join("x")
		n.restored(t, a.identity(), "x: one")
		two.skipTo("left")
		n.restored(t, b.identity(), "x: x a")
		if m := one.skipTo("left"); m["reason"] != "returned" {
			t.Errorf("%v", m)
		}
		checkInvariants(t, n.srv)
	})
}

// TestRoomOfBeforeHasDied: a room died and somebody made another of the same name. A token of the first does not open the
// second, neither in that process nor after the next restart.
func TestRoomOfBeforeHasDied(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a, b := n.settledPair("x")
		n.restart(t)
		a, _ = n.restored(t, a.identity(), "x:")
		a.send(msg{"type": "leave", "id": "l", "room": "x"})
		a.skipTo("left")
		c := n.guest("c")
		c.join("x")
		settle(c)
		other, _ := n.restored(t, b.identity(), "")
		other.expectNothing()
		n.restart(t)
		n.restored(t, other.identity(), "")
		n.restored(t, c.identity(), "x:")
	})
}

// TestDeadRoomIsNotMadeAgain: the last of the members who came back has left, so that the room has died. A member who comes
// later does not make it again, past its lock.
func TestDeadRoomIsNotMadeAgain(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a, b := n.settledPair("x")
		n.restart(t)
		a, _ = n.restored(t, a.identity(), "x:")
		a.send(msg{"type": "leave", "id": "l", "room": "x"})
		a.skipTo("left")
		n.restored(t, b.identity(), "")
	})
}

// TestNobodyCameBack: a room whose members of before do not come back is its maker's, also after another restart.
func TestNobodyCameBack(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a, _ := n.settledPair("x")
		n.restart(t)
		c := n.guest("c")
		c.join("x", "size", 3)
		settle(c)
		n.restart(t)
		c, _ = n.restored(t, c.identity(), "x:")
		settle(c)
		_, w := n.restored(t, a.identity(), "x: c") // in time, after all
		if host := onlyRoom(w)["host"]; host != a.session {
			t.Errorf("host %v, want %v", host, a.session)
		}
	})
}

// TestTokensOfEarlierVersion: tokens without terms bring sessions back as they did.
func TestTokensOfEarlierVersion(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		a, b := n.settledPair("x")
		n.restart(t)
		if err := n.file.Flush(); err != nil {
			t.Fatal(err)
		}
		n.path += ".none"
		n.begin(t)
		early := func(id identity) identity {
			token, err := n.srv.cfg.ResumeTokens.Verify(id.token)
			if err != nil {
				t.Fatal(err)
			}
			token.Number = 0
			for i := range token.In {
				token.In[i].Made, token.In[i].Term = 0, 0
			}
			if id.token, err = n.srv.cfg.ResumeTokens.Issue(token); err != nil {
				t.Fatal(err)
			}
			return id
		}
		n.restored(t, early(b.identity()), "x:")
		a, w := n.restored(t, early(a.identity()), "x: x b")
		if host := onlyRoom(w)["host"]; host != a.session {
			t.Errorf("host %v, want %v", host, a.session)
		}
	})
}
