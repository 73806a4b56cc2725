package socket

import (
	"sync"
	"testing"
)

// TestWorkers holds that a caller waits for its own work and for no other, and that only a few workers stay idle until
// they are stopped.
func TestWorkers(t *testing.T) {
	var running sync.WaitGroup
	stop := make(chan struct{})
	ws := newWorkers(&running, stop)
	run := func(f func()) {
		done := make(chan struct{})
		ws.start(func() {
			defer close(done)
			f()
		})
		<-done
	}
	const callers = 10 * maxIdle
	var all, callersDone sync.WaitGroup
	all.Add(callers)
	for range callers {
		callersDone.Go(func() {
			run(func() { // returns only if all of them run at a time
				all.Done()
				all.Wait()
			})
		})
	}
	callersDone.Wait()
	for i := range 1000 {
		did := false
		run(func() { did = true })
		if !did {
			t.Fatalf("call %d returned before it was done", i)
		}
		if n := len(ws.idle); n > maxIdle {
			t.Fatalf("%d goroutines are idle", n)
		}
	}
	close(stop)
	running.Wait()
}
