package turnload

import (
	"bytes"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"turnpike/turnserver/udpio"
)

const (
	framesAtOnce  = 8  // sent before the sockets are looked into
	socketsAtOnce = 16 // looked into before frames are sent

	// The sockets are all looked into once in a round. It takes about as long as a few datagrams take to come to each.
	datagramsARound = 4
	minRound        = time.Millisecond
	maxRound        = 50 * time.Millisecond

	// drainTime is how long packets may be under way after the last was sent.
	drainTime = 300 * time.Millisecond
)

// readBatch is how many datagrams are read at once.
const readBatch = 32

// newReader makes a reader of the datagrams of calls.
func newReader() *udpio.Reader {
	return udpio.NewReader(udpio.Buffers{Batch: readBatch, Size: 2048, Connected: true})
}

// worker sends and receives for some of the calls, on a thread of its own. While it runs, all that it has is its own
// but for stop.
type worker struct {
	// Static.
	flows    []flow    // of all workers; it touches those of its calls
	busy     []end     // that data comes to
	quiet    []*client // that only answers come to
	begin    time.Time // of the load
	warm     time.Duration
	end      time.Duration
	round    time.Duration
	run      uint32
	answered func(*client, []byte) // takes what is no data
	stop     *atomic.Bool

	// Its own.
	pacers    []Pacer
	out       *udpio.Burst
	in        *udpio.Reader
	cursor    int // of busy
	quietNext int
	nextRound time.Duration

	sent, received uint64 // of what is measured
	bytes          uint64
	loaderDropped  uint64
	latency        Histogram
}

// loop sends and receives until everything has come or drainTime is over.
func (w *worker) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// By default the kernel lets a sleeper oversleep 50 microseconds. That it fails changes only the pacing.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	for !w.stop.Load() {
		now := time.Since(w.begin)
		over := now >= w.end
		if !over {
			w.sendDue(now)
		}
		if now >= w.nextRound {
			w.poll(now)
		}
		if over && (w.received == w.sent || now > w.end+drainTime) {
			return
		}
		w.sleep()
	}
}

// sendDue sends the frames that are due, but not so many that receiving waits long.
func (w *worker) sendDue(now time.Duration) {
	run := w.run
	if now < w.warm {
		run = 0
	}
	for i := range w.pacers {
		for range framesAtOnce {
			id, ok := w.pacers[i].Take(now)
			if !ok {
				break
			}
			n := w.send(&w.flows[id], run)
			if run != 0 {
				w.sent += uint64(n)
			}
		}
	}
}

// send sends the next frame of a flow, and returns how many of its datagrams the kernel took.
func (w *worker) send(f *flow, run uint32) int {
	for i := range f.stream.Burst {
		w.out.Set(i, f.header, f.stream.Size)
	}
	sent := time.Now().UnixNano()
	for i := range f.stream.Burst {
		packet{run, f.id, f.number + uint32(i), sent}.put(w.out.Payload(i))
	}
	n := w.out.Send(f.from.fd, f.stream.Burst)
	f.number += uint32(n)
	return n
}

// poll looks into the next sockets of a round, and at its end into one of the quiet ones.
func (w *worker) poll(now time.Duration) {
	for range socketsAtOnce {
		if w.cursor == len(w.busy) {
			w.cursor = 0
			w.nextRound = now + w.round
			w.pollQuiet()
			return
		}
		r := w.busy[w.cursor]
		w.cursor++
		for {
			n, _ := w.in.Receive(r.fd) // after an ICMP message, what has come is still there in the next round
			for i := range n {
				w.take(r, i)
			}
			if n < readBatch {
				break
			}
		}
	}
}

func (w *worker) pollQuiet() {
	if len(w.quiet) == 0 {
		return
	}
	w.quietNext = (w.quietNext + 1) % len(w.quiet)
	c := w.quiet[w.quietNext]
	n, _ := w.in.Receive(c.fd)
	for i := range n {
		w.answered(c, bytes.Clone(w.in.Data(i)))
	}
}

// take counts one datagram.
func (w *worker) take(r end, i int) {
	data := w.in.Data(i)
	came, dropped := w.in.Arrival(i)
	if dropped != r.dropped && dropped != 0 {
		w.loaderDropped += uint64(dropped - r.dropped)
		r.dropped = dropped
	}
	payload := data
	if r.client != nil {
		if payload = unwrap(data); payload == nil {
			w.answered(r.client, bytes.Clone(data))
			return
		}
	}
	p, ok := parsePacket(payload)
	if !ok || p.run != w.run || int(p.flow) >= len(w.flows) {
		return // warm-up, or late from another run
	}
	f := &w.flows[p.flow]
	if len(payload) != f.stream.Size {
		return // damaged is as good as lost
	}
	if int32(p.number-f.expected) < 0 {
		f.reordered++
	} else {
		f.expected = p.number + 1
	}
	w.received++
	w.bytes += uint64(len(payload))
	w.latency.Add(time.Duration(came - p.sent))
}

// sleep waits until the next frame or the next round, whichever is first.
func (w *worker) sleep() {
	next := w.nextRound
	for i := range w.pacers {
		if due := w.pacers[i].Due(); due < w.end {
			next = min(next, due)
		}
	}
	if wait := next - time.Since(w.begin); wait > 0 {
		udpio.Nap(wait)
	}
}
