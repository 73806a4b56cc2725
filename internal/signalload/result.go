package signalload

import (
	"time"

	"example.org/turnpike/internal/turnload"
)

// Load describes one run.
type Load struct {
	Rate     float64       // messages a second of all sessions
	Duration time.Duration // of the measurement
	Warmup   time.Duration // before the measurement: messages are sent, and not counted
	Progress func(fraction float64)
	// AsSent has latency count from when a message is sent, and not from when it was due. So it says what the server did also where the
	// loader has something else to do at times.
	AsSent bool
}

// Setup holds the figures of logging the sessions in.
type Setup struct {
	Sessions int
	Took     time.Duration // from the first connect to the last welcome

	// Of the server, with a PID.
	RSSBefore, RSSAfter int64         // bytes before the first connect, and after Settle with all sessions in their rooms
	LoginTime           time.Duration // processor time of the log-ins
}

// Result holds the figures of one run.
type Result struct {
	Rate     float64       // messages a second, as asked for
	Duration time.Duration // of the measurement
	Sent     uint64
	Received uint64 // of the sent messages
	Bytes    uint64 // of the messages received

	LoaderSkipped uint64             // messages not sent, because the loader could not keep up
	Latency       turnload.Histogram // from the write to the kernel's receive time stamp
	ServerTime    time.Duration      // processor time of the process PID meanwhile
}

const (
	// MaxP99 is the latency above which a rate is too high.
	MaxP99 = 50 * time.Millisecond
	// maxUnsent is the share of a load that the loader may fail to send before it counts as the limit.
	maxUnsent = 0.02
)

// Lost returns the number of sent messages that did not arrive before the run ended.
func (r *Result) Lost() uint64 { return r.Sent - min(r.Sent, r.Received) }

// Loss returns the lost share of the sent messages.
func (r *Result) Loss() float64 {
	if r.Sent == 0 {
		return 0
	}
	return float64(r.Lost()) / float64(r.Sent)
}

// DeliveredRate returns the received messages a second.
func (r *Result) DeliveredRate() float64 { return float64(r.Received) / r.Duration.Seconds() }

// ServerTimePerMessage returns the server's processor time for each message that arrived.
func (r *Result) ServerTimePerMessage() time.Duration {
	if r.Received == 0 {
		return 0
	}
	return r.ServerTime / time.Duration(r.Received)
}

// verdict judges the run as a trial of Max. Signaling may lose nothing.
func (r *Result) verdict() turnload.Verdict {
	allSent := float64(r.Sent) >= (1-maxUnsent)*r.Rate*r.Duration.Seconds()
	return turnload.Verdict{
		Good:   r.Lost() == 0 && allSent && r.Latency.Percentile(99) <= MaxP99,
		Loader: !allSent,
	}
}

// Maximum is the highest rate that Max found.
type Maximum struct {
	Result        *Result // of the run at that rate; nil if there was none
	LoaderLimited bool    // the loader could not do more; the server perhaps could
}
