package filetransfer

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLane: a stream asks for about what it brings in a second.
func TestLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(streamWindow)
		for _, step := range []struct {
			asked  int64
			took   time.Duration
			window int64
		}{
			{128 << 10, time.Millisecond, leastWindow},   // too soon to know
			{128 << 10, time.Second, leastWindow},        // slow
			{256 << 10, 125 * time.Millisecond, 2 << 20}, // 2 MiB a second
			{1 << 20, 125 * time.Millisecond, 4 << 20},   // faster than a stream needs
			{64 << 10, time.Second, 2 << 20},             // one bad second
			{64 << 10, time.Second, 1 << 20},             // another one
			{64 << 10, 10 * time.Second, 512 << 10},      // and so on
			{64 << 10, 10 * time.Second, leastWindow},    // to the least
			{64 << 10, 10 * time.Second, leastWindow},    // and not below
		} {
			if l.room() != blockSize {
				t.Errorf("a lane with nothing under way has room for %d bytes", l.room())
			}
			l.asks(step.asked)
			time.Sleep(step.took)
			l.brings(step.asked, step.asked)
			if l.window != step.window {
				t.Errorf("after %d bytes in %v the window is %d, and should be %d", step.asked, step.took, l.window, step.window)
			}
		}
		if l.longest() != leastWindow/2 {
			t.Errorf("a slow lane asks for %d bytes at once", l.longest())
		}
	})
}

// TestRanges: whatever the streams are like, and whichever ranges come back, each byte is asked for until it is there, and not once more.
func TestRanges(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		e := Entry{Path: "a", Size: random.Int64N(9 * blockSize)}
		r := &receiver{plan: &Plan{Entries: []Entry{e}}, now: new(Progress), status: make([]status, 1), allRead: true}
		r.changed = sync.NewCond(&r.mu)
		f := newFile(0, &e)
		r.activate(f)
		type request struct {
			l *lane
			p piece
		}
		var under []request
		lanes := make([]lane, 4)
		for i := range lanes {
			lanes[i] = newLane(leastWindow << random.IntN(5))
			lanes[i].window = lanes[i].most
		}
		came := map[int64]int64{}
		for len(r.whole) == 0 {
			if l := &lanes[random.IntN(len(lanes))]; random.IntN(2) == 0 {
				if p, ok := r.pick(l); ok {
					if p.length > l.room() || p.offset/blockSize != (p.offset+p.length-1)/blockSize {
						t.Fatalf("seed %d: asked for %+v, with room for %d bytes", seed, p, l.room())
					}
					p.f.inflight++
					l.asks(p.length)
					under = append(under, request{l, p})
				}
			} else if len(under) > 0 {
				i := random.IntN(len(under))
				u := under[i]
				under = append(under[:i], under[i+1:]...)
				again := random.IntN(4) == 0
				if !again {
					came[u.p.offset] += u.p.length
					if err := r.got(u.p, u.p.length, [hashSize]byte{}); err != nil {
						t.Fatal(err)
					}
				}
				r.untake(u.l, u.p, again)
			}
		}
		at := int64(0)
		for at < e.Size && came[at] > 0 {
			at += came[at]
		}
		if at != e.Size || r.now.Verified.Load() != e.Size || len(under) > 0 || len(r.back) > 0 {
			t.Fatalf("seed %d: up to %d of %d bytes came in a row, %d were verified, %d are under way", seed, at, e.Size, r.now.Verified.Load(), len(under))
		}
	}
}
