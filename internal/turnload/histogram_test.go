package turnload

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestPercentile compares percentiles with those of a sorted list.
func TestPercentile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, sample := range map[string]func() time.Duration{
		"one value":   func() time.Duration { return 12345 },
		"small":       func() time.Duration { return time.Duration(r.IntN(200)) },
		"exponential": func() time.Duration { return time.Duration(r.ExpFloat64() * 50e3) },
		"wide":        func() time.Duration { return time.Duration(1) << r.IntN(62) },
	} {
		t.Run(name, func(t *testing.T) {
			var whole, part Histogram
			var list []time.Duration
			for i := range 10_000 {
				d := sample()
				list = append(list, d)
				if i%3 == 0 {
					part.Add(d)
				} else {
					whole.Add(d)
				}
			}
			whole.Merge(&part)
			slices.Sort(list)
			for _, permille := range []int{0, 10, 500, 900, 990, 999, 1000} {
				want := list[max(0, permille*len(list)/1000-1)]
				got := whole.Percentile(float64(permille) / 10)
				if got < want || float64(got) > float64(want)*(1+1.0/parts)+1 {
					t.Errorf("%d of 1000 are within %v, want %v or hardly more", permille, got, want)
				}
			}
			if whole.Count() != 10_000 {
				t.Errorf("%d values", whole.Count())
			}
		})
	}
}

func TestHistogramEdges(t *testing.T) {
	var h Histogram
	if h.Percentile(50) != 0 {
		t.Error("an empty one has a median")
	}
	h.Add(-time.Second)
	h.Add(1<<63 - 1)
	if got := h.Percentile(50); got != 0 {
		t.Errorf("a negative duration counts as %v", got)
	}
	if got := h.Percentile(100); got != 1<<63-1 {
		t.Errorf("the longest duration counts as %v", got)
	}
	for b := range len(h.counts) - 1 {
		if top := highest(b); bucket(top) != b || bucket(top+1) != b+1 {
			t.Fatalf("bucket %d ends at %d, which is in %d, and the next in %d", b, top, bucket(top), bucket(top+1))
		}
	}
}

func TestHistogramAllocates(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Add(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
