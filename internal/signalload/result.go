package signalload

import (
	"time"

	"turnpike/internal/turnload"
)

// Load is one run.
type Load struct {
	Rate     float64       // messages a second of all sessions
	Duration time.Duration // of what is measured
	Warmup   time.Duration // before it, sent likewise and not counted
	Progress func(fraction float64)
}

// Setup tells of logging the sessions in.
type Setup struct {
	Sessions int
	Took     time.Duration // from the first connect to the last welcome

	// With a PID, of the server; bytes before the first connect, and once all sessions are in their rooms and Settle is over.
	RSSBefore, RSSAfter int64
	LoginTime           time.Duration // processor time that the server spent on the log-ins
}

// Result is what became of one run.
type Result struct {
	Rate     float64       // messages a second that were to be sent
	Duration time.Duration // in which they were
	Sent     uint64
	Received uint64 // of those sent
	Bytes    uint64 // of the messages received

	LoaderSkipped uint64             // not sent because the loader could not keep up
	Latency       turnload.Histogram // from the write to the kernel's receive time stamp
	ServerTime    time.Duration      // processor time that the process PID spent meanwhile
}

const (
	// MaxP99 is the latency above which a rate is too high.
	MaxP99 = 50 * time.Millisecond
	// maxUnsent is the share of a load that the loader may fail to send without being the limit.
	maxUnsent = 0.02
)

// Lost is how many of the sent messages did not arrive, or so late that nobody waited for them.
func (r *Result) Lost() uint64 { return r.Sent - min(r.Sent, r.Received) }

// Loss is the share of them.
func (r *Result) Loss() float64 {
	if r.Sent == 0 {
		return 0
	}
	return float64(r.Lost()) / float64(r.Sent)
}

// DeliveredRate is messages a second.
func (r *Result) DeliveredRate() float64 { return float64(r.Received) / r.Duration.Seconds() }

// ServerTimePerMessage is the server's processor time for each message that arrived.
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
	LoaderLimited bool    // the loader could not do more, so the server may
}
