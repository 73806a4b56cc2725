package rtclink

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// end is one end of a pair, with the queue of what it sends.
type end struct {
	*Link
	paths    chan link.Path
	messages chan link.Message

	mu     sync.Mutex
	filter func(wire.Payload) bool // what gets through; nil: everything
	queue  chan wire.Payload
	to     atomic.Pointer[end] // where it goes
}

// setFilter decides what of this end's signals gets through from now on.
func (e *end) setFilter(f func(wire.Payload) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.filter = f
}

func (e *end) passes(p wire.Payload) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.filter == nil || e.filter(p)
}

// loopback has pion use nothing but this machine.
func loopback(e *webrtc.SettingEngine) {
	e.SetIncludeLoopbackCandidate(true)
	e.SetIPFilter(func(ip net.IP) bool { return ip.Equal(net.IPv4(127, 0, 0, 1)) })
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
}

// newEnd makes one end, whose signals go to the queue.
func newEnd(t *testing.T, config link.Config) *end {
	t.Helper()
	e := &end{paths: make(chan link.Path, 64), messages: make(chan link.Message, 64), queue: make(chan wire.Payload, 1024)}
	config.Send = func(p wire.Payload) { e.queue <- p }
	config.OnPath = func(p link.Path) { e.paths <- p }
	config.OnMessage = func(m link.Message) { e.messages <- m }
	if testing.Verbose() {
		config.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	l, err := newLink(config, loopback)
	if err != nil {
		t.Fatal(err)
	}
	e.Link = l
	t.Cleanup(func() { l.Close() })
	return e
}

// newPair makes two ends, the first of which offers. Nothing is delivered before connect.
func newPair(t *testing.T) (offering, answering *end) {
	t.Helper()
	noLeaks(t)
	return newEnd(t, link.Config{Offers: true}), newEnd(t, link.Config{Polite: true})
}

// connect delivers what one end sends to another from now on, in order.
func connect(t *testing.T, from, to *end) {
	if from.to.Swap(to) != nil {
		return
	}
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case p := <-from.queue:
				if from.passes(p) {
					from.to.Load().Receive(p)
				}
			case <-done:
				return
			}
		}
	})
	t.Cleanup(func() {
		close(done)
		work.Wait()
	})
}

// connectedPair returns two ends whose path works.
func connectedPair(t *testing.T) (offering, answering *end) {
	t.Helper()
	a, b := newPair(t)
	connect(t, a, b)
	connect(t, b, a)
	return a, b
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// streams opens a stream from one end to the other.
func streams(t *testing.T, from, to *end, name string) (opened, accepted link.Stream) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	opened, err := from.Open(ctx, name)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	accepted, err = to.Accept(ctx)
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	if accepted.Name() != name {
		t.Fatalf("the stream that came is %q, not %q", accepted.Name(), name)
	}
	return opened, accepted
}

// noLeaks fails the test if goroutines of this package or of pion are left when it is over.
func noLeaks(t *testing.T) {
	t.Cleanup(func() {
		var left string
		eventually(t, func() error {
			buffer := make([]byte, 1<<20)
			left = ""
			for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
				if (strings.Contains(stack, "pion/") || strings.Contains(stack, "rtclink.")) && !strings.Contains(stack, "testing.tRunner") {
					left += stack + "\n\n"
				}
			}
			if left != "" {
				return fmt.Errorf("goroutines are left:\n%s", left)
			}
			return nil
		})
	})
}

// eventually waits until something holds.
func eventually(t *testing.T, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for ; ; <-again.C {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
