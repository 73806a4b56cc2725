package signal

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// TestRenewalsAreSpread: after a rush into rooms, every session gets its resume token, and the server never signs more
// than a few at once.
func TestRenewalsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		const batches = 3
		var clients []*client
		for i := range batches * renewalsAtOnce {
			c := h.guest(fmt.Sprintf("guest %d", i))
			c.join(fmt.Sprintf("room-%d", i))
			clients = append(clients, c)
		}
		begin := time.Now()
		var mu sync.Mutex
		told := make(map[time.Duration]int)
		var all sync.WaitGroup
		for _, c := range clients {
			all.Go(func() {
				c.skipTo("resume")
				mu.Lock()
				defer mu.Unlock()
				told[time.Since(begin)]++
			})
		}
		all.Wait()
		if len(told) != batches {
			t.Errorf("%d sessions were told of their tokens at %v", len(clients), told)
		}
		for at, n := range told {
			if n != renewalsAtOnce || at > tokenDelay+sweepInterval+batches*renewalInterval {
				t.Errorf("after %v, %d sessions were told", at, n)
			}
		}
	})
}

// TestTokenOfManyRooms holds that a session whose rooms make its resume token too long gets one with some of them, and never an empty
// one. A client may send back every token that is signed.
func TestTokenOfManyRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		edit := func(cfg *Config) {
			resuming(cfg)
			cfg.Limits.RoomsPerSession = 200
		}
		c := newMemoryHarness(t, edit).guest("guest")
		for i := range 100 {
			c.send(msg{"type": "join", "room": fmt.Sprintf("%03d%s", i, strings.Repeat("a", 61)), "create": true})
			c.skipTo("joined")
		}
		time.Sleep(tokenDelay + 2*sweepInterval)
		c.send(msg{"type": "ping", "id": "end"})
		for {
			m, err := c.read()
			if err != nil || m["type"] == "pong" {
				break
			}
			if m["type"] == "resume" {
				c.token = m["token"].(string)
			}
			if c.token == "" {
				t.Fatal("an empty token was sent")
			}
		}
		_, w := newMemoryHarness(t, edit).back(c.identity(), wire.ResumedRestored)
		if rooms, _ := w["rooms"].([]any); len(rooms) < 25 || len(rooms) == 100 {
			t.Errorf("the session is back in %d of 100 rooms", len(rooms))
		}
	})
	if wire.MaxToken != auth.MaxResumeToken {
		t.Errorf("a client may send a token of %d bytes, and has ones of up to %d", wire.MaxToken, auth.MaxResumeToken)
	}
}
