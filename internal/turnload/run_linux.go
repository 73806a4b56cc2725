package turnload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"example.org/turnpike/turnserver/udpio"
)

const (
	// refreshAfter is well within a permission's five minutes.
	refreshAfter = 2 * time.Minute
	progressTick = 100 * time.Millisecond
)

// answer is a message to a client other than data.
type answer struct {
	client *client
	raw    []byte
}

// Run sends a load through the calls, and returns what became of it. It does not count packets of an earlier run.
func (g *Generator) Run(ctx context.Context, load Load) (*Result, error) {
	if len(g.flows) == 0 {
		return nil, errors.New("these calls were opened to send nothing")
	}
	if load.Rate == 0 {
		load.Rate = g.cfg.NominalRate()
	}
	g.runs++
	for i := range g.flows {
		f := &g.flows[i]
		f.reordered, f.expected = 0, f.number
	}
	answers := make(chan answer, 1024)
	var stop atomic.Bool
	workers := g.workers(load, &stop, func(c *client, raw []byte) {
		select {
		case answers <- answer{c, raw}:
		default: // more than a refresh needs
		}
	})
	var running sync.WaitGroup
	for _, w := range workers {
		running.Go(w.loop)
	}
	result, err := g.watch(ctx, load, answers)
	if err != nil {
		stop.Store(true)
	}
	running.Wait()
	if err != nil {
		return nil, err
	}
	g.sum(result, workers)
	return result, nil
}

// workers makes the workers of a run, each for some of the calls.
func (g *Generator) workers(load Load, stop *atomic.Bool, answered func(*client, []byte)) []*worker {
	streams := g.cfg.Profile.Streams
	receivers := len(g.calls) * g.cfg.Direction.ways()
	round := time.Duration(datagramsARound * float64(time.Second) * float64(receivers) / load.Rate)
	workers := make([]*worker, min(g.cfg.Workers, len(g.calls)))
	begin := time.Now()
	for n := range workers {
		w := &worker{
			flows: g.flows, begin: begin, warm: load.Warmup, end: load.Warmup + load.Duration,
			round: min(max(round, minRound), maxRound), run: g.runs,
			binding: g.cfg.Binding, answered: answered, stop: stop, out: udpio.NewBurst(maxBurst, maxPayload), in: newReader(),
		}
		own := make([][]int, len(streams)) // flows by stream
		for i := range g.flows {
			f := &g.flows[i]
			for s := range streams {
				if f.call%len(workers) == n && f.stream == streams[s] {
					own[s] = append(own[s], i)
				}
			}
		}
		for s, flows := range own {
			interval := float64(streams[s].Interval) * g.cfg.NominalRate() / load.Rate
			w.pacers = append(w.pacers, NewPacer(time.Duration(interval), flows))
		}
		for i := n; i < len(g.calls); i += len(workers) {
			w.listen(g.calls[i].near, g.cfg.Direction != Up || g.cfg.Binding)
			w.listen(g.calls[i].far, g.cfg.Direction != Down && !g.cfg.Binding)
		}
		workers[n] = w
	}
	return workers
}

// listen adds an end's socket to those that the worker polls.
func (w *worker) listen(e end, data bool) {
	switch {
	case data:
		w.busy = append(w.busy, e)
	case e.client != nil:
		w.quiet = append(w.quiet, e.client)
	}
}

// watch measures the machine's time while the workers work, and keeps the allocations alive.
func (g *Generator) watch(ctx context.Context, load Load, answers <-chan answer) (*Result, error) {
	result := &Result{Rate: load.Rate, Duration: load.Duration}
	begin := time.Now()
	warm, end := time.After(load.Warmup), time.After(load.Warmup+load.Duration)
	tick := time.NewTicker(progressTick)
	defer tick.Stop()
	var watch stopwatch
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-warm:
			watch, err = startStopwatch()
		case a := <-answers:
			if err := a.client.answered(a.raw); err != nil {
				return nil, fmt.Errorf("the server ends a call: %w", err)
			}
		case <-tick.C:
			if load.Progress != nil {
				load.Progress(min(1, time.Since(begin).Seconds()/(load.Warmup+load.Duration).Seconds()))
			}
			err = g.refreshDue()
		case <-end:
			passed, busy, err := watch.busy()
			// The timers are a little late, and in that time no packets were sent.
			result.Busy = time.Duration(float64(busy) * load.Duration.Seconds() / passed.Seconds())
			return result, err
		}
		if err != nil {
			return nil, err
		}
	}
}

// refreshDue refreshes all allocations if it is time to.
func (g *Generator) refreshDue() error {
	if time.Since(g.refreshed) < refreshAfter {
		return nil
	}
	g.refreshed = time.Now()
	for _, c := range g.clients() {
		if err := c.refresh(); err != nil {
			return err
		}
	}
	return nil
}

// sum adds up what the workers counted.
func (g *Generator) sum(r *Result, workers []*worker) {
	for _, w := range workers {
		r.Sent += w.sent
		r.Received += w.received
		r.Bytes += w.bytes
		r.LoaderDropped += w.loaderDropped
		r.Latency.Merge(&w.latency)
		for i := range w.pacers {
			p := &w.pacers[i]
			r.LoaderSkipped += p.Skipped * uint64(g.cfg.Profile.Streams[i].Burst)
		}
	}
	for i := range g.flows {
		r.Reordered += g.flows[i].reordered
	}
}

// Max searches the highest rate that loses less than MaxLoss. Each trial is a run of load's duration. The first has its
// rate.
func (g *Generator) Max(ctx context.Context, load Load, report func(*Result)) (Maximum, error) {
	var found Maximum
	start := load.Rate
	if start == 0 {
		start = g.cfg.NominalRate()
	}
	_, loader, err := SearchMax(start, func(rate float64) (Verdict, error) {
		load.Rate = rate
		r, err := g.Run(ctx, load)
		if err != nil {
			return Verdict{}, err
		}
		if report != nil {
			report(r)
		}
		v := r.verdict()
		if v.Good && (found.Result == nil || r.Rate > found.Result.Rate) {
			found.Result = r
		}
		return v, nil
	})
	found.LoaderLimited = loader
	return found, err
}
