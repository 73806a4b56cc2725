package signal

import (
	"time"

	"example.org/turnpike/signal/wire"
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
	walk(srv, &srv.conns, func(c *conn) (pings bool) {
		renewals, pings = srv.sweepConn(c, renewals, now)
		return pings
	})
	walk(srv, &srv.away, func(s *session) bool {
		srv.sweepAbsent(s, now)
		renewals = s.dueEnd(renewals, now)
		return false
	})
	walk(srv, &srv.spent.all, func(use *userUse) bool {
		srv.spent.forgetIdle(use, now, &srv.cfg.Limits)
		return false
	})
	for more := true; more; {
		more = srv.sweepQueues(now)
	}
	return renewals
}

// sweepQueues does a part of what is due and stands in the order of its time.
func (srv *Server) sweepQueues(now time.Time) (more bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	more = srv.sweepRinging(now, sweptAtOnce)
	more = srv.addrs.forgetIdle(now, &srv.cfg.Limits, sweptAtOnce) || more
	return srv.lingering.expire(now, sweptAtOnce) || more
}

// sweepConn does what is due for a connection, and appends the renewals that are. It reports whether it pings the client.
func (srv *Server) sweepConn(c *conn, renewals []renewal, now time.Time) (all []renewal, pings bool) {
	all = renewals
	defer srv.shutOnPanic(c)
	if c.session == nil && now.Sub(c.opened) >= wire.HelloTimeout {
		c.Shut(wire.CloseHelloTimeout, wire.ReasonGone)
	} else {
		pings = c.KeepAlive(now)
	}
	s := c.session
	if s == nil || s.conn != c {
		return all, pings
	}
	s.stream.rest()
	return s.dueRenewals(renewals, now), pings
}

// sweepRinging ends calls that have rung for too long, at most so many. more says that there are others. The caller holds
// mu.
func (srv *Server) sweepRinging(now time.Time, most int) (more bool) {
	for ; len(srv.ringing) > 0 && !now.Before(srv.ringing[0].ringsUntil); most-- {
		if most == 0 {
			return true
		}
		c := srv.ringing[0]
		srv.ringing[0] = nil
		srv.ringing = srv.ringing[1:]
		srv.sweepCall(c)
	}
	return false
}

// sweepCall ends a call that has rung for too long, unless it has been answered, or is over.
func (srv *Server) sweepCall(c *call) {
	defer srv.forgetOnPanic(c)
	if c.room == nil && srv.calls[c.id] == c {
		srv.stopRinging(c, wire.CancelTimeout)
	}
}

func isDue(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
