package turnload

import (
	"math/rand/v2"
	"slices"
	"time"
)

// maxLag is how far a pacer may fall behind before it gives frames up. Sending all of them late would be another
// load than the one asked for.
const maxLag = 20 * time.Millisecond

// phaseSeed is any number. Figures of different phases would differ.
const phaseSeed = 8656

// Pacer says which of some flows sends a frame next, and when. Every flow sends one frame an interval, each in a phase
// of its own, as cameras that nobody synchronised do.
type Pacer struct {
	interval time.Duration
	turns    []turn // by phase
	next     int    // of turns
	cycle    time.Duration
	Skipped  uint64 // frames given up because they were late
}

type turn struct {
	phase time.Duration
	flow  int
}

// NewPacer makes the pacer of flows, which are numbers that differ over all pacers of a load.
func NewPacer(interval time.Duration, flows []int) Pacer {
	p := Pacer{interval: interval}
	for _, flow := range flows {
		// At random, so that frames meet as they do in life, but the same in each run.
		fraction := rand.New(rand.NewPCG(phaseSeed, uint64(flow))).Float64()
		p.turns = append(p.turns, turn{time.Duration(fraction * float64(interval)), flow})
	}
	slices.SortFunc(p.turns, func(a, b turn) int { return int(a.phase - b.phase) })
	return p
}

// Due is when the next frame is to be sent, from the beginning of the load.
func (p *Pacer) Due() time.Duration { return p.cycle + p.turns[p.next].phase }

// Take returns the flow whose frame is due at now, if one is. After a hold-up it skips what it cannot make up for.
func (p *Pacer) Take(now time.Duration) (flow int, ok bool) {
	for {
		due := p.Due()
		if due > now {
			return 0, false
		}
		flow = p.turns[p.next].flow
		if p.next++; p.next == len(p.turns) {
			p.next = 0
			p.cycle += p.interval
		}
		if now-due <= maxLag {
			return flow, true
		}
		p.Skipped++
	}
}
