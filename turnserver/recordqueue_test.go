package turnserver

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/turnserver/wire"
)

// writeCounter counts writes.
type writeCounter struct {
	scriptedConn
	writes atomic.Int32
}

func (c *writeCounter) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return len(b), nil
}

// TestOneWriterForManyBursts in false time: bursts that follow each other cost no goroutine each, and when they stop,
// the goroutine ends.
func TestOneWriterForManyBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bursts, interval = 1000, 20 * time.Millisecond
		var conn writeCounter
		var q recordQueue
		var writers sync.WaitGroup
		begun := 0
		q.init(&conn, func(f func()) {
			begun++
			writers.Go(f)
		})
		for round := 1; round <= 2; round++ {
			for range bursts {
				if !q.enqueue(pattern(100)) || !q.enqueue(pattern(200)) {
					t.Fatal("no room")
				}
				time.Sleep(interval)
			}
			if got := int(conn.writes.Load()); got != 2*bursts*round {
				t.Errorf("%d records were written", got)
			}
			start := time.Now()
			writers.Wait()
			if idle := time.Since(start); idle < writerIdle-interval || idle > 2*writerIdle {
				t.Errorf("the writer waited %v", idle)
			}
			if begun != round {
				t.Errorf("%d writers were begun in %d rounds", begun, round)
			}
		}
		q.enqueue(pattern(100))
		synctest.Wait()
		q.stop() // while the writer waits
		start := time.Now()
		writers.Wait()
		if took := time.Since(start); took != 0 || q.enqueue(nil) {
			t.Errorf("the writer ended %v after its connection", took)
		}
	})
}

// TestBurstAllocatesNothing: nor does a burst cost a heap object.
func TestBurstAllocatesNothing(t *testing.T) {
	var conn writeCounter
	var q recordQueue
	var writers sync.WaitGroup
	q.init(&conn, writers.Go)
	defer writers.Wait()
	defer q.stop()
	data := pattern(1200)
	if allocs := testing.AllocsPerRun(1000, func() {
		for range 5 {
			q.enqueue(data)
		}
		q.waitUntilWritten()
	}); allocs > 0 {
		t.Errorf("%v allocations a burst", allocs)
	}
}

// TestWorkersCountApart: each worker has counters of its own, and totals outlive the workers.
func TestWorkersCountApart(t *testing.T) {
	s := newServer(t, nil)
	const workers = 50
	for round := range uint64(3) {
		seen := make(map[*counters]bool)
		var lent []*worker
		for range workers {
			w := s.workers.get(nil, wire.TCP)
			w.counters.countRelayed(wire.TCP, clientToPeer, 100)
			if w.counters == &s.counters || seen[w.counters] {
				t.Fatal("counters are shared")
			}
			seen[w.counters] = true
			lent = append(lent, w)
		}
		if got, want := counterOf(t, s, "packets_relayed", "up"), (round+1)*workers; got != want {
			t.Errorf("%d packets were counted, want %d", got, want)
		}
		for _, w := range lent {
			s.workers.put(w)
		}
		clear(lent)
		waitFor(t, "the workers to be collected", func() bool {
			runtime.GC()
			s.workers.mu.Lock()
			defer s.workers.mu.Unlock()
			return len(s.workers.free) == len(s.workers.all)
		})
	}
	if got := len(s.workers.all); got != workers {
		t.Errorf("there are %d counters for %d workers", got, workers)
	}
}
