package signal

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

func (c *client) say(room string, data any, fields ...any) msg {
	c.t.Helper()
	id := c.newID()
	m := msg{"type": "say", "id": id, "room": room, "data": data}
	for i := 0; i < len(fields); i += 2 {
		m[fields[i].(string)] = fields[i+1]
	}
	c.send(m)
	return c.expect("said", "ref", id, "room", room)
}

// TestSay: data reaches all mates or those that are named, also one that is away, and nobody else.
func TestSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		a, b, c, outside := h.guest("a"), h.guest("b"), h.guest("c"), h.guest("d")
		gather("x", a, b, c)
		c.lose()
		synctest.Wait()
		if m := a.say("x", msg{"move": "e4"}); m["missed"] != nil {
			t.Errorf("said %v", m)
		}
		b.expect("data", "room", "x", "from", a.session, "topic", nil, "data", "map[move:e4]")
		if m := a.say("x", []any{1, nil}, "to", []string{c.session, outside.session, a.session}, "topic", "game"); fmt.Sprint(m["missed"]) != fmt.Sprint([]string{outside.session, a.session}) {
			t.Errorf("said %v", m)
		}
		b.expectNothing()
		outside.expectNothing()
		outside.send(msg{"type": "say", "id": "1", "room": "x", "data": 1})
		outside.expect("error", "ref", "1", "code", "not-in-room")
		back, _ := h.back(c.identity(), wire.ResumedReplayed)
		back.expect("data", "from", a.session, "data", "map[move:e4]")
		back.expect("data", "from", a.session, "topic", "game", "data", "[1 <nil>]")
		back.requests = 100
		back.expectNothing()
	})
}

// TestSayIsForwardedAsItCame: the text of the data is not changed, nor is it mixed up with the message after it.
func TestSayIsForwardedAsItCame(t *testing.T) {
	h := newHarness(t, nil)
	a, b := h.pair("x")
	const data = `{ "a" : 1.50 , "<b>" : [ "\u00e9" , 1e3 ] }`
	a.sendText(`{"type":"say","room":"x","data": ` + data + ` }`)
	a.sendText(`{"type":"say","room":"x","data":"` + strings.Repeat("-", 2*len(data)) + `"}`)
	_, text, err := b.conn.ReadMessage()
	if err != nil || !strings.Contains(string(text), `"data":`+data+`,"seq"`) {
		t.Errorf("%s, %v", text, err)
	}
}

// TestDataEndsNobody: data that a mate does not read is left out before it could end the mate's session, and its sender is told.
// What must not be lost still arrives.
func TestDataEndsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, edit := range map[string]func(*Config){
			"messages": func(cfg *Config) { cfg.Limits.QueueMessages = 40 },
			"bytes":    func(cfg *Config) { cfg.Limits.QueueBytes = 40 * wire.MaxData },
		} {
			h := newMemoryHarness(t, func(cfg *Config) {
				resuming(cfg)
				edit(cfg)
			})
			a, b := h.pair("x")
			settle(a, b)
			b.lose()
			synctest.Wait()
			taken := 0
			for range 30 {
				if m := a.say("x", strings.Repeat("x", wire.MaxData-2)); m["missed"] == nil {
					taken++
				} else if fmt.Sprint(m["missed"]) != fmt.Sprint([]string{b.session}) {
					t.Fatalf("said %v", m)
				}
			}
			if taken < 8 || taken > 10 {
				t.Errorf("%s: %d were taken", name, taken)
			}
			a.signalTo(b, "x", "candidate")
			back, _ := h.back(b.identity(), wire.ResumedReplayed)
			for range taken {
				back.expect("data")
			}
			back.expect("signal")
		}
	})
}

// TestSayRate: what is said to n mates counts as n messages, of the session and of the user.
func TestSayRate(t *testing.T) {
	for name, edit := range map[string]func(*Config, Rate){
		"session": func(cfg *Config, r Rate) { cfg.Limits.Messages = r },
		"user":    func(cfg *Config, r Rate) { cfg.Limits.UserMessages = r },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newMemoryHarness(t, func(cfg *Config) { edit(cfg, Rate{PerSecond: 1, Burst: 10}) })
				a, b, c, d := h.guest("a"), h.guest("b"), h.guest("c"), h.guest("d")
				gather("x", a, b, c, d)
				time.Sleep(20 * time.Second)
				for range 3 {
					a.say("x", 1)
				}
				a.say("x", 1, "to", []string{b.session}) // the tenth
				a.send(msg{"type": "say", "id": "eleven", "room": "x", "data": 1})
				a.expect("error", "ref", "eleven", "code", "rate-limited", "retryAfter", 1)
			})
		})
	}
}

// TestCallData: a call takes data to all sessions where it rings, also to one that has forgotten it, and a decline takes a reason
// back.
func TestCallData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		caller, callee := h.withRole(auth.RoleMember, "a"), h.guest("b")
		other := h.guest("b")
		caller.send(msg{"type": "call", "id": "1", "to": callee.user, "data": msg{"subject": "<x>"}})
		call := caller.skipTo("ringing")
		for _, m := range []msg{call, callee.expect("call"), other.expect("call")} {
			if fmt.Sprint(m["data"]) != "map[subject:<x>]" {
				t.Errorf("%v", m)
			}
		}
		other.lose()
		synctest.Wait()
		other, _ = h.back(other.identity(), wire.ResumedReplayed, "fresh", true)
		other.expect("call", "call", call["call"], "data", "map[subject:<x>]")
		other.send(msg{"type": "decline", "id": "2", "call": call["call"], "reason": "In a meeting"})
		other.expect("decline", "ref", "2", "reason", "In a meeting")
		if m := caller.skipTo("decline"); m["reason"] != "In a meeting" {
			t.Errorf("%v", m)
		}
		callee.expect("cancel", "reason", "answered-elsewhere")
	})
}
