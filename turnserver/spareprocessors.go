package turnserver

import "sync/atomic"

// A loop that is woken for every packet works best while it keeps its P, the Go runtime's leave to run, through its short sleeps in
// the kernel; see loop.wait. That P has to be one more than the rest of the program needs. But a P that nobody needs costs the rest:
// whenever a goroutine becomes ready, the runtime wakes a thread to look for work. So there are spare ones only while loops are
// busy, and whoever runs the program is told when.
const (
	busyWaits = 500 // short waits of one loop in a sweepInterval: from so many on it is busy
	calmFor   = 10  // sweeps with no busy loop until the spare processors go
)

// spareProcessors decides whether loops keep their Ps.
type spareProcessors struct {
	granted atomic.Bool // read by loops

	// Owned by the sweep.
	calm int // sweeps since a loop was busy
}

// update is called once in a sweepInterval, with what loops counted in it, and calls ask when its mind changes: before loops keep
// their Ps, and after they no longer do.
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
