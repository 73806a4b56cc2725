package node

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestTidy(t *testing.T) {
	var tidied tidy
	for i, step := range []struct {
		allocated uint64
		due       bool
	}{
		{tidyFrom * 4, false},             // a rush
		{tidyFrom*4 + tidyRest/2, true},   // is over
		{tidyFrom*4 + tidyRest, false},    // and has been seen to
		{tidyFrom*5 + tidyRest, false},    // the next one
		{tidyFrom*6 + tidyRest, false},    // goes on
		{tidyFrom*6 + tidyRest + 1, true}, // until now
		{tidyFrom*6 + tidyRest + 2, false},
		{tidyFrom*6 + tidyRest + 3, false},
		{tidyFrom*6 + tidyRest*3, false}, // a little is no rush, and no rest either
		{tidyFrom*6 + tidyRest*3, false},
		{tidyFrom*6 + tidyRest*3, false},
		{tidyFrom*6 + tidyRest*3, true}, // what ended late
		{tidyFrom*6 + tidyRest*3, false},
		{math.MaxUint64, false},
	} {
		due := tidied.due(step.allocated)
		if due != step.due {
			t.Errorf("step %d: %v, want %v", i, due, step.due)
		}
		if due {
			tidied.done(step.allocated)
		}
	}
	if allocated() == 0 {
		t.Error("the runtime does not say what was allocated")
	}
}

// TestKeepMemory holds that the collector is left as it was found.
func TestKeepMemory(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	stop := KeepMemory(func(string) string { return "" })
	if now := debug.SetGCPercent(gcPercent); now != gcPercent {
		t.Errorf("the collector runs at %d %%", now)
	}
	stop()
	if now := debug.SetGCPercent(77); now != 77 {
		t.Errorf("%d %% is left, want 77", now)
	}
	KeepMemory(func(string) string { return "100" })()
	if now := debug.SetGCPercent(77); now != 77 {
		t.Errorf("with GOGC, %d %% is left, want 77", now)
	}
}
