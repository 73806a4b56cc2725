package turnload

import (
	"fmt"
	"time"

	"github.com/pion/stun/v3"
)

// Load is one run.
type Load struct {
	Rate     float64       // packets a second of all flows; 0: the profile's own
	Duration time.Duration // of what is measured
	Warmup   time.Duration // before it, sent likewise and not counted
	Progress func(fraction float64)
}

// Setup tells of making the allocations.
type Setup struct {
	Allocations int
	Took        time.Duration // from the first Allocate to the last answer, the 401s included

	// With a PID; bytes before the first Allocate, and after the last channel or permission.
	RSSBefore, RSSAfter   int64 // the server's
	SlabBefore, SlabAfter int64 // the kernel's small objects on the whole machine; the loader's sockets are in both
}

// Result is what became of one run.
type Result struct {
	Rate     float64       // packets a second that were to be sent
	Duration time.Duration // in which they were
	Sent     uint64
	Received uint64 // of those sent
	Bytes    uint64 // of their payloads

	Reordered     uint64 // received after a later one of the same flow
	LoaderDropped uint64 // by the loader's own sockets, whose buffers were full; it counts as lost, too
	LoaderSkipped uint64 // not sent because the loader could not keep up

	Latency Histogram // from the call that sends to the kernel's receive time stamp

	// Busy is the processor time that the whole machine spent meanwhile, whoever did. It comes from the kernel's
	// idle time, which is exact, while the other columns of /proc/stat are sampled.
	Busy time.Duration
}

// MaxLoss is the share of packets above which a rate is too high.
const MaxLoss = 0.005

// maxUnsent is the share of a load that the loader may fail to send without being the limit.
const maxUnsent = 0.02

// Lost is how many of the sent packets did not arrive. A network that doubles packets hides that it loses others.
func (r *Result) Lost() uint64 { return r.Sent - min(r.Sent, r.Received) }

// Loss is the share of them.
func (r *Result) Loss() float64 {
	if r.Sent == 0 {
		return 0
	}
	return float64(r.Lost()) / float64(r.Sent)
}

// DeliveredRate is packets a second.
func (r *Result) DeliveredRate() float64 { return float64(r.Received) / r.Duration.Seconds() }

// BusyPerPacket is the machine's time for each packet that arrived.
func (r *Result) BusyPerPacket() time.Duration {
	if r.Received == 0 {
		return 0
	}
	return r.Busy / time.Duration(r.Received)
}

// verdict judges the run as a trial of Max.
func (r *Result) verdict() Verdict {
	asked := r.Rate * r.Duration.Seconds()
	allSent := float64(r.Sent) >= (1-maxUnsent)*asked
	return Verdict{
		Good:   r.Loss() < MaxLoss && allSent,
		Loader: !allSent || 2*r.LoaderDropped > r.Lost(),
	}
}

// Maximum is the highest rate that Max found.
type Maximum struct {
	Result        *Result // of the run at that rate; nil if there was none
	LoaderLimited bool    // the loader could not do more, so the server may
}

// RefusedError is a server's answer to a request that it refuses.
type RefusedError struct {
	Method stun.Method
	Code   int
	Reason string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%v is answered with %d %s", e.Method, e.Code, e.Reason)
}
