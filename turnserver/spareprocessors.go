package turnserver

import "sync/atomic"

// A loop that wakes for every packet works best if it keeps its P, the Go runtime's leave to run, through its short
// sleeps in the kernel; see loop.wait. The program then needs one P more for each loop. But a P that nobody needs costs
// the rest: whenever a goroutine becomes ready, the runtime wakes a thread to look for work. So there are spare ones
// only while loops are busy. The program learns when by Config.SpareProcessors.
const (
	busyWaits = 500 // a loop with so many short waits in a sweepInterval is busy
	calmFor   = 10  // sweeps with no busy loop until the spare processors go
)

// spareProcessors decides whether loops keep their Ps.
type spareProcessors struct {
	granted atomic.Bool // read by loops

	// Owned by the sweep.
	calm int // sweeps since a loop was busy
}

// update is called once in a sweepInterval, with the short waits of the busiest loop. When its decision changes it
// calls ask: before loops keep their Ps, and after they no longer do.
func (sp *spareProcessors) update(shortWaits uint32, ask func(spare bool)) {
	busy := shortWaits >= busyWaits
	switch granted := sp.granted.Load(); {
	case busy && !granted:
		ask(true)
		sp.granted.Store(true)
	case !busy && granted:
		if sp.calm++; sp.calm >= calmFor {
			sp.granted.Store(false)
			ask(false)
		}
	}
	if busy || !sp.granted.Load() {
		sp.calm = 0
	}
}
