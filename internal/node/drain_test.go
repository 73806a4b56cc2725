package node

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// idleSince is a relay that has carried nothing since a moment.
type idleSince time.Time

func (idleSince) Allocations() int { return 1 }

func (i idleSince) Active(within time.Duration) int {
	if time.Since(time.Time(i)) < within {
		return 1
	}
	return 0
}

// TestIdleRelaysEndInTime: with the default drain_timeout, a relay that seems to have carried something just before a drain, and carries
// nothing more, does not take the whole time.
func TestIdleRelaysEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		n := &Node{log: slog.New(slog.NewTextHandler(&log, nil))}
		timeout, start := load(t).DrainTimeout, time.Now()
		n.awaitRelays(t.Context(), timeout, idleSince(start), nil)
		if took := time.Since(start); took >= timeout || !strings.Contains(log.String(), "the relays that are left carry nothing") {
			t.Errorf("a drain of %v ended after %v: %s", timeout, took, log.String())
		}
		if idleRelay+drainInterval >= timeout {
			t.Errorf("turnpike drain gives up after %v, before it can hear that nothing is left", timeout)
		}
	})
}

// TestBusyRelaysAreWaitedFor: what still carries something is waited for until drain_timeout is over, however short that is.
func TestBusyRelaysAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, timeout := range []time.Duration{time.Second, time.Hour} {
			var log syncBuffer
			n := &Node{log: slog.New(slog.NewTextHandler(&log, nil))}
			start := time.Now()
			n.awaitRelays(t.Context(), timeout, idleSince(start.Add(2*time.Hour)), nil)
			if took := time.Since(start); took != timeout || !strings.Contains(log.String(), "relays were still there at the end") {
				t.Errorf("a drain of %v ended after %v: %s", timeout, took, log.String())
			}
		}
	})
}
