package turnload

import "math"

// Verdict is the result of a trial of Max at a rate.
type Verdict struct {
	Good   bool // the packets have arrived
	Loader bool // if not good: the loader could not send, or not receive, at this rate
}

// maxResolution is the ratio of the lowest bad rate to the best one at which the search ends.
const maxResolution = 1.03

// SearchMax finds the highest rate that try calls good, from a start that may lie above or below it. A rate is bad if
// it was bad twice, because one hold-up of the machine makes any rate bad once. loader says that the loader was the
// limit.
func SearchMax(start float64, try func(rate float64) (Verdict, error)) (best float64, loader bool, err error) {
	low, high := 0.0, math.Inf(1)
	for rate := start; ; {
		v, err := try(rate)
		if err == nil && !v.Good {
			v, err = try(rate)
		}
		switch {
		case err != nil:
			return low, loader, err
		case v.Good:
			low = rate
		default:
			high, loader = rate, v.Loader
		}
		switch {
		case math.IsInf(high, 1):
			rate = 2 * low
		case low == 0 && high < start/1000:
			return 0, loader, nil
		case low == 0:
			rate = high / 2
		case high/low <= maxResolution:
			return low, loader, nil
		default:
			rate = math.Sqrt(low * high)
		}
	}
}
