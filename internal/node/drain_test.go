package node

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// drained is one relay, which carries something now and then until a moment.
type drained struct {
	start time.Time
	every time.Duration
	until time.Time
}

func (drained) Allocations() int { return 1 }

func (d drained) Active(within time.Duration) int {
	last := time.Now()
	if last.After(d.until) {
		last = d.until
	}
	if d.every > 0 {
		last = d.start.Add(last.Sub(d.start).Truncate(d.every))
	}
	if time.Since(last) < within {
		return 1
	}
	return 0
}

// TestIdleRelaysEndInTime: a relay that seems to have carried something just before a drain, and carries nothing more, does not take the
// whole of drain_timeout. One that carries something as seldom as NATs allow is waited for.
func TestIdleRelaysEndInTime(t *testing.T) {
	for _, row := range []struct {
		timeout string // empty: by default
		every   time.Duration
		whole   bool
	}{
		{"", 0, false}, {"15s", 0, false}, {"20s", 0, false}, {"45s", 0, false}, {"1h", 0, false},
		{"", 6 * time.Second, true}, {"3s", 6 * time.Second, true}, {"6s", 6 * time.Second, true}, {"10s", 6 * time.Second, true}, {"15s", 6 * time.Second, true}, {"1h", 25 * time.Second, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var args []string
			if row.timeout != "" {
				args = []string{"--drain-timeout", row.timeout}
			}
			var log syncBuffer
			n := &Node{cfg: load(t, args...), log: slog.New(slog.NewTextHandler(&log, nil))}
			relay, timeout := drained{start: time.Now(), every: row.every, until: time.Now()}, n.cfg.DrainTimeout
			if row.every > 0 {
				relay.until = relay.start.Add(2 * time.Hour)
			}
			n.awaitRelays(t.Context(), timeout, relay, nil)
			took, said := time.Since(relay.start), "the relays that are left carry nothing"
			if row.whole {
				said = "relays were still there at the end"
			}
			if (took >= timeout) != row.whole || !strings.Contains(log.String(), said) {
				t.Errorf("a drain of %v, with a packet each %v, ended after %v: %s", timeout, row.every, took, log.String())
			}
			if n.idle()+drainInterval >= timeout && timeout >= 15*time.Second {
				t.Errorf("turnpike drain gives up after %v, before it can hear that nothing is left", timeout)
			}
		})
	}
}
