package signal

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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
