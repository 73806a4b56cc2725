package link

import (
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	r := Rate{Most: 3, Per: time.Minute}
	now := time.Now()
	for i, want := range []bool{true, true, true, false, false} {
		if got := r.Allow(now.Add(time.Duration(i) * time.Second)); got != want {
			t.Errorf("time %d: %v", i+1, got)
		}
	}
	if !r.Allow(now.Add(time.Minute)) {
		t.Error("nothing is allowed any more")
	}
}
