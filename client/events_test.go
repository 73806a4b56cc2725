package client

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestCrowdGoesOn: of all that wait because OnEvent is slow, each goes on once OnEvent has caught up, although nothing new happens.
func TestCrowdGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 10
		gate := make(chan struct{})
		e := newEvents(func(Event) { <-gate })
		var all, running sync.WaitGroup
		var waiting atomic.Int32
		running.Go(e.run)
		for range maxEvents + 1 { // OnEvent has the first of them
			e.post(OnlineChanged{})
			synctest.Wait()
		}
		for range many {
			waiting.Add(1)
			all.Go(func() {
				e.wait(t.Context())
				waiting.Add(-1)
			})
		}
		synctest.Wait()
		if n := waiting.Load(); n != many {
			t.Errorf("%d wait while OnEvent hangs, want %d", n, many)
		}
		close(gate)
		synctest.Wait()
		if n := waiting.Load(); n != 0 {
			t.Errorf("%d still wait after all was told", n)
			for e.crowded() || waiting.Load() > 0 { // so that they end
				sign(e.room)
				synctest.Wait()
			}
		}
		e.close()
		running.Wait()
		all.Wait()
	})
}

// TestDataWaits: what pages and mates say waits for OnEvent only up to so many bytes.
func TestDataWaits(t *testing.T) {
	const piece = 256 << 10
	e := newEvents(func(Event) {})
	for range maxEventBytes/piece - 1 {
		e.post(Data{Bytes: make([]byte, piece)})
	}
	if e.crowded() {
		t.Error("it is crowded too early")
	}
	e.post(Data{Data: make([]byte, piece)})
	if !e.crowded() {
		t.Error("bytes do not count")
	}
	e.close()
	e.run()
	if e.crowded() {
		t.Error("it is crowded after all was told")
	}
}
