package turnload

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestSearchMax(t *testing.T) {
	for name, test := range map[string]struct {
		start, server, loader float64 // the limits of both
		byLoader              bool
	}{
		"from below":      {1000, 70_000, math.Inf(1), false},
		"from above":      {1e6, 70_000, math.Inf(1), false},
		"at the limit":    {70_000, 70_000, math.Inf(1), false},
		"of the loader":   {1000, math.Inf(1), 200_000, true},
		"loader, from up": {1e6, math.Inf(1), 200_000, true},
		"both":            {1000, 150_000, 200_000, false},
	} {
		t.Run(name, func(t *testing.T) {
			trials, hiccups := 0, map[float64]bool{}
			best, loader, err := SearchMax(test.start, func(rate float64) (Verdict, error) {
				if rate > test.loader {
					return Verdict{Loader: true}, nil
				}
				if trials++; trials%3 == 0 && !hiccups[rate] { // as a busy machine has them
					hiccups[rate] = true
					return Verdict{}, nil
				}
				return Verdict{Good: rate <= test.server}, nil
			})
			limit := min(test.server, test.loader)
			if err != nil || best > limit || best < limit/maxResolution || loader != test.byLoader {
				t.Errorf("%v, by the loader: %v, %v; want %v", best, loader, err, limit)
			}
			if trials > 40 {
				t.Errorf("%d trials", trials)
			}
		})
	}
}

func TestSearchMaxEnds(t *testing.T) {
	best, _, err := SearchMax(1000, func(float64) (Verdict, error) { return Verdict{}, nil })
	if best != 0 || err != nil {
		t.Errorf("a server that loses everything has the rate %v, %v", best, err)
	}
	broken := errors.New("broken")
	if _, _, err := SearchMax(1000, func(float64) (Verdict, error) { return Verdict{}, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestVerdict(t *testing.T) {
	for name, test := range map[string]struct {
		r    Result
		want Verdict
	}{
		"all came":      {Result{Sent: 1000, Received: 1000}, Verdict{Good: true}},
		"four in 1000":  {Result{Sent: 1000, Received: 996}, Verdict{Good: true}},
		"five in 1000":  {Result{Sent: 1000, Received: 995}, Verdict{}},
		"loader's own":  {Result{Sent: 1000, Received: 900, LoaderDropped: 90}, Verdict{Loader: true}},
		"not sent":      {Result{Sent: 900, Received: 900}, Verdict{Loader: true}},
		"nothing there": {Result{}, Verdict{Loader: true}},
	} {
		test.r.Rate, test.r.Duration = 1000, time.Second
		if got := test.r.verdict(); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
