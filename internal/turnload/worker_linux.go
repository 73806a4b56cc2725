package turnload

import (
	"bytes"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"example.org/turnpike/turnserver/udpio"
)

const (
	framesAtOnce  = 8  // sent before sockets are polled
	socketsAtOnce = 16 // polled before frames are sent

	// In a round, the worker polls all its sockets once. It takes about as long as a few datagrams need to come to
	// each.
	datagramsARound = 4
	minRound        = time.Millisecond
	maxRound        = 50 * time.Millisecond

	// drainTime is how long packets may be under way after the last was sent.
	drainTime = 300 * time.Millisecond

	readBatch = 32   // datagrams
	readSize  = 2048 // bytes of a datagram
)

// newReader makes a reader for the sockets of calls.
func newReader() *udpio.Reader {
	return udpio.NewReader(udpio.Buffers{Batch: readBatch, Size: readSize, Connected: true})
}

// worker sends and receives for some of the calls, on a thread of its own. While it runs, nobody else touches its
// fields, except stop.
type worker struct {
	// Static.
	flows    []flow    // of all workers; each touches those of its calls
	busy     []end     // which receive data
	quiet    []*client // which receive only answers
	begin    time.Time // of the load
	warm     time.Duration
	end      time.Duration
	round    time.Duration
	run      uint32
	binding  bool                  // Binding requests, and their answers
	answered func(*client, []byte) // takes messages other than data
	stop     *atomic.Bool

	// Its own.
	pacers    []Pacer
	out       *udpio.Burst
	in        *udpio.Reader
	cursor    int // of busy
	quietNext int
	nextRound time.Duration

	sent, received uint64 // in the measured part
	bytes          uint64
	loaderDropped  uint64
	latency        Histogram
}

// loop sends and receives until everything has come or drainTime is over.
func (w *worker) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// By default, the kernel lets a sleeper oversleep by 50 microseconds. If this call fails, only the pacing suffers.
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

// sendDue sends frames that are due, but not so many that receiving has to wait long.
func (w *worker) sendDue(now time.Duration) {
	run := w.run
	if now < w.warm {
		run = 0
	}
	for i := range w.pacers {
		for range framesAtOnce {
			id, due, ok := w.pacers[i].Next(now)
			if !ok {
				break
			}
			n := w.send(&w.flows[id], run, due)
			if run != 0 {
				w.sent += uint64(n)
			}
		}
	}
}

// send sends the next frame of a flow, which is due since then, and returns how many of its datagrams the kernel took.
func (w *worker) send(f *flow, run uint32, due time.Duration) int {
	for i := range f.stream.Burst {
		w.out.Set(i, f.header, f.stream.Size)
	}
	sent := w.begin.UnixNano() + int64(due)
	for i := range f.stream.Burst {
		if p := (packet{run, f.id, f.number + uint32(i), sent}); w.binding {
			p.putBinding(w.out.Payload(i))
		} else {
			p.put(w.out.Payload(i))
		}
	}
	n := w.out.Send(f.from.fd, f.stream.Burst)
	f.number += uint32(n)
	return n
}

// poll reads from the next sockets of a round, and at its end from a quiet one.
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
			n, _ := w.in.Receive(r.fd) // after an ICMP message, the datagrams are still there in the next round
			for i := range n {
				w.count(r, i)
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

// count counts one datagram.
func (w *worker) count(r end, i int) {
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
	p, ok := w.parse(payload, came)
	if !ok || p.run != w.run || int(p.flow) >= len(w.flows) {
		return // from the warm-up, or from another run
	}
	f := &w.flows[p.flow]
	if len(payload) != f.stream.Size && !w.binding {
		return // a damaged packet counts as lost
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

// parse finds out which packet has come.
func (w *worker) parse(payload []byte, came int64) (packet, bool) {
	if w.binding {
		return parseBinding(payload, came)
	}
	return parsePacket(payload)
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
