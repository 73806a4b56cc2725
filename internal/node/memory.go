package node

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Relaying makes no garbage and forwarding makes little, but log-ins and new relays come in rushes and make much.
// Afterwards hardly anything is allocated, so that the runtime would not collect for minutes. That is when a node
// returns memory.
const (
	restInterval = time.Second
	rushBytes    = 8 << 20   // allocated since the last return; less is not worth a collection
	restBytes    = 256 << 10 // allocated in an interval; less is rest
	restsToLate  = 5         // intervals at rest until the second return, for garbage of connections that ended late
)

// A node's heap is so small that forwarding at a high rate would make the runtime collect many times a second: on one
// processor 95,000 messages a second then stay under 50 ms, and 104,000 with a ballast (make bench-signal). With the
// ballast alone an idle session takes a tenth more, which the lower percentage gives back.
const (
	ballastBytes = 32 << 20 // in use as the runtime counts; nobody touches them, so that no page of them takes memory
	gcPercent    = 55
)

// newBallast makes the ballast. The runtime may put it where something else was before, such as the pages while they were bundled, and then
// fills it with zeros, which takes memory.
func newBallast() []byte {
	ballast := make([]byte, ballastBytes)
	discard(ballast)
	return ballast
}

// returnMemory collects garbage and returns its memory to the system after each rush, until ctx ends. It leaves the pace of
// the runtime's own collections to GOGC if that is set.
func returnMemory(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
		defer runtime.KeepAlive(newBallast())
	}
	tick := time.NewTicker(restInterval)
	defer tick.Stop()
	var w rushWatch
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if w.over(allocated()) {
				runtime.GC() // each collection halves stacks that have grown, and while the ballast is there few happen
				runtime.GC()
				debug.FreeOSMemory()
				w.returned(allocated())
			}
		}
	}
}

// rushWatch notices that a rush is over.
type rushWatch struct {
	last  uint64 // bytes allocated until the last look
	from  uint64 // bytes allocated until the last return
	rests int    // intervals at rest until the second return; 0: there has been one
}

// over reports whether to return memory. It is called once a restInterval, with the bytes allocated so far.
func (w *rushWatch) over(allocated uint64) bool {
	resting := allocated-w.last < restBytes
	w.last = allocated
	switch {
	case !resting:
		return false
	case allocated-w.from >= rushBytes:
		w.rests = restsToLate
		return true
	case w.rests == 0:
		return false
	}
	w.rests--
	return w.rests == 0
}

func (w *rushWatch) returned(allocated uint64) { w.last, w.from = allocated, allocated }

func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
