package turnload

import (
	"testing"
	"time"
)

// TestPacer: every flow sends once an interval, always in the same phase, and the phases spread over the interval.
func TestPacer(t *testing.T) {
	const flows, cycles = 50, 20
	interval := time.Second / 30
	ids := make([]int, flows)
	for i := range ids {
		ids[i] = 7 + 2*i // any numbers do
	}
	p := NewPacer(interval, ids)
	sent := map[int][]time.Duration{}
	var last time.Duration
	var quarters [4]int
	for range flows * cycles {
		due := p.Due()
		if _, _, ok := p.Next(due - 1); ok {
			t.Fatalf("a frame was sent before %v", due)
		}
		flow, since, ok := p.Next(due + 1)
		if !ok || since != due || due < last {
			t.Fatalf("at %v, after %v: %v", due, last, ok)
		}
		quarters[4*(due%interval)/interval]++
		sent[flow] = append(sent[flow], due)
		last = due
	}
	for _, id := range ids {
		times := sent[id]
		if len(times) != cycles {
			t.Fatalf("flow %d sent %d frames, want %d", id, len(times), cycles)
		}
		for i := 1; i < len(times); i++ {
			if d := times[i] - times[i-1]; d != interval {
				t.Fatalf("flow %d waited %v, want %v", id, d, interval)
			}
		}
	}
	for _, n := range quarters {
		if n < flows*cycles/10 {
			t.Errorf("frames by quarter of the interval: %v", quarters)
		}
	}
	if p.Skipped > 0 {
		t.Errorf("%d frames were skipped", p.Skipped)
	}
}

// TestPacerLate: after a short hold-up the pacer sends all late frames, after a long one only the last.
func TestPacerLate(t *testing.T) {
	p := NewPacer(time.Millisecond, []int{1})
	count := func(now time.Duration) (n int) {
		for {
			if _, _, ok := p.Next(now); !ok {
				return n
			}
			n++
		}
	}
	if n := count(10 * time.Millisecond); n != 10 || p.Skipped != 0 {
		t.Errorf("10 ms late: %d frames sent, %d skipped", n, p.Skipped)
	}
	if n := count(110 * time.Millisecond); n != 20 || p.Skipped != 80 {
		t.Errorf("100 ms late: %d frames sent, %d skipped, want the last 20 ms of them", n, p.Skipped)
	}
}

// TestProfiles: the profiles have the rates of a real call.
func TestProfiles(t *testing.T) {
	for name, want := range map[string]struct{ rate, bits float64 }{
		"video": {240, 240 * 1200 * 8},
		"audio": {50, 50 * 120 * 8},
		"mixed": {290, (240*1200 + 50*120) * 8},
	} {
		p, err := ProfileByName(name)
		if err != nil {
			t.Fatal(err)
		}
		var bits float64
		for _, s := range p.Streams {
			bits += float64(s.Size*8*s.Burst) / s.Interval.Seconds()
		}
		if rate := p.PacketsPerSecond(); !near(rate, want.rate) || !near(bits, want.bits) {
			t.Errorf("%s: %v packets, %v bits a second, want %v and %v", name, rate, bits, want.rate, want.bits)
		}
		cfg := Config{Profile: p, Direction: Both, Calls: 10}
		if rate := cfg.NominalRate(); !near(rate, 20*want.rate) {
			t.Errorf("%s: 10 calls send %v packets a second, want %v", name, rate, 20*want.rate)
		}
	}
	if _, err := ProfileByName("smell"); err == nil {
		t.Error("there is a profile that is not there")
	}
	if _, err := ParseDirection("sideways"); err == nil {
		t.Error("there is a direction that is not there")
	}
}

func near(a, b float64) bool { return a > b*0.999 && a < b*1.001 }
