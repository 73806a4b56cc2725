package signaling

import (
	"context"
	"time"

	"example.org/turnpike/signal/wire"
)

// renewAfter is the part of a session's life after which it asks for a new ticket.
const renewAfter = 0.75

// ends notes that the session ends in so long; zero: never. In good time it gets a new ticket and refreshes the session. If that
// fails, it tries again until the session ends; then a new session begins.
func (s *Signaling) ends(in time.Duration) {
	s.stopRenew()
	s.stopRenew = func() {}
	if in <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(s.life)
	s.stopRenew = cancel
	s.others.Go(func() { s.renew(ctx, in) })
}

func (s *Signaling) renew(ctx context.Context, in time.Duration) {
	wait := time.Duration(float64(in) * renewAfter)
	if !sleep(ctx, wait) {
		return
	}
	if s.cfg.Renew == nil {
		s.cfg.Handler.Expiring((in - wait).Round(time.Second))
		return
	}
	for attempt := 0; ; attempt++ {
		ticket, err := s.cfg.Renew(ctx)
		if err == nil {
			_, err = s.Request(ctx, &wire.Refresh{Ticket: ticket})
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		s.cfg.Logger.Warn("the session could not be refreshed; trying again", "err", err)
		if !sleep(ctx, backoff(attempt, s.cfg.Random)) {
			return
		}
	}
}

// sleep reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
