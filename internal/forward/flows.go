package forward

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A stream of UDP carries datagrams, each behind two bytes of its length.
const (
	maxDatagram = 65535
	lengthSize  = 2

	maxFlows    = 256             // of a socket
	flowIdle    = 2 * time.Minute // RFC 4787 §4.3
	flowYields  = 5 * time.Second // so long silent, it gives its place to a new one where all are taken
	flowRetries = time.Second     // after a refusal
	maxQueued   = 256 << 10       // bytes that wait for the stream; what comes beyond them is lost, as on a slow line
)

// flows are the conversations of one UDP socket: each has a stream of its own.
type flows struct {
	ctx     context.Context
	wait    time.Duration // for a stream
	backlog *backlog      // of all sockets together
	running sync.WaitGroup
	began   time.Time

	mu    sync.Mutex
	flows map[flowKey]*flow // guarded by mu
}

// flowKey is where the datagrams of a flow come from, and where to they go if that is not the same for all.
type flowKey struct {
	from netip.AddrPort
	to   Destination
}

// flow is one conversation.
type flow struct {
	of   *flows
	key  flowKey
	ends context.CancelFunc
	last atomic.Int64  // when a datagram went either way, since flows.began
	wake chan struct{} // holds one: something waits

	mu      sync.Mutex
	waiting []byte // datagrams with their lengths; guarded by mu
	over    bool   // nothing more is queued; guarded by mu

	// Guarded by the backlog's mutex.
	held          int   // bytes that wait, or are being written
	before, after *flow // in the backlog, if there are any
}

func newFlows(ctx context.Context, wait time.Duration, b *backlog) *flows {
	return &flows{ctx: ctx, wait: wait, backlog: b, began: time.Now(), flows: map[flowKey]*flow{}}
}

func (f *flows) now() int64 { return int64(time.Since(f.began)) }

// send puts a datagram into its flow. A new flow begins with open; reply takes what comes back, and owns it until it returns.
func (f *flows) send(key flowKey, datagram []byte, begin func() (open func(context.Context) (Stream, error), reply func([]byte))) {
	f.mu.Lock()
	one := f.flows[key]
	if one == nil && f.ctx.Err() == nil && f.makeRoom() {
		one = &flow{of: f, key: key, wake: make(chan struct{}, 1)}
		one.last.Store(f.now())
		var ctx context.Context
		ctx, one.ends = context.WithCancel(f.ctx)
		f.flows[key] = one
		open, reply := begin()
		f.running.Go(func() { one.run(ctx, open, reply) })
	}
	f.mu.Unlock()
	if one != nil {
		one.put(datagram)
	}
}

// makeRoom ends the flow that was silent the longest, if all places are taken. The caller holds mu.
func (f *flows) makeRoom() bool {
	if len(f.flows) < maxFlows {
		return true
	}
	var oldest *flow
	for _, one := range f.flows {
		if oldest == nil || one.last.Load() < oldest.last.Load() {
			oldest = one
		}
	}
	if f.now()-oldest.last.Load() < int64(flowYields) {
		return false
	}
	oldest.ends()
	delete(f.flows, oldest.key)
	return true
}

// put queues a datagram.
func (one *flow) put(datagram []byte) {
	one.last.Store(one.of.now())
	size := lengthSize + len(datagram)
	var victims []*flow
	one.mu.Lock()
	if fits := len(one.waiting)+size <= maxQueued; fits && len(datagram) <= maxDatagram && !one.over {
		one.waiting = append(binary.BigEndian.AppendUint16(one.waiting, uint16(len(datagram))), datagram...)
		victims = one.of.backlog.add(one, size)
	}
	one.mu.Unlock()
	for _, victim := range victims {
		victim.giveUp()
		victim.ends()
	}
	select {
	case one.wake <- struct{}{}:
	default:
	}
}

// giveUp lets go of what waits.
func (one *flow) giveUp() {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.over, one.waiting = true, nil
	one.of.backlog.forget(one)
}

