package turnserver

import (
	"sync/atomic"
	"testing"

	"example.org/turnpike/turnserver/wire"
)

// slowSink is a sink that takes as long as the test likes.
type slowSink struct {
	*recordingSink
	removing, goOn chan struct{}
}

func (s slowSink) remove(f *flow) {
	s.removing <- struct{}{}
	<-s.goOn
	s.recordingSink.remove(f)
}

// closingSocket is a relayed socket that says whether it is closed.
type closingSocket struct {
	noSocket
	closed *atomic.Bool
}

func (c closingSocket) close(*relayAddress, uint16) { c.closed.Store(true) }

// TestPortsWaitForTheSink: nobody else gets a port while the sink may still forward from it. Meanwhile, requests wait
// for nothing.
func TestPortsWaitForTheSink(t *testing.T) {
	sink := slowSink{newRecordingSink(), make(chan struct{}), make(chan struct{})}
	r := newFlowRig(t, sink)
	limits := DefaultLimits()
	allocate := func(i int) (*allocation, *atomic.Bool) {
		a, closed := r.allocation(i, 0), new(atomic.Bool)
		a.first.datagrams = closingSocket{closed: closed}
		r.shard.bind(a, wire.MinChannel, destination{endpoint: rigEndpoint(10, 0)}, 0, &limits)
		r.srv.flowQueue.told()
		return a, closed
	}
	one, oneClosed := allocate(0)
	two, twoClosed := allocate(1)
	one.end()
	<-sink.removing
	two.end()
	again := r.allocation(0, 0) // on the same five-tuple
	if got := r.shard.bind(again, wire.MinChannel, destination{endpoint: rigEndpoint(10, 0)}, 0, &limits); got != outcomeDone {
		t.Fatal("the same channel: outcome", got)
	}
	for range 1000 {
		r.shard.permit(again, [][16]byte{rigEndpoint(10, 0).IP}, 0, 128)
	}
	r.srv.flowQueue.mu.Lock()
	waiting := len(r.srv.flowQueue.changed) + len(r.srv.flowQueue.ended)
	r.srv.flowQueue.mu.Unlock()
	if waiting > 4 { // the flow of again, the flow and the port of two, and the port of one unless it came before the sink began
		t.Errorf("%d changes wait", waiting)
	}
	if oneClosed.Load() || twoClosed.Load() {
		t.Error("a port is free while the sink forwards from it")
	}
	sink.goOn <- struct{}{}
	<-sink.removing
	if !oneClosed.Load() || twoClosed.Load() {
		t.Errorf("after the first flow's removal the ports are closed: %v, %v", oneClosed.Load(), twoClosed.Load())
	}
	sink.goOn <- struct{}{}
	r.srv.flowQueue.told()
	if !twoClosed.Load() {
		t.Error("a port stays open")
	}
	if len(sink.up) != 1 || len(sink.down) != 1 || sink.up[clientKey{rigTuple(0), wire.MinChannel}].flow != again.flows[0] {
		t.Errorf("the sink has %d and %d flows, want the new one", len(sink.up), len(sink.down))
	}
	empty := r.allocation(2, 0)
	emptyClosed := new(atomic.Bool)
	empty.first.datagrams = closingSocket{closed: emptyClosed}
	if empty.end(); !emptyClosed.Load() {
		t.Error("a port that the sink never heard of waits for it")
	}
}

// TestPortsWaitForFormerFlows: so it is if the flow has ended before the allocation.
func TestPortsWaitForFormerFlows(t *testing.T) {
	sink := slowSink{newRecordingSink(), make(chan struct{}), make(chan struct{})}
	r := newFlowRig(t, sink)
	limits := DefaultLimits()
	a, closed := r.allocation(0, 0), new(atomic.Bool)
	a.first.datagrams = closingSocket{closed: closed}
	r.shard.bind(a, wire.MinChannel, destination{endpoint: rigEndpoint(10, 0)}, 0, &limits)
	r.srv.flowQueue.told()
	r.shard.sweepAllocation(a, clock(channelLifetime))
	<-sink.removing
	a.end()
	if closed.Load() {
		t.Error("a port is free while the sink forwards from it")
	}
	sink.goOn <- struct{}{}
	r.srv.flowQueue.told()
	if !closed.Load() {
		t.Error("the port stays open")
	}
}
