package node

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What is relayed makes no garbage, and what makes some is either small, as forwarding is, or comes in a rush, as log-ins and new
// relays do. So the garbage collector is to hold what is kept close (gcPercent), but not to run for every few megabytes of a small
// heap (gcBallast), and to give back what a rush left behind (tidy).
const (
	gcPercent = 55
	// gcBallast counts as memory in use, so that collections are at least gcPercent of it apart. It is never touched: no page of it
	// takes memory.
	gcBallast = 32 << 20

	tidyInterval = time.Second
	tidyFrom     = 8 << 20   // bytes allocated since the last time that make tidying worth it
	tidyRest     = 256 << 10 // bytes allocated in an interval that are no rush
	tidyAgain    = 5         // intervals at rest after which what ended late is seen to
)

// KeepMemory sets the garbage collector up, and returns what ends that. Whoever sets GOGC has other plans, and gets Go's own ways.
func KeepMemory(getenv func(string) string) (stop func()) {
	if getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(gcPercent)
	ballast := make([]byte, gcBallast)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tidyUntilEnd(ctx)
	}()
	return func() {
		cancel()
		<-done
		runtime.KeepAlive(ballast)
		debug.SetGCPercent(before)
	}
}

func tidyUntilEnd(ctx context.Context) {
	tick := time.NewTicker(tidyInterval)
	defer tick.Stop()
	var t tidy
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if t.due(allocated()) {
				runtime.GC() // each collection halves stacks that have grown
				runtime.GC()
				debug.FreeOSMemory()
				t.done(allocated())
			}
		}
	}
}

// tidy notices when a rush is over. A server at rest makes no garbage that would make the runtime collect what is there.
type tidy struct {
	last  uint64 // bytes allocated until the last look
	from  uint64 // and until the last tidying
	again int    // intervals at rest until the second tidying; 0: there has been one
}

// due looks at the bytes allocated so far, once a tidyInterval.
func (t *tidy) due(allocated uint64) bool {
	resting := allocated-t.last < tidyRest
	t.last = allocated
	switch {
	case !resting:
		return false
	case allocated-t.from >= tidyFrom:
		t.again = tidyAgain
		return true
	case t.again == 0:
		return false
	}
	t.again--
	return t.again == 0
}

func (t *tidy) done(allocated uint64) { t.last, t.from = allocated, allocated }

func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
