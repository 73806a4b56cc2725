package signal

import (
	"context"
	"log/slog"
	"sync"
)

// memoryLock guards memory only. What its holder wants to log is written once the lock is free: a log that cannot be
// written must hold up no other session.
type memoryLock struct {
	sync.Mutex
	// Guarded by itself.
	logged []func()
	held   uint64 // so often; tests see by it that long work is done in parts
}

// Unlock frees the lock, and then writes what was logged.
func (l *memoryLock) Unlock() {
	logged := l.logged
	l.logged = nil
	l.held++
	l.Mutex.Unlock()
	for _, write := range logged {
		write()
	}
}

// logLocked logs for a caller that holds mu.
func (srv *Server) logLocked(level slog.Level, message string, args ...any) {
	if log := srv.cfg.Log; log.Enabled(context.Background(), level) {
		srv.mu.logged = append(srv.mu.logged, func() { log.Log(context.Background(), level, message, args...) })
	}
}
