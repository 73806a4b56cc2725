package node

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// A drain does not wait for relays that have carried nothing for a while: two thirds of drain_timeout, since a relay may seem busy for that
// long from the first look on, within these bounds. Peers that use a relay check consent each six seconds (RFC 7675 §5.1); what else goes
// through NATs sends each half a minute.
const (
	shortestIdle = 10 * time.Second
	longestIdle  = 30 * time.Second
)

// idle is how long a relay that carries nothing holds up a drain.
func (n *Node) idle() time.Duration {
	return cmp.Or(n.options.idleRelay, min(max(n.cfg.DrainTimeout*2/3, shortestIdle), longestIdle))
}

const (
	drainInterval = 500 * time.Millisecond // between two looks of turnpike drain at whether the relays carry anything
	drainLook     = 5 * time.Second        // between two of a stopping server
	drainTick     = 100 * time.Millisecond // between two looks of a stopping server at whether relays are there
)

// relayCounts is the turnserver, as a drain needs it.
type relayCounts interface {
	Allocations() int
	Active(within time.Duration) int
}

// drain refuses new relays. Then it waits until the relays carry nothing any more, drain_timeout is over or ctx ends. Signaling goes
// on meanwhile: a client that is sent away now could come back only to this process, which has the port.
func (n *Node) drain(ctx context.Context, watchdog <-chan time.Time) {
	timeout := n.cfg.DrainTimeout
	if since := n.drainingSince.Load(); since != nil { // turnpike drain has waited for a part of it
		timeout = max(0, timeout-time.Since(*since))
	}
	n.log.Info("draining", "relays", n.turn.Allocations(), "timeout", timeout)
	n.turn.Drain()
	n.awaitRelays(ctx, timeout, n.turn, watchdog)
}

// awaitRelays waits until the relays carry nothing any more, the timeout is over or ctx ends.
func (n *Node) awaitRelays(ctx context.Context, timeout time.Duration, relays relayCounts, watchdog <-chan time.Time) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for ticks := 0; relays.Allocations() > 0; ticks++ {
		if ticks%int(drainLook/drainTick) == 0 && relays.Active(n.idle()) == 0 {
			n.log.Info("the relays that are left carry nothing; not waiting for them", "relays", relays.Allocations(), "for", n.idle())
			return
		}
		select {
		case <-ctx.Done():
			n.log.Info("relays were still there at the end", "relays", relays.Allocations())
			return
		case <-watchdog:
			n.alive()
		case <-tick.C:
		}
	}
}

// drainAnswer is how far a drain is.
type drainAnswer struct {
	Relays int `json:"relays"` // that are there
	Active int `json:"active"` // of which so many carry something
}

// postDrain takes no new relays from now on. Signaling goes on until the process is told to stop, which then waits for nobody.
func (n *Node) postDrain(w http.ResponseWriter, _ *http.Request) {
	if !n.turn.Draining() {
		n.log.Info("draining, as turnpike drain asks: no new relays until this server is started anew", "relays", n.turn.Allocations())
	}
	n.api.SetReady(false)
	n.turn.Drain()
	n.drainingSince.CompareAndSwap(nil, new(time.Now()))
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(drainAnswer{n.turn.Allocations(), n.turn.Active(n.idle())})
}

// Drain has the server take no new relays, and waits until those that are there carry nothing any more, or until ctx ends. It returns
// how many still do.
func (c *AdminClient) Drain(ctx context.Context) (active int, err error) {
	tick := time.NewTicker(drainInterval)
	defer tick.Stop()
	for {
		var answer drainAnswer
		if err := c.do(context.WithoutCancel(ctx), http.MethodPost, "/drain", &answer); err != nil {
			return active, err
		}
		active = answer.Active
		if active == 0 {
			return 0, nil
		}
		select {
		case <-ctx.Done():
			return active, nil
		case <-tick.C:
		}
	}
}
