package signal

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"turnpike/signal/wire"
)

// drainStep is the least time between the closing of two connections while the server goes away. It bounds how many
// clients a second come back, to another server or to this one's successor.
const drainStep = 5 * time.Millisecond

// Shutdown sends every client away, and waits for all goroutines. From its beginning on it refuses new clients with
// 503. It tells each client at once when its time will come, and then closes the connection with 1001; until then the
// client goes on as before. The times are drainStep apart, or closer if nine tenths of the time until the deadline of
// ctx are too short for that. When ctx ends, Shutdown cuts off the connections that are left, and returns the context's
// error.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.mu.Lock()
	first := !srv.draining
	srv.draining = true
	all := slices.Collect(maps.Keys(srv.conns))
	srv.mu.Unlock()
	if first {
		srv.sendAway(ctx, all)
		close(srv.stop)
	} else {
		for _, c := range all {
			c.Shut(wire.CloseGoingAway, wire.ReasonShutdown)
		}
	}

	done := make(chan struct{})
	go func() {
		srv.sweeping.Wait() // first, as the sweep starts writers
		srv.engine.Close()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	srv.mu.Lock()
	left := slices.Collect(maps.Keys(srv.conns))
	srv.mu.Unlock()
	for _, c := range left {
		c.Close()
	}
	<-done
	return ctx.Err()
}

// sendAway closes the connections one after the other, in random order.
func (srv *Server) sendAway(ctx context.Context, all []*conn) {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	step := drainStep
	if deadline, ok := ctx.Deadline(); ok && len(all) > 0 {
		step = min(step, time.Until(deadline)*9/10/time.Duration(len(all)))
	}
	srv.mu.Lock()
	for i, c := range all {
		if c.session != nil && c.session.conn == c {
			after := time.Duration(i) * step
			c.session.tell(&wire.GoingAway{RetryAfter: int((after + retryAfter).Round(time.Second).Seconds())})
		}
	}
	srv.mu.Unlock()
	if len(all) == 0 {
		return
	}
	tick := time.NewTicker(max(step, time.Microsecond))
	defer tick.Stop()
	for _, c := range all {
		c.Shut(wire.CloseGoingAway, wire.ReasonShutdown)
		select {
		case <-tick.C:
		case <-ctx.Done(): // the rest at once
			tick.Reset(time.Microsecond)
		}
	}
}
