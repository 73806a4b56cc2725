package turnload

import (
	"math"
	"math/bits"
	"time"
)

// A histogram cuts each power of two into 64 parts, so that a percentile is within 1.6 % of the truth.
const (
	partBits = 6
	parts    = 1 << partBits
)

// Histogram counts durations. Its zero value is empty.
type Histogram struct {
	counts [(64 - partBits) * parts]uint64
	total  uint64
	max    time.Duration
}

// bucket returns the bucket that counts a value. Each value below 2*parts has its own; greater ones share.
func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-1-partBits)
	return shift*parts + int(v>>shift)
}

// highest is the greatest value of a bucket.
func highest(b int) uint64 {
	if b < 2*parts {
		return uint64(b)
	}
	shift := b/parts - 1
	return uint64(b-shift*parts+1)<<shift - 1
}

// Add counts one duration. A negative one, from a clock that was set back, counts as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// Merge adds the counts of another.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Percentile returns the duration that p percent of all do not exceed, or zero for an empty histogram.
func (h *Histogram) Percentile(p float64) time.Duration {
	rank := max(1, uint64(math.Ceil(p*float64(h.total)/100)))
	var seen uint64
	for b, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(time.Duration(highest(b)), h.max)
		}
	}
	return 0
}
