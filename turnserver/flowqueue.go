package turnserver

import (
	"sync"
	"time"
)

// flowSink forwards established flows in place of the sockets. One goroutine calls its methods, flowQueue.run.
type flowSink interface {
	// set tells of a flow that is new, or whose expiry has changed. The flow may have ended just now; then remove follows.
	set(*flow)
	// remove ends a flow, once.
	remove(*flow)
	// hasHeard reports whether it has forwarded packets of a flow's peer, or has seen one.
	hasHeard(*flow) bool
	// retry tries flows again that found no room, of which waits reports whether there are any.
	retry()
	waits() bool
}

// flowQueue carries changes of flows from requests and the sweep to the sink. The sink's work takes system calls, which
// would hold up a packet loop. A flow stands in each list once at most.
type flowQueue struct {
	// Static after construction.
	sink flowSink
	wake chan struct{} // has room for one
	done sync.WaitGroup

	mu      sync.Mutex // taken after shard.mu
	ended   []queued   // goes first: what has ended must not be forwarded any longer, and its ports wait for that
	changed []queued
	closed  bool
}

// queued is a flow, or something else for run to do in its turn.
type queued struct {
	flow *flow
	do   func()
}

const (
	changesAtOnce = 64          // after so many changes, run looks for what has ended
	retryInterval = time.Second // how often run tries again what found no room
)

// newFlowQueue makes a queue, and begins to tell the sink.
func newFlowQueue(sink flowSink) *flowQueue {
	q := &flowQueue{sink: sink, wake: make(chan struct{}, 1)}
	q.done.Go(q.run)
	return q
}

// change notes that a flow is new or has another expiry. The caller holds the mu of the flow's shard. q may be nil.
func (q *flowQueue) change(f *flow) {
	if q == nil || !f.mayOffload() || f.changed.Swap(true) {
		return
	}
	f.told, f.alloc.told = true, true
	q.mu.Lock()
	q.changed = append(q.changed, queued{flow: f})
	q.mu.Unlock()
	q.poke()
}

// end notes that a flow has ended, before another takes one of its keys. The caller holds the mu of the flow's shard, and calls it once.
// q may be nil.
func (q *flowQueue) end(f *flow) {
	f.gone.Store(true)
	if q == nil || !f.told {
		return
	}
	q.mu.Lock()
	q.ended = append(q.ended, queued{flow: f})
	q.mu.Unlock()
	q.poke()
}

// afterEnded calls do once the sink forwards none of the flows that have ended before. It does not wait for that. q may be nil.
func (q *flowQueue) afterEnded(do func()) {
	if q == nil {
		do()
		return
	}
	q.mu.Lock()
	closed := q.closed
	if !closed {
		q.ended = append(q.ended, queued{do: do})
	}
	q.mu.Unlock()
	if closed {
		do()
		return
	}
	q.poke()
}

// later calls do on the sink's goroutine, after the changes of before. The caller may hold the mu of a shard.
func (q *flowQueue) later(do func()) {
	q.mu.Lock()
	q.changed = append(q.changed, queued{do: do})
	q.mu.Unlock()
	q.poke()
}

// settle waits until the sink forwards none of the flows that have ended before. Nobody calls it who relays. q may be nil.
func (q *flowQueue) settle() {
	if q == nil {
		return
	}
	settled := make(chan struct{})
	q.afterEnded(func() { close(settled) })
	<-settled
}

func (q *flowQueue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run tells the sink, until close.
func (q *flowQueue) run() {
	timer, armed := time.NewTimer(retryInterval), true
	defer timer.Stop()
	for {
		select {
		case <-q.wake:
		case <-timer.C:
			armed = false
			q.sink.retry()
		}
		if !q.work() {
			return
		}
		if !armed && q.sink.waits() {
			timer.Reset(retryInterval)
			armed = true
		}
	}
}

// work tells the sink of some changes. It reports false if the queue is closed, and empty.
func (q *flowQueue) work() bool {
	q.mu.Lock()
	ended, changed := q.ended, q.changed[:min(changesAtOnce, len(q.changed))]
	q.ended, q.changed = nil, q.changed[len(changed):]
	more, closed := len(q.changed) > 0, q.closed
	q.mu.Unlock()
	for _, e := range ended {
		if e.do != nil {
			e.do()
		} else {
			q.sink.remove(e.flow)
		}
	}
	for _, c := range changed {
		if c.do != nil {
			c.do()
		} else if c.flow.changed.Store(false); !c.flow.gone.Load() {
			q.sink.set(c.flow)
		}
	}
	clear(changed)
	if more || closed && len(ended)+len(changed) > 0 {
		q.poke()
		return true
	}
	return !closed
}

// close waits until all is told. q may be nil.
func (q *flowQueue) close() {
	if q == nil {
		return
	}
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poke()
	q.done.Wait()
}
