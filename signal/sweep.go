package signal

import (
	"maps"
	"slices"
	"time"

	"turnpike/signal/wire"
)

const (
	// sweepInterval is how often the sweep looks for what is due.
	sweepInterval = time.Second
	// sweptAtOnce is how many connections it looks at before others get the lock.
	sweptAtOnce = 32
)

// sweepUntilStopped sweeps every second, and does renewals in between.
func (srv *Server) sweepUntilStopped() {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	var renewals []renewal
	more := time.NewTimer(renewalInterval)
	defer more.Stop()
	for {
		select {
		case <-srv.stop:
			return
		case now := <-tick.C:
			renewals = srv.sweep(renewals, now)
		case <-more.C:
		}
		if renewals = srv.renewSome(renewals); renewals != nil {
			more.Reset(renewalInterval)
		}
	}
}

// sweep does what is due; it is the only clock of all sessions and calls. It appends the renewals that are due.
func (srv *Server) sweep(renewals []renewal, now time.Time) []renewal {
	for some := range slices.Chunk(srv.openConns(), sweptAtOnce) {
		renewals = srv.sweepConns(some, renewals, now)
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.sweepAway(now)
	for _, c := range srv.calls {
		srv.sweepCall(c, now)
	}
	srv.addrs.forgetIdle(now, &srv.cfg.Limits)
	srv.forgetSpent(now)
	srv.lingering.expire(now)
	return renewals
}

func (srv *Server) openConns() []*conn {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return slices.AppendSeq(make([]*conn, 0, len(srv.conns)), maps.Keys(srv.conns))
}

func (srv *Server) sweepConns(some []*conn, renewals []renewal, now time.Time) []renewal {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, c := range some {
		renewals = srv.sweepConn(c, renewals, now)
	}
	return renewals
}

// sweepConn does what is due for a connection, and appends the renewals that are.
func (srv *Server) sweepConn(c *conn, renewals []renewal, now time.Time) (all []renewal) {
	all = renewals
	defer srv.shutOnPanic(c)
	if c.session == nil && now.Sub(c.opened) >= wire.HelloTimeout {
		c.Shut(wire.CloseHelloTimeout, wire.ReasonGone)
	} else {
		c.KeepAlive(now)
	}
	s := c.session
	if s == nil || s.conn != c {
		return all
	}
	s.stream.rest()
	return s.dueRenewals(renewals, now)
}

// sweepCall ends a call that has rung for too long.
func (srv *Server) sweepCall(c *call, now time.Time) {
	defer srv.forgetOnPanic(c)
	if c.room == nil && !now.Before(c.ringsUntil) {
		srv.stopRinging(c, wire.CancelTimeout)
	}
}

func isDue(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
