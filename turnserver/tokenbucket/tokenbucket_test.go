package tokenbucket

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	cost  = time.Second
	burst = 3 * time.Second
)

// TestBucket: a full bucket gives its burst, and then a token for each interval. Both kinds do the same.
func TestBucket(t *testing.T) {
	var plain Bucket
	var shared Atomic
	for _, row := range []struct {
		at   time.Duration
		want int
	}{{0, 3}, {999 * time.Millisecond, 0}, {time.Second, 1}, {2500 * time.Millisecond, 1}, {time.Hour, 3}, {time.Hour - time.Second, 0}} {
		for range row.want {
			if shared.Lack(row.at, cost, burst) > 0 || !shared.Has(row.at, cost, burst) {
				t.Errorf("at %v it seems to be empty too early", row.at)
			}
			if !plain.Take(row.at, cost, burst) || !shared.Take(row.at, cost, burst) {
				t.Errorf("at %v it is empty too early", row.at)
			}
		}
		if shared.Has(row.at, cost, burst) {
			t.Errorf("at %v it seems to have more", row.at)
		}
		if plain.Take(row.at, cost, burst) || shared.Take(row.at, cost, burst) {
			t.Errorf("at %v it has more", row.at)
		}
		if lack := shared.Lack(row.at, cost, burst); lack <= 0 || !shared.Has(row.at+lack, cost, burst) || shared.Has(row.at+lack-1, cost, burst) {
			t.Errorf("at %v it lacks %v", row.at, lack)
		}
	}
	if plain.Take(2*time.Hour, burst+1, burst) || shared.Take(2*time.Hour, burst+1, burst) {
		t.Error("more than a burst is given at once")
	}
}

// TestFullIn: a bucket goes on from how long another would have taken to be full.
func TestFullIn(t *testing.T) {
	var a, b Atomic
	const now = time.Minute
	if got := a.FullIn(now); got != 0 {
		t.Errorf("a bucket at rest is full in %v", got)
	}
	a.Take(now, cost, burst)
	if got := a.FullIn(now); got != cost {
		t.Errorf("it is full in %v, want %v", got, cost)
	}
	b.SetFullIn(2*now, a.FullIn(now))
	if got := b.FullIn(2 * now); got != cost {
		t.Errorf("the other is full in %v, want %v", got, cost)
	}
}

// TestTogether: goroutines that take at the same time get what one would.
func TestTogether(t *testing.T) {
	var b Atomic
	var given atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if b.Take(0, cost, 1000*cost) {
					given.Add(1)
				}
			}
		})
	}
	all.Wait()
	if got := given.Load(); got != 1000 {
		t.Errorf("%d tokens, want 1000", got)
	}
}

func TestNoAllocations(t *testing.T) {
	var plain Bucket
	var shared Atomic
	now := time.Duration(0)
	if allocs := testing.AllocsPerRun(1000, func() {
		now += cost
		plain.Take(now, cost, burst)
		shared.Take(now, cost, burst)
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
