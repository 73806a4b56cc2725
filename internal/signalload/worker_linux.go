package signalload

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"example.org/turnpike/internal/turnload"
)

const (
	messagesAtOnce = 8 // messages sent between two polls of the sockets
	// drainTime is how long messages may take to arrive after the last was sent, to be counted.
	drainTime = time.Second
	// restTime is how long a server may take to deliver the rest of a run before the next begins.
	restTime     = 15 * time.Second
	progressTick = 100 * time.Millisecond
)

// worker sends and receives for some of the pairs, on a thread of its own. While it runs, it shares only stop.
type worker struct {
	// Static.
	g      *Generator
	poller *poller
	begin  time.Time // of the load
	warm   time.Duration
	end    time.Duration
	run    uint32
	stop   *atomic.Bool
	asSent bool // see Load

	// Its own.
	pacer turnload.Pacer
	buf   []byte

	sent, received uint64 // messages, without those of the warm-up
	inTransit      int64  // sent and not received, warm-up included
	bytes          uint64
	latency        turnload.Histogram
	err            error
}

// Run sends a load and returns its figures.
func (g *Generator) Run(ctx context.Context, load Load) (*Result, error) {
	g.runs++
	var stop atomic.Bool
	workers, err := g.workers(load, &stop)
	if err != nil {
		return nil, err
	}
	var running sync.WaitGroup
	ended := make(chan struct{})
	for _, w := range workers {
		running.Go(w.loop)
	}
	go func() {
		running.Wait()
		close(ended)
	}()
	r, err := g.watch(ctx, load, ended)
	if err != nil {
		stop.Store(true)
	}
	<-ended
	for _, w := range workers {
		if w.poller != g.poller {
			w.poller.close()
		}
		if w.err != nil {
			return nil, w.err
		}
		if r != nil {
			r.Sent += w.sent
			r.Received += w.received
			r.Bytes += w.bytes
			r.LoaderSkipped += w.pacer.Skipped
			r.Latency.Merge(&w.latency)
		}
	}
	return r, err
}

// workers distributes the pairs among new workers. A single worker uses the generator's poller, which has all sessions.
func (g *Generator) workers(load Load, stop *atomic.Bool) ([]*worker, error) {
	workers := make([]*worker, g.cfg.Workers)
	for n := range workers {
		w := &worker{
			g: g, poller: g.poller, warm: load.Warmup, end: load.Warmup + load.Duration, run: g.runs, stop: stop,
			begin: time.Now(), buf: make([]byte, readSize), asSent: load.AsSent,
		}
		workers[n] = w
		if len(workers) > 1 {
			var err error
			if w.poller, err = newPoller(); err != nil {
				return nil, err
			}
		}
		var flows []int
		for _, s := range g.sessions {
			if s.number/2%len(workers) != n {
				continue
			}
			flows = append(flows, s.number)
			if len(workers) > 1 {
				if err := w.poller.add(s.sock, s.number); err != nil {
					return nil, err
				}
			}
		}
		interval := float64(time.Second) * float64(len(g.sessions)) / load.Rate
		w.pacer = turnload.NewPacer(time.Duration(interval), flows)
	}
	return workers, nil
}

// watch measures the server's processor time while the workers work.
func (g *Generator) watch(ctx context.Context, load Load, ended <-chan struct{}) (*Result, error) {
	r := &Result{Rate: load.Rate, Duration: load.Duration}
	begin := time.Now()
	warm, end := time.After(load.Warmup), time.After(load.Warmup+load.Duration)
	tick := time.NewTicker(progressTick)
	defer tick.Stop()
	var watch clock
	for over := false; !over; {
		var err error
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-end:
			over = true
		case <-ended: // all messages have come just before the end, or a session was lost
			over = true
		case <-warm:
			watch, err = g.startClock()
		case <-tick.C:
			if load.Progress != nil {
				load.Progress(min(1, time.Since(begin).Seconds()/(load.Warmup+load.Duration).Seconds()))
			}
		}
		if err != nil {
			return nil, err
		}
	}
	passed, server, err := g.readClock(watch)
	if g.cfg.PID != 0 { // the timers fire a little late, and nobody sends messages in between
		r.ServerTime = time.Duration(float64(server) * min(1, load.Duration.Seconds()/passed.Seconds()))
	}
	return r, err
}

// loop sends until the end of the run, and receives until everything has come or restTime is over.
func (w *worker) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// By default the kernel lets a sleeper oversleep 50 microseconds. A failure of this call changes only the pacing.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	w.err = w.work()
}

func (w *worker) work() error {
	for !w.stop.Load() {
		now := time.Since(w.begin)
		sent := 0
		if now < w.end {
			var err error
			if sent, err = w.sendDue(now); err != nil {
				return err
			}
		}
		events := w.poller.ready()
		for i := range events {
			if err := w.event(w.g.sessions[events[i].Fd]); err != nil {
				return err
			}
		}
		if now >= w.end && (w.inTransit <= 0 || now > w.end+restTime) {
			return nil
		}
		if sent == 0 && len(events) == 0 {
			w.sleep(now)
		}
	}
	return nil
}

// sendDue sends messages that are due, at most messagesAtOnce so that receiving does not wait long.
func (w *worker) sendDue(now time.Duration) (sent int, err error) {
	run := w.run
	if now < w.warm {
		run = 0
	}
	for sent < messagesAtOnce {
		n, due, ok := w.pacer.Next(now)
		if !ok {
			break
		}
		s := w.g.sessions[n]
		if run != 0 {
			w.sent++
		}
		sent++
		if len(s.unsent) > 0 {
			continue // the server does not read, so the message counts as lost
		}
		s.sent++
		w.inTransit++
		if w.asSent {
			due = time.Since(w.begin)
		}
		if _, err := s.write(s.template.stamp(stamp{run, uint32(n), s.sent, w.begin.UnixNano() + int64(due)})); err != nil {
			return sent, s.lost(err)
		}
	}
	return sent, nil
}

func (w *worker) event(s *session) error {
	if err := s.flush(); err != nil {
		return s.lost(err)
	}
	return s.read(w.buf, w.count)
}

// count counts a received message.
func (w *worker) count(s *session, message []byte) error {
	at, ok := readStamp(message)
	if !ok {
		if refused := s.cfg.Dialect.refusal(message); refused != nil {
			return refused
		}
		s.keepToken(message)
		return s.sendReceipt(message)
	}
	if int(at.flow) != mate(s.number) {
		return errors.New("a session received a message for another")
	}
	w.inTransit--
	if at.run == w.run && time.Since(w.begin) <= w.end+drainTime {
		w.received++
		w.bytes += uint64(len(message))
		w.latency.Add(time.Duration(s.sock.came - at.sent))
	}
	return s.sendReceipt(message)
}

// sleep waits until the next message or the next poll is due, whichever is first.
func (w *worker) sleep(now time.Duration) {
	wait := pollInterval
	if due := w.pacer.Due() - now; due > 0 && now < w.end {
		wait = min(wait, due)
	}
	nap(wait)
}
