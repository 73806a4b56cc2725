package auth

import (
	"testing"
	"time"
)

// waits fails n times, each time as soon as it may, and returns the waits.
func waits(f *Backoff, now *time.Time, n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		f.Fail(*now, 1.0/6, 10)
		out[i] = f.Wait(*now)
		*now = now.Add(out[i])
	}
	return out
}

func TestBackoffGrows(t *testing.T) {
	var f Backoff
	now := epoch
	if f.Wait(now) != 0 || !f.Forgotten(now, 1.0/6) {
		t.Error("an address that never failed must wait")
	}
	got := waits(&f, &now, 17)
	for i, want := range []time.Duration{9: 6, 10: 12, 11: 24, 12: 48, 13: 96, 14: 192, 15: 300, 16: 300} {
		if got[i] != want*time.Second {
			t.Errorf("wait %v after failure %d, want %v", got[i], i+1, want*time.Second)
		}
	}
	now = now.Add(backoffForgotten - time.Nanosecond)
	if f.Forgotten(now, 1.0/6) {
		t.Error("forgotten too early")
	}
	if got := waits(&f, &now, 1); got[0] != maxBackoff {
		t.Errorf("shortly before all is forgotten the wait is %v", got[0])
	}
	now = now.Add(backoffForgotten)
	if !f.Forgotten(now, 1.0/6) {
		t.Error("never forgotten")
	}
	if got := waits(&f, &now, 10); got[8] != 0 || got[9] != 6*time.Second {
		t.Errorf("when all was forgotten the waits are %v", got)
	}
}

// TestBackoffForgivesRareFailures holds that an address that fails seldom never waits.
func TestBackoffForgivesRareFailures(t *testing.T) {
	var f Backoff
	now := epoch
	for i := range 1000 {
		f.Fail(now, 1.0/6, 10)
		if wait := f.Wait(now); wait != 0 {
			t.Fatalf("failure %d, each 6 s: wait %v", i, wait)
		}
		now = now.Add(6 * time.Second)
	}
	if !f.Forgotten(now, 1.0/6) {
		t.Error("the last one has not come back")
	}
}

// TestBackoffCountsABatchOnce holds that requests sent together count as one failure beyond the burst, not as a day's wait.
func TestBackoffCountsABatchOnce(t *testing.T) {
	var f Backoff
	for range 1000 {
		f.Fail(epoch, 1.0/6, 10)
	}
	if wait := f.Wait(epoch); wait != 6*time.Second {
		t.Errorf("wait %v, want 6s", wait)
	}
}

// TestBackoffNeverShrinks holds that maxBackoff shortens no wait that a low rate makes longer.
func TestBackoffNeverShrinks(t *testing.T) {
	var f Backoff
	now := epoch
	for range 3 {
		f.Fail(now, 0.001, 1)
		if wait := f.Wait(now); wait != 1000*time.Second {
			t.Errorf("wait %v, want 1000s", wait)
		}
		now = now.Add(f.Wait(now))
	}
}
