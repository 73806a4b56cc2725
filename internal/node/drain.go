package node

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// drainInterval is the time between two looks at whether the relays carry anything.
const drainInterval = 500 * time.Millisecond

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
	_ = json.NewEncoder(w).Encode(drainAnswer{n.turn.Allocations(), n.turn.Active(n.options.idle())})
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
