package signal

import (
	"sync"
	"testing"
)

// TestAparts: whoever has something done waits for it and for nobody else, and no more than a few goroutines outlive what they did, until
// the server stops.
func TestAparts(t *testing.T) {
	var running sync.WaitGroup
	stop := make(chan struct{})
	a := newAparts(&running, stop)
	const callers = 10 * maxIdle
	var all, callersDone sync.WaitGroup
	all.Add(callers)
	for range callers {
		callersDone.Go(func() {
			a.do(func() { // returns only if all of them run at a time
				all.Done()
				all.Wait()
			})
		})
	}
	callersDone.Wait()
	for i := range 1000 {
		did := false
		a.do(func() { did = true })
		if !did {
			t.Fatalf("call %d returned before it was done", i)
		}
		if n := len(a.idle); n > maxIdle {
			t.Fatalf("%d goroutines are idle", n)
		}
	}
	close(stop)
	running.Wait()
}
