package turnserver

import (
	"sync"
	"sync/atomic"
	"time"

	"turnpike/turnserver/udpio"
)

// faults are what has failed and what has been said of it.
type faults struct {
	dead atomic.Pointer[string] // a part that has failed for good, or nil

	mu     sync.Mutex
	warned map[string]clock // guarded by mu; when each warning was last logged
}

// warnInterval is how often the same warning is logged.
const warnInterval = time.Minute

// warnFull logs what many clients can bring about, such as that capacity is used up: each message at most once a
// minute. There are as many messages as there are calls.
func (s *Server) warnFull(msg string, args ...any) {
	if s.faults.mayWarn(msg, s.now()) {
		s.log.Warn(msg, args...)
	}
}

func (f *faults) mayWarn(msg string, now clock) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, ok := f.warned[msg]
	if ok && now-last < clock(warnInterval) {
		return false
	}
	if f.warned == nil {
		f.warned = make(map[string]clock)
	}
	f.warned[msg] = now
	return true
}

// lose notes that a part has failed for good. The server goes on without it, and is no longer ready.
func (s *Server) lose(part string) { s.faults.dead.CompareAndSwap(nil, &part) }

// Unready says why clients should rather go to another server, or returns "".
func (s *Server) Unready() string {
	if part := s.faults.dead.Load(); part != nil {
		return *part + "; start the server anew"
	}
	if !s.relays.Load().ready() {
		return "this host has none of its relay addresses"
	}
	return ""
}

// hintBuffers logs once how to give bursts more room.
func (s *Server) hintBuffers() {
	if s.hinted.CompareAndSwap(false, true) {
		s.log.Info("turn: the system's limit of socket buffers is small for bursts of packets; raise net.core.rmem_max and net.core.wmem_max with sysctl",
			"wanted", udpio.ListenerBuffer)
	}
}
