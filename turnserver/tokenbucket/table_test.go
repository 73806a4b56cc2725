package tokenbucket

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// takes counts how many of n tokens a key is given.
func takes[K comparable](t *Table[K], key K, now time.Duration, n int) (given int) {
	for range n {
		if t.Take(key, now) {
			given++
		}
	}
	return given
}

func TestTable(t *testing.T) {
	table := NewTable[string](10, time.Second, 4)
	for _, key := range []string{"one", "two"} {
		for _, row := range []struct {
			at   time.Duration
			want int
		}{{0, 40}, {0, 0}, {99 * time.Millisecond, 0}, {100 * time.Millisecond, 1}, {time.Second, 9}, {time.Hour, 40}, {time.Hour + 2*time.Second, 20}} {
			if used := table.UsedUp(key, row.at); used != (row.want == 0) {
				t.Errorf("%v at %v: used up: %v", key, row.at, used)
			}
			if got := takes(table, key, row.at, 1000); got != row.want {
				t.Errorf("%v at %v: %d tokens, want %d", key, row.at, got, row.want)
			}
		}
	}
	now := time.Hour + 2*time.Second
	for key, want := range map[string]int{"one": 0, "two": 0, "three": 40} {
		if got := takes(table, key, now, 1000); got != want {
			t.Errorf("%s: %d tokens, want %d", key, got, want)
		}
	}
	unlimited := NewTable[string](math.MaxInt, time.Second, 4)
	if got := takes(unlimited, "one", 0, 100_000); got != 100_000 || unlimited.UsedUp("one", 0) {
		t.Errorf("%d tokens without a limit", got)
	}
}

// TestTableTogether: goroutines that take at the same time get what one would.
func TestTableTogether(t *testing.T) {
	table := NewTable[string](1000, time.Second, 1)
	var given atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { given.Add(int64(takes(table, "one", 0, 1000))) })
	}
	all.Wait()
	// A goroutine that stands between the two buckets while the last tokens go may have its own taken by another.
	if got := given.Load(); got < 1000 || got >= 1008 {
		t.Errorf("%d tokens, want 1000", got)
	}
}

// TestForgedKeys: a flood of more keys than could be remembered takes no memory, and nothing from others; keys that use
// up their tokens take along hardly anybody.
func TestForgedKeys(t *testing.T) {
	table := NewTable[[16]byte](100, time.Second, 4)
	random := rand.New(rand.NewPCG(1, 2))
	anybody := func() (key [16]byte) {
		binary.BigEndian.PutUint64(key[:], random.Uint64())
		return key
	}
	if allocs := testing.AllocsPerRun(1000, func() {
		for range 500 {
			table.Take(anybody(), 0)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	for range 2000 {
		takes(table, anybody(), 0, 400)
	}
	refused, among := 0, 10_000
	for range among {
		if !table.Take(anybody(), 0) {
			refused++
		}
	}
	if refused > among/100 {
		t.Errorf("of %d others %d are refused", among, refused)
	}
}
