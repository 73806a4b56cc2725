package turnload

import (
	"fmt"
	"strings"
	"time"

	"github.com/pion/stun/v3"
)

// Load is one run.
type Load struct {
	Rate     float64       // packets a second of all flows; 0: the profile's own
	Duration time.Duration // of the measured part
	Warmup   time.Duration // before it: sent likewise, but not counted
	Progress func(fraction float64)
}

// Setup describes how the allocations were made.
type Setup struct {
	Allocations int
	Took        time.Duration // from the first Allocate to the last answer, with the 401s

	// With a PID; bytes before the first Allocate, and after the last channel or permission.
	RSSBefore, RSSAfter   int64 // the server's
	SlabBefore, SlabAfter int64 // the kernel's small objects on the whole machine, with the loader's sockets
}

// Result is what became of one run.
type Result struct {
	Rate     float64       // packets a second that were asked for
	Duration time.Duration // in which they had to be sent
	Sent     uint64
	Received uint64 // of those sent
	Bytes    uint64 // of their payloads

	Reordered     uint64 // that came after a later one of the same flow
	LoaderDropped uint64 // by the loader's own sockets, with full buffers; they count as lost, too
	LoaderSkipped uint64 // not sent because the loader could not keep up

	Latency Histogram // from the system call that sends to the kernel's time stamp on arrival

	// Busy is the processor time that the whole machine spent meanwhile, for any process. It is computed from the
	// kernel's idle time, which is exact. The other columns of /proc/stat are sampled.
	Busy time.Duration
}

// MaxLoss is the share of packets above which a rate is too high.
const MaxLoss = 0.005

// maxUnsent is the share of a load that the loader may fail to send without being the limit.
const maxUnsent = 0.02

// Lost is the number of sent packets that did not arrive. A network that doubles packets hides the loss of others.
func (r *Result) Lost() uint64 { return r.Sent - min(r.Sent, r.Received) }

// Loss is the share of sent packets that did not arrive.
func (r *Result) Loss() float64 {
	if r.Sent == 0 {
		return 0
	}
	return float64(r.Lost()) / float64(r.Sent)
}

// DeliveredRate is the rate of the packets that arrived, in packets a second.
func (r *Result) DeliveredRate() float64 { return float64(r.Received) / r.Duration.Seconds() }

// BusyPerPacket is the machine's processor time for each packet that arrived.
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
	Result        *Result // of the run at that rate; nil: no rate was good
	LoaderLimited bool    // the loader could not do more, so the server may
}

// RefusedError is a server's answer to a request that it refuses.
type RefusedError struct {
	Method stun.Method
	Code   int
	Reason string
}

func (e *RefusedError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%v is answered with %d %s", e.Method, e.Code, e.Reason))
}