// run carries a flow until it was silent for long, or its stream ends.
func (one *flow) run(ctx context.Context, open func(context.Context) (Stream, error), reply func([]byte)) {
	defer one.ends()
	defer one.forget()
	defer one.giveUp()
	opening, cancel := waiting(ctx, one.of.wait)
	stream, err := open(opening)
	cancel()
	if err != nil {
		pause(ctx, flowRetries) // meanwhile what comes is lost, and nobody is asked again
		return
	}
	stop := context.AfterFunc(ctx, stream.Reset)
	defer stop()
	defer stream.Reset()
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stream.Reset() // which ends the reading
	reading.Go(func() {
		defer one.ends()
		_ = eachDatagram(stream, func(datagram []byte) {
			one.last.Store(one.of.now())
			reply(datagram)
		})
	})
	idle := time.NewTimer(flowIdle)
	defer idle.Stop()
	var sending []byte
	for {
		select {
		case <-one.wake:
			one.mu.Lock()
			sending, one.waiting = one.waiting, sending[:0]
			one.mu.Unlock()
			if len(sending) == 0 {
				continue // the wake came with what was written last
			}
			if _, err := stream.Write(sending); err != nil {
				return
			}
			one.of.backlog.taken(one, len(sending))
			if cap(sending) > maxFrame {
				sending = nil // a burst is over
			}
		case <-idle.C:
			silent := time.Duration(one.of.now() - one.last.Load())
			if silent >= flowIdle {
				return
			}
			idle.Reset(flowIdle - silent)
		case <-ctx.Done():
			return
		}
	}
}

func (one *flow) forget() {
	one.of.mu.Lock()
	defer one.of.mu.Unlock()
	if one.of.flows[one.key] == one {
		delete(one.of.flows, one.key)
	}
}

// eachDatagram reads a stream of datagrams until it ends.
func eachDatagram(stream io.Reader, take func([]byte)) error {
	from := bufio.NewReader(stream)
	buffer := make([]byte, 2048)
	var length [lengthSize]byte
	for {
		if _, err := io.ReadFull(from, length[:]); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint16(length[:]))
		if size > len(buffer) {
			buffer = make([]byte, maxDatagram)
		}
		if _, err := io.ReadFull(from, buffer[:size]); err != nil {
			return err
		}
		take(buffer[:size])
	}
}

// serveFlows carries every datagram of a socket by a stream for each that it comes from. It closes the socket when ctx ends.
func serveFlows(ctx context.Context, socket *net.UDPConn, wait time.Duration, b *backlog, open func(context.Context) (Stream, error), failed func(error)) {
	all := newFlows(ctx, wait, b)
	defer all.running.Wait()
	defer closeWith(ctx, socket)()
	opens := func(ctx context.Context) (Stream, error) {
		stream, err := open(ctx)
		if err != nil {
			failed(err)
		}
		return stream, err
	}
	buffer := make([]byte, maxDatagram)
	for {
		n, from, err := socket.ReadFromUDPAddrPort(buffer)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as a reply that nobody wants any more
			if !pause(ctx, time.Millisecond) {
				return
			}
			continue
		}
		all.send(flowKey{from: from}, buffer[:n], func() (func(context.Context) (Stream, error), func([]byte)) {
			return opens, func(datagram []byte) { _, _ = socket.WriteToUDPAddrPort(datagram, from) } // it may be lost
		})
	}
}

// joinUDP carries datagrams between a stream and a connected socket, until both are silent for long or one ends. It closes both.
func joinUDP(ctx context.Context, stream Stream, socket net.Conn) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	began := time.Now()
	var last atomic.Int64
	var both sync.WaitGroup
	defer both.Wait()
	stop := context.AfterFunc(ctx, func() {
		stream.Reset()
		_ = socket.Close()
	})
	defer stop()
	defer stream.Reset()
	defer socket.Close()
	both.Go(func() {
		defer end()
		_ = eachDatagram(stream, func(datagram []byte) {
			last.Store(int64(time.Since(began)))
			_, _ = socket.Write(datagram) // it may be lost
		})
	})
	both.Go(func() {
		defer end()
		buffer := make([]byte, lengthSize+maxDatagram)
		for {
			n, err := socket.Read(buffer[lengthSize:])
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return
			}
			if err != nil { // nobody listens there, yet
				if !pause(ctx, time.Millisecond) {
					return
				}
				continue
			}
			last.Store(int64(time.Since(began)))
			binary.BigEndian.PutUint16(buffer, uint16(n))
			if _, err := stream.Write(buffer[:lengthSize+n]); err != nil {
				return
			}
		}
	})
	idle := time.NewTimer(flowIdle)
	defer idle.Stop()
	for {
		select {
		case <-idle.C:
			silent := time.Since(began) - time.Duration(last.Load())
			if silent >= flowIdle {
				return
			}
			idle.Reset(flowIdle - silent)
		case <-ctx.Done():
			return
		}
	}
}
