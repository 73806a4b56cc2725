package node

import (
	"math"
	"testing"
)

func TestRushWatch(t *testing.T) {
	var w rushWatch
	for i, step := range []struct {
		allocated uint64
		due       bool
	}{
		{rushBytes * 4, false},              // a rush
		{rushBytes*4 + restBytes/2, true},   // is over
		{rushBytes*4 + restBytes, false},    // and memory was returned
		{rushBytes*5 + restBytes, false},    // the next one
		{rushBytes*6 + restBytes, false},    // goes on
		{rushBytes*6 + restBytes + 1, true}, // until now
		{rushBytes*6 + restBytes + 2, false},
		{rushBytes*6 + restBytes + 3, false},
		{rushBytes*6 + restBytes*3, false}, // a little is no rush, and no rest either
		{rushBytes*6 + restBytes*3, false},
		{rushBytes*6 + restBytes*3, false},
		{rushBytes*6 + restBytes*3, true}, // the second return
		{rushBytes*6 + restBytes*3, false},
		{math.MaxUint64, false},
	} {
		due := w.over(step.allocated)
		if due != step.due {
			t.Errorf("step %d: %v, want %v", i, due, step.due)
		}
		if due {
			w.returned(step.allocated)
		}
	}
	if allocated() == 0 {
		t.Error("the runtime does not say what was allocated")
	}
}
