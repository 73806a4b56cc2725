package signal

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"example.org/turnpike/signal/wire"
)

const (
	// returnStep is the time between two clients that come back, to another server or to this one's successor. It bounds
	// how many do so a second.
	returnStep = time.Millisecond
	// returnSpread bounds the time until the last comes back: room mates take each other for gone after the resume window.
	returnSpread = 20 * time.Second
)

// Shutdown tells every client when to come back, closes the connections with 1001, and waits for all goroutines. It
// refuses new clients with 503, so it belongs at the very end of a planned stop: until then sessions go on, and clients
// that come back are let in. When ctx ends, Shutdown cuts off the connections that are left, and returns the context's
// error.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.mu.Lock()
	first := !srv.draining
	srv.draining = true
	all := slices.Clone(srv.conns.all)
	srv.mu.Unlock()
	if first {
		srv.sendAway(all)
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
	left := slices.Clone(srv.conns.all)
	srv.mu.Unlock()
	for _, c := range left {
		c.Close()
	}
	<-done
	return ctx.Err()
}

// sendAway closes the connections, and tells their clients to come back one after the other, in random order.
func (srv *Server) sendAway(all []*conn) {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	step := min(returnStep, returnSpread/time.Duration(max(len(all), 1)))
	srv.mu.Lock()
	carries := make([]*session, len(all))
	for i, c := range all {
		if c.session != nil && c.session.conn == c {
			carries[i] = c.session
		}
	}
	srv.mu.Unlock()
	for i, c := range all {
		if s := carries[i]; s != nil {
			after := time.Duration(i) * step
			s.tell(&wire.GoingAway{RetryAfter: int((after + retryAfter).Round(time.Second).Seconds())})
		}
		c.Shut(wire.CloseGoingAway, wire.ReasonShutdown)
	}
}

// goingAway answers a hello that comes too late.
func goingAway() *wire.Error {
	return &wire.Error{Code: wire.CodeInternal, Message: "The server is going away; come back.", RetryAfter: int(retryAfter.Seconds())}
}
