package signal

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
)

// lockedLog reports what is logged while the server's lock is held.
type lockedLog struct {
	slog.Handler
	srv *atomic.Pointer[Server]
}

func (l lockedLog) Enabled(context.Context, slog.Level) bool { return true }

func (l lockedLog) Handle(_ context.Context, r slog.Record) error {
	srv := l.srv.Load()
	if srv == nil {
		return nil
	}
	free := make(chan struct{})
	go func() {
		defer close(free)
		srv.mu.Lock() // for ever, if the one that logs holds it
		defer srv.mu.Unlock()
	}()
	<-free
	return nil
}

// TestLogsUnlocked holds that the server logs with no lock held that another session waits for: this test would never
// end.
func TestLogsUnlocked(t *testing.T) {
	var srv atomic.Pointer[Server]
	h := newHarness(t, func(cfg *Config) { cfg.Log = slog.New(lockedLog{slog.DiscardHandler, &srv}) })
	srv.Store(h.srv)
	a, b := h.pair("room")
	a.send(msg{"type": "kick", "room": "room", "session": b.session})
	a.skipTo("kicked")
	b.leaveForGood()
	a.leaveForGood()
}
