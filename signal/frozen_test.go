package signal

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/signal/wire"
)

// TestFrozenOverTCP floods a receiver that reads nothing, over real sockets with the kernel's buffers between. The
// receiver must end as slow, and take no more memory than its queue. Its sender is never held up, and another pair hear
// each other all the while.
func TestFrozenOverTCP(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		many := Rate{PerSecond: 1e6, Burst: 1e6}
		cfg.Limits.Messages, cfg.Limits.UserMessages = many, many
	})
	sender, frozen := h.pair("frozen")
	one, other := h.pair("beside")
	text := strings.Repeat("x", 60<<10)

	before := heapInUse()
	grown := int64(0)
	gone := make(chan time.Time, 1)
	go func() { // the sender learns of its mate's end only if it reads
		for {
			m, err := sender.read()
			if err != nil || m["type"] == "peer-left" {
				if err == nil && m["reason"] != wire.ReasonSlow {
					t.Errorf("the frozen one left: %v", m)
				}
				gone <- time.Now()
				return
			}
		}
	}()
	deadline := time.Now().Add(h.patience)
	for sent := 0; len(gone) == 0; sent++ {
		if time.Now().After(deadline) {
			t.Fatalf("after %d messages the frozen receiver is still there", sent)
		}
		sender.send(msg{"type": "signal", "room": "frozen", "to": frozen.session, "description": msg{"type": "offer", "sdp": text}})
		if sent%50 == 0 {
			one.signalTo(other, "beside", "")
			other.expect("signal", "from", one.session)
			grown = max(grown, heapInUse()-before)
		}
	}
	// A queue, and what readers and writers hold; the race detector's own memory does not count.
	if most := int64(8 << 20); grown > most {
		t.Errorf("the heap grew by %d bytes, with a queue of %d", grown, h.srv.cfg.Limits.QueueBytes)
	}
	for _, c := range h.srv.Counters() {
		if c.Name == "closes" && c.Reason == wire.CloseReason(wire.CloseSlow) && c.Value != 1 {
			t.Errorf("%d sessions were closed as slow", c.Value)
		}
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
