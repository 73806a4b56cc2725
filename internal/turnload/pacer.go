package turnload

import (
	"math/rand/v2"
	"slices"
	"time"
)

// maxLag is how far a pacer may fall behind before it skips frames. If it sent all of them late, the load would be
// another one.
const maxLag = 20 * time.Millisecond

// phaseSeed is any number. It stays the same, since figures of different phases would differ.
const phaseSeed = 8656

// Pacer decides which of its flows sends a frame next, and when. Every flow sends one frame an interval, in a phase of
// its own, like cameras that nobody synchronised.
type Pacer struct {
	interval time.Duration
	turns    []turn // by phase
	next     int    // of turns
	cycle    time.Duration
	Skipped  uint64 // frames not sent because they were late
}

type turn struct {
	phase time.Duration
	flow  int
}

// NewPacer makes the pacer of flows. Each is a number that no other pacer of the load has.
func NewPacer(interval time.Duration, flows []int) Pacer {
	p := Pacer{interval: interval}
	for _, flow := range flows {
		// At random, so that frames coincide as they do in life, but the same in each run.
		fraction := rand.New(rand.NewPCG(phaseSeed, uint64(flow))).Float64()
		p.turns = append(p.turns, turn{time.Duration(fraction * float64(interval)), flow})
	}
	slices.SortFunc(p.turns, func(a, b turn) int { return int(a.phase - b.phase) })
	return p
}

// Due is when the next frame must be sent, counted from the beginning of the load.
func (p *Pacer) Due() time.Duration { return p.cycle + p.turns[p.next].phase }

// Next returns a flow with a frame that is due by now, and since when, if there is one. After a hold-up, it skips frames
// that are too late.
func (p *Pacer) Next(now time.Duration) (flow int, due time.Duration, ok bool) {
	for {
		due = p.Due()
		if due > now {
			return 0, 0, false
		}
		flow = p.turns[p.next].flow
		if p.next++; p.next == len(p.turns) {
			p.next = 0
			p.cycle += p.interval
		}
		if now-due <= maxLag {
			return flow, due, true
		}
		p.Skipped++
	}
}
