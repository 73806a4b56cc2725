package signal

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// anew presents the token of a session that is over, and expects a new one of the same user.
func (h *harness) anew(id identity) (*client, msg) {
	h.t.Helper()
	c := h.resume(id)
	w := c.expect("welcome", "ref", "resume", "resumed", nil, "handled", nil, "rooms", nil)
	if c.session = w["session"].(string); c.session == id.session || w["limits"] == nil || w["after"] != 0.0 {
		h.t.Errorf("welcome %v", w)
	}
	c.user, c.token, c.received = w["user"].(string), w["resume"].(string), 0
	return c, w
}

func (h *harness) notAnew(id identity) {
	h.t.Helper()
	h.resume(id).expect("error", "ref", "resume", "code", "no-such-session")
}

// loseForLonger has a client's session end because its connection does not come back in time.
func loseForLonger(c *client) identity {
	c.lose()
	time.Sleep(testWindow + 2*sweepInterval)
	return c.identity()
}

// TestLostBeginsAnew: the token of a session that was lost for longer than the window begins a new one of the same user, with
// its role, name and rooms, until it expires; and so on.
func TestLostBeginsAnew(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		ticket := testTicket("m", "Ann", auth.RoleModerator, "x")
		a := n.welcome(ticket)
		a.join("x")
		settle(a)
		for round := range 3 {
			id := loseForLonger(a)
			if round == 1 {
				n.restart(t)
			}
			var w msg
			if a, w = n.anew(id); w["user"] != "turnpike:m" || w["name"] != "Ann" || w["role"] != "moderator" {
				t.Errorf("welcome %v", w)
			}
			a.join("x")
			a.send(msg{"type": "join", "id": "y", "room": "y", "create": true})
			a.expect("error", "ref", "y", "code", "forbidden")
			settle(a)
			n.notAnew(id) // the new session is in use
		}
		id := a.identity()
		a.lose()
		time.Sleep(auth.ResumeTTL + time.Minute)
		n.notAnew(id)
	})
}

// TestLostNameComesBack: a new session by a token has the name of the former, or another if somebody has that by now, or if the
// user chooses one.
func TestLostNameComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		a, b := h.guest("a"), h.guest("b")
		a.rename("Ann")
		b.rename("Bea")
		settle(a, b)
		a.lose()
		b.lose()
		time.Sleep(testWindow + 2*sweepInterval)
		h.welcome(testTicket("other", "Ann", auth.RoleMember))
		if _, w := h.anew(a.identity()); w["name"] != "Ann (2)" {
			t.Errorf("called %q", w["name"])
		}
		c := h.dial()
		hello := msg{"type": "hello", "resume": msg{"session": b.session, "token": b.token, "received": 0}, "name": "Ann"}
		c.send(hello)
		c.expect("error", "code", "name-taken")
		hello["name"] = "Bill"
		c.send(hello)
		c.expect("welcome", "resumed", nil, "name", "Bill", "user", "turnpike:b")
	})
}

// TestLostWelcomeOfAnew: as long as the client has not used the new session, because its welcome was lost for example, the
// token begins another.
func TestLostWelcomeOfAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		id := loseForLonger(h.guest("a"))
		first, _ := h.anew(id)
		first.lose()
		second, _ := h.anew(id)
		second.acknowledge()
		second.expectNothing()
		h.notAnew(id)
		if first.session == second.session {
			t.Error("one session for both")
		}
	})
}

// TestEndedBeginsNothing: the token of a session that somebody meant to end, or that broke the protocol, begins no new one, also
// after a restart. Nor does one that a later welcome had replaced.
func TestEndedBeginsNothing(t *testing.T) {
	for name, end := range map[string]func(n *restartable, c *client) identity{
		"bye": func(_ *restartable, c *client) identity {
			c.leaveForGood()
			return c.identity()
		},
		"bye of one that came back": func(n *restartable, c *client) identity {
			c.lose()
			synctest.Wait()
			c, _ = n.back(c.identity(), wire.ResumedReplayed)
			c.leaveForGood()
			return c.identity()
		},
		"revoked": func(n *restartable, c *client) identity {
			n.srv.EndWhere(func(session string, _ auth.Ticket) bool { return session == c.session })
			return c.identity()
		},
		"revoked while away": func(n *restartable, c *client) identity {
			c.lose()
			synctest.Wait()
			n.srv.EndWhere(func(session string, _ auth.Ticket) bool { return session == c.session })
			return c.identity()
		},
		"broke the protocol": func(_ *restartable, c *client) identity {
			for range wire.MaxBadMessages {
				c.sendText("[]")
			}
			c.expectClose(wire.CloseBadMessage)
			return c.identity()
		},
		"replaced token": func(n *restartable, c *client) identity {
			former := c.identity()
			c.lose()
			synctest.Wait()
			c, _ = n.back(former, wire.ResumedReplayed)
			c.requests = 100
			c.expectNothing()
			loseForLonger(c)
			return former
		},
		"bye of the next one, as its first message": func(n *restartable, c *client) identity {
			id := loseForLonger(c)
			next, _ := n.anew(id)
			next.leaveForGood()
			return id
		},
		"another that follows it is used": func(n *restartable, c *client) identity {
			id := loseForLonger(c)
			next, _ := n.anew(id)
			next, _ = n.anew(loseForLonger(next))
			next.leaveForGood()
			return id
		},
		"one of two that follow it is used": func(n *restartable, c *client) identity {
			id := loseForLonger(c)
			first, _ := n.anew(id)
			unused := loseForLonger(first)
			second, _ := n.anew(id)
			second.leaveForGood()
			return unused
		},
		"the one that follows it is revoked": func(n *restartable, c *client) identity {
			id := loseForLonger(c)
			next, _ := n.anew(id)
			n.srv.EndWhere(func(session string, _ auth.Ticket) bool { return session == next.session })
			return id
		},
		"another session's": func(n *restartable, c *client) identity {
			id := loseForLonger(c)
			id.session = "made-up"
			return id
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTheBubble(t, func(t *testing.T, n *restartable) {
				id := end(n, n.guest("a"))
				synctest.Wait()
				n.notAnew(id)
				n.restart(t)
				n.notAnew(id)
			})
		})
	}
}

