package signal

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"example.org/turnpike/signal/wire"
)

// TestWithoutMedia: everybody who sees a session that takes no part in WebRTC sees that it does not: in the room, at the door, and
// after a restart. The room of one says nothing of another.
func TestWithoutMedia(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		host, bot, late := n.guest("host"), n.guest("bot"), n.guest("late")
		host.join("x", "size", 4, "waiting", true)
		bot.send(msg{"type": "join", "room": "x", "media": false})
		bot.expect("waiting")
		says := func(m msg, list string, want string) {
			t.Helper()
			text, _ := json.Marshal(m[list])
			if got := strings.Contains(string(text), `"media":false`); got != (want == "no media") || strings.Contains(string(text), `"media":true`) {
				t.Errorf("%s, want %s", text, want)
			}
		}
		says(host.expect("knock"), "peer", "no media")
		host.send(msg{"type": "admit", "room": "x", "session": bot.session})
		host.expect("admitted")
		says(host.expect("peer-joined"), "peer", "no media")
		says(bot.expect("joined"), "peers", "media")
		bot.join("y")
		settle(host, bot)
		late.send(msg{"type": "join", "room": "y"})
		says(late.expect("joined"), "peers", "media")

		n.restart(t)
		bot, _ = n.restored(t, bot.identity(), "x:, y:")
		host, w := n.restored(t, host.identity(), "x: bot")
		says(onlyRoom(w), "peers", "no media")
		says(bot.expect("peer-joined"), "peer", "media")
		bot.send(msg{"type": "leave", "room": "x"})
		bot.expect("host")
		bot.expect("left")
		host.expect("peer-left")
		bot.send(msg{"type": "join", "room": "x", "media": true})
		says(host.expect("knock"), "peer", "media")
		for _, media := range []bool{false, true} { // One that waits may think better of it, and the host knows.
			for range 2 { // Said twice, it is no news.
				bot.expect("waiting")
				bot.send(msg{"type": "join", "room": "x", "media": media})
			}
			host.expect("knock-over", "session", bot.session)
			says(host.expect("knock", "room", "x"), "peer", map[bool]string{false: "no media", true: "media"}[media])
		}
		bot.expect("waiting")
		bot.send(msg{"type": "leave", "room": "x"})
		host.expect("knock-over")
		if n.srv.mu.Lock(); len(n.srv.sessions[bot.session].parts) != 0 {
			t.Error("it remembers a room that it has left")
		}
		n.srv.mu.Unlock()
	})
}

// TestTransports: everybody who sees a session that names transports sees them: in the room, at the door, and after a restart.
func TestTransports(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		host, peer := n.guest("host"), n.guest("peer")
		host.join("x", "size", 4, "waiting", true)
		peer.send(msg{"type": "join", "room": "x", "transports": []string{"quic", "other-1"}})
		peer.expect("waiting")
		says := func(m msg, list string, want bool) {
			t.Helper()
			text, _ := json.Marshal(m[list])
			if got := strings.Contains(string(text), `"transports":["quic","other-1"]`); got != want || strings.Contains(string(text), "transports") != want {
				t.Errorf("%s, want transports: %v", text, want)
			}
		}
		says(host.expect("knock"), "peer", true)
		host.send(msg{"type": "admit", "room": "x", "session": peer.session})
		host.expect("admitted")
		says(host.expect("peer-joined"), "peer", true)
		says(peer.expect("joined"), "peers", false)
		peer.join("y")
		settle(host, peer)
		late := n.guest("late")
		late.send(msg{"type": "join", "room": "y"})
		says(late.expect("joined"), "peers", false)

		host.lose()
		synctest.Wait()
		host, w := n.back(host.identity(), wire.ResumedReplayed)
		says(onlyRoom(w), "peers", true)
		n.restart(t)
		peer, _ = n.restored(t, peer.identity(), "x:, y:")
		host, w = n.restored(t, host.identity(), "x: peer")
		says(onlyRoom(w), "peers", true)
		peer.expect("peer-joined")
		peer.send(msg{"type": "leave", "room": "x"})
		peer.skipTo("left")
		host.skipTo("peer-left")
		peer.send(msg{"type": "join", "room": "x", "transports": []string{"other-2"}})
		if text, _ := json.Marshal(host.expect("knock")["peer"]); !strings.Contains(string(text), `"transports":["other-2"]`) {
			t.Errorf("%s knocks", text)
		}
	})
}

// TestTransportsInACall: each side of a call sees what the other names, in the call or in its answer, also after a restart.
func TestTransportsInACall(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		ann, bob := n.guest("ann"), n.guest("bob")
		ann.join("x", "size", 2)
		bob.join("x")
		ann.expect("peer-joined")
		ann.send(msg{"type": "call", "to": bob.user, "media": false, "transports": []string{"quic"}})
		id := bob.skipTo("call")["call"]
		bob.send(msg{"type": "accept", "call": id, "transports": []string{"quic", "other-1"}})
		says := func(what any, want ...string) {
			t.Helper()
			text, _ := json.Marshal(what)
			for _, part := range want {
				if !strings.Contains(string(text), part) {
					t.Errorf("%s, want %s", text, part)
				}
			}
		}
		quick, both := []string{`"transports":["quic"]`, `"media":false`}, `"transports":["quic","other-1"]`
		says(bob.skipTo("joined")["peers"], quick...)
		says(ann.skipTo("peer-joined")["peer"], both)
		settle(ann, bob)
		n.restart(t)
		n.resume(bob.identity()).expect("welcome", "resumed", wire.ResumedRestored)
		_, w := n.back(ann.identity(), wire.ResumedRestored)
		says(w["rooms"], both)
	})
}

// TestWithoutMediaInACall: who takes no part in WebRTC in the room of a call takes none after a restart.
func TestWithoutMediaInACall(t *testing.T) {
	inTheBubble(t, func(t *testing.T, n *restartable) {
		ann, bob, _, of := n.inCall()
		room := of.(string)
		bob.send(msg{"type": "leave", "room": room})
		ann.skipTo("peer-left")
		bob.send(msg{"type": "join", "id": "again", "room": room, "media": false})
		bob.skipTo("joined")
		seen := fmt.Sprint(ann.skipTo("peer-joined")["peer"])
		settle(ann, bob)
		n.restart(t)
		n.resume(bob.identity()).expect("welcome", "resumed", wire.ResumedRestored)
		ann, w := n.back(ann.identity(), wire.ResumedRestored)
		peers := onlyRoom(w)["peers"].([]any)
		if len(peers) != 1 || fmt.Sprint(peers[0]) != seen || !strings.Contains(seen, "media:false") {
			t.Errorf("%v is in the room, and was %s", peers, seen)
		}
		settle(ann)
	})
}
