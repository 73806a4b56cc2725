package signal

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// TestDrain holds that Shutdown closes all connections at once, and spreads the times at which clients come back.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, func(cfg *Config) {
			resuming(cfg)
			unlimited(cfg)
		})
		const clients = 3000
		told := make(chan float64, clients)
		closed := make(chan time.Duration, clients)
		var start time.Time
		for i := range clients {
			c := h.guest(fmt.Sprint(i))
			go func() {
				told <- c.expect("going-away")["retryAfter"].(float64)
				c.expectClose(wire.CloseGoingAway)
				closed <- time.Since(start)
				c.conn.Close()
			}()
		}
		synctest.Wait()
		start = time.Now()
		if err := h.srv.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		times := make(map[float64]int)
		for range clients {
			times[<-told]++
			if after := <-closed; after != 0 {
				t.Errorf("a connection was closed after %v", after)
			}
		}
		// 1 ms apart from 2 s on, in whole seconds.
		if want := map[float64]int{2: 500, 3: 1000, 4: 1000, 5: 500}; !maps.Equal(times, want) {
			t.Errorf("clients come back after so many seconds: %v, want %v", times, want)
		}
	})
}

// TestTooLateToResume holds that a client that comes while the server stops keeps its session for the next process: it
// is told to come back, and not that there is no such session.
func TestTooLateToResume(t *testing.T) {
	h := newHarness(t, resuming)
	a := h.guest("a")
	a.lose()
	late, later := h.dial(), h.dial()
	for _, c := range []*client{late, later} { // an answer shows that the server has begun to read
		c.send(msg{"type": "hello", "id": "early", "ticket": "bad"})
		c.expect("error", "ref", "early", "code", "unauthorized")
	}
	drain := func(on bool) {
		h.srv.mu.Lock()
		defer h.srv.mu.Unlock()
		h.srv.draining = on
	}
	drain(true)
	t.Cleanup(func() { drain(false) }) // or the end of the test would not be the first to shut down
	late.send(msg{"type": "hello", "id": "r", "resume": msg{"session": a.session, "token": a.token, "received": a.received}})
	late.expect("error", "ref", "r", "code", "internal", "retryAfter", 2)
	later.send(msg{"type": "hello", "id": "n", "ticket": testTicket("b", "b", auth.RoleGuest)})
	later.expect("error", "ref", "n", "code", "internal", "retryAfter", 2)
	drain(false)
	h.back(a.identity(), wire.ResumedReplayed)
}

// TestCrowdedStop: where one address has so many sessions that no more may be away, a planned stop ends no room, and makes
// nobody else its host.
func TestCrowdedStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &restartable{path: filepath.Join(t.TempDir(), "ended"), limits: Limits{SessionsPerAddr: 2}}
		n.begin(t)
		for _, name := range []string{"c", "d"} {
			n.guest(name).lose()
			synctest.Wait()
		}
		host, guest := n.guest("a"), n.guest("b")
		host.join("x")
		guest.join("x")
		settle(host, guest)
		n.restart(t)
		_, w := n.restored(t, guest.identity(), "x:")
		if joined := onlyRoom(w); joined != nil && joined["host"] != guest.session {
			t.Errorf("the room has %v, and nobody else is there", joined)
		}
		_, w = n.restored(t, host.identity(), "x: b")
		if joined := onlyRoom(w); joined == nil || joined["host"] != host.session {
			t.Errorf("another is host: %v", joined)
		}
	})
}