// TestFollowedOverRestart: a session that follows a lost one may be used first after a restart, and the token of the lost one is over then.
func TestFollowedOverRestart(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		id := loseForLonger(n.guest("a"))
		next, _ := n.anew(id)
		n.restart(t)
		next, _ = n.back(next.identity(), wire.ResumedRestored)
		next.acknowledge()
		next.expectNothing()
		n.notAnew(id)
	})
}

// TestThrownOutBeginsNothing: the token of a user who was thrown out, or whose invite was revoked, while the session was lost.
func TestThrownOutBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revoked := false
		h := newMemoryHarness(t, func(cfg *Config) {
			resuming(cfg)
			cfg.Revoked = func(auth.Ticket) bool { return revoked }
		})
		id := loseForLonger(h.guest("a"))
		revoked = true
		h.notAnew(id)
		revoked = false
		h.anew(id)
	})
}

// TestAnewAndTicket: a good ticket goes before the token, and a bad one does not keep its user out.
func TestAnewAndTicket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		id := loseForLonger(h.guest("a"))
		hello := func(ticket string) *client {
			c := h.dial()
			c.send(msg{"type": "hello", "ticket": ticket, "resume": msg{"session": id.session, "token": id.token, "received": 0}})
			return c
		}
		hello(testTicket("other", "other", auth.RoleGuest)).expect("welcome", "user", "turnpike:other", "resumed", nil)
		for _, ticket := range []string{"expired", "forged"} {
			hello(ticket).expect("welcome", "user", "turnpike:a", "role", "guest")
		}
		member := hello(testTicket("a", "a", auth.RoleMember))
		member.expect("welcome", "user", "turnpike:a", "role", "member")
		member.expectNothing()
		h.notAnew(id) // it has been followed
	})
}

// TestAnewIsBounded: sessions that follow each other end when the first must, and a user who was kicked from a room stays out.
func TestAnewIsBounded(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		n.maxSession = 10 * time.Minute
		n.restart(t)
		start := time.Now()
		host, a := n.guest("host"), n.guest("a")
		host.join("x", "size", 4)
		a.join("x")
		settle(a)
		host.drain()
		host.send(msg{"type": "kick", "id": "k", "room": "x", "session": a.session})
		a.skipTo("left")
		var w msg
		for range 3 {
			time.Sleep(time.Minute)
			a, w = n.anew(loseForLonger(a))
			if left := 10*time.Minute - time.Since(start); w["expiresIn"] == nil || fmt.Sprint(w["expiresIn"]) != fmt.Sprint(int(left.Seconds())) {
				t.Errorf("ends in %v s, want %v", w["expiresIn"], left)
			}
			a.send(msg{"type": "join", "id": "x", "room": "x", "create": true})
			a.expect("error", "ref", "x", "code", "kicked")
		}
		id := loseForLonger(a)
		time.Sleep(10*time.Minute - time.Since(start))
		n.notAnew(id)
	})
}

// TestLoneHostComesBack: a host who was alone makes its room again as it was, waiting room included, and lets others in.
func TestLoneHostComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		host := h.guest("host")
		host.join("x", "size", 8, "waiting", true)
		settle(host)
		host, _ = h.anew(loseForLonger(host))
		if m := host.join("x", "size", 8, "waiting", true); m["size"] != 8.0 || m["waiting"] != true || m["host"] != host.session {
			t.Errorf("the room is %v", m)
		}
		guest := h.guest("guest")
		guest.send(msg{"type": "join", "room": "x"})
		guest.expect("waiting")
		host.skipTo("knock")
		host.send(msg{"type": "admit", "room": "x", "session": guest.session})
		guest.expect("joined", "room", "x")
	})
}
