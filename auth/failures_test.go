package auth

import (
	"testing"
	"time"
)

// waits fails n times, each as soon as it may, and returns the waits between.
func waits(f *Failures, now *time.Time, n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		f.Add(*now, 1.0/6, 10)
		out[i] = f.Wait(*now)
		*now = now.Add(out[i])
	}
	return out
}

func TestFailuresWaitEverLonger(t *testing.T) {
	var f Failures
	now := epoch
	if f.Wait(now) != 0 || !f.Forgotten(now, 1.0/6) {
		t.Error("one who never failed has to wait")
	}
	got := waits(&f, &now, 17)
	for i, want := range []time.Duration{9: 6, 10: 12, 11: 24, 12: 48, 13: 96, 14: 192, 15: 300, 16: 300} {
		if got[i] != want*time.Second {
			t.Errorf("wait %v after failure %d, want %v", got[i], i+1, want*time.Second)
		}
	}
	now = now.Add(failuresForgotten - time.Nanosecond)
	if f.Forgotten(now, 1.0/6) {
		t.Error("forgotten too early")
	}
	if got := waits(&f, &now, 1); got[0] != maxFailureWait {
		t.Errorf("shortly before all is forgotten the wait is %v", got[0])
	}
	now = now.Add(failuresForgotten)
	if !f.Forgotten(now, 1.0/6) {
		t.Error("never forgotten")
	}
	if got := waits(&f, &now, 10); got[8] != 0 || got[9] != 6*time.Second {
		t.Errorf("when all was forgotten the waits are %v", got)
	}
}

// TestFailuresComeBack holds that one who fails seldom never waits.
func TestFailuresComeBack(t *testing.T) {
	var f Failures
	now := epoch
	for i := range 1000 {
		f.Add(now, 1.0/6, 10)
		if wait := f.Wait(now); wait != 0 {
			t.Fatalf("failure %d, each 6 s: wait %v", i, wait)
		}
		now = now.Add(6 * time.Second)
	}
	if !f.Forgotten(now, 1.0/6) {
		t.Error("the last one has not come back")
	}
}

// TestFailuresAtOnce holds that requests that were sent together are one failure more, not a day's wait.
func TestFailuresAtOnce(t *testing.T) {
	var f Failures
	for range 1000 {
		f.Add(epoch, 1.0/6, 10)
	}
	if wait := f.Wait(epoch); wait != 6*time.Second {
		t.Errorf("wait %v, want 6s", wait)
	}
}

// TestFailuresOfALowRate holds that growing never makes a wait shorter.
func TestFailuresOfALowRate(t *testing.T) {
	var f Failures
	now := epoch
	for range 3 {
		f.Add(now, 0.001, 1)
		if wait := f.Wait(now); wait != 1000*time.Second {
			t.Errorf("wait %v, want 1000s", wait)
		}
		now = now.Add(f.Wait(now))
	}
}
