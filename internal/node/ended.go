package node

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
)

const (
	// endedInterval bounds what a crash forgets: a kick, a bye, a lock.
	endedInterval = 500 * time.Millisecond

	endedPruneInterval = time.Hour
)

// ended keeps what resume tokens must not bring back. Signaling changes it in memory; one goroutine writes it.
type ended struct {
	*auth.Ended
	file     *auth.EndedFile
	log      *slog.Logger
	failures atomic.Uint64 // to write it
}

func openEnded(cfg *config.Config, log *slog.Logger) (*ended, error) {
	e := &ended{Ended: auth.NewEnded(time.Now), log: log}
	var err error
	if e.file, err = auth.OpenEndedFile(cfg.EndedFile(), e.Ended, log); err != nil {
		return nil, stateProblem(cfg, err)
	}
	return e, nil
}

// keep writes what has ended until ctx ends. While it cannot be written, the server goes on, and tries again.
func (e *ended) keep(ctx context.Context) {
	tick, prune := time.NewTicker(endedInterval), time.NewTicker(endedPruneInterval)
	defer tick.Stop()
	defer prune.Stop()
	write, failing := e.file.Prune, false
	for {
		err := write()
		if err != nil {
			e.failures.Add(1)
		}
		if err != nil && !failing { // once, not each time
			e.log.Error("kicks, locks and ended sessions are not kept over a restart: they cannot be written", "err", err)
		}
		if err == nil && failing {
			e.log.Info("kicks, locks and ended sessions are kept over a restart again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-prune.C:
			write = e.file.Prune
		case <-tick.C:
			write = e.file.Flush
		}
	}
}

// close writes the rest.
func (e *ended) close() {
	if err := e.file.Close(); err != nil {
		e.log.Error("what has just ended is forgotten over a restart: it cannot be written", "err", err)
	}
}
