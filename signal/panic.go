package signal

import (
	"log/slog"
	"runtime/debug"

	"example.org/turnpike/signal/wire"
)

// Where a panic was, for the counter. A panic ends one session, and not the process, whose relays have done nothing
// wrong.
const (
	panickedConn    = "connection" // in what a client sent, or in what it was to get
	panickedSession = "session"    // in what the server did for a session unasked
	panickedCall    = "call"       // in the end of a call that rang for too long
)

// HandlePanic counts and logs a panic, after which the socket is closed with 1011, and the session ends.
func (c *conn) HandlePanic(value any, stack []byte) {
	c.srv.counters.panics.count(panickedConn)
	c.srv.cfg.Log.Error("a panic ended one connection", "addr", c.use.prefix, "panic", value, "stack", string(stack))
}

// notePanic counts and logs a panic. The caller holds mu.
func (srv *Server) notePanic(where string, value any, who ...any) {
	srv.counters.panics.count(where)
	srv.logLocked(slog.LevelError, "a panic ended one session", append(who, "panic", value, "stack", string(debug.Stack()))...)
}

// shutOnPanic must be deferred around work for a connection. A panic in it closes the connection. The caller holds mu.
func (srv *Server) shutOnPanic(c *conn) {
	if value := recover(); value != nil {
		srv.notePanic(panickedSession, value, "addr", c.use.prefix)
		c.Shut(wire.CloseInternal, wire.ReasonInternal)
	}
}

// endOnPanic must be deferred around work for a session. A panic in it ends the session and its connection. The caller
// holds mu.
func (srv *Server) endOnPanic(s *session) {
	if value := recover(); value != nil {
		srv.notePanic(panickedSession, value, "session", s.id)
		srv.endFailed(s)
	}
}

// endUnlockedOnPanic is endOnPanic for a caller that does not hold mu.
func (srv *Server) endUnlockedOnPanic(s *session) {
	if value := recover(); value != nil {
		srv.mu.Lock()
		defer srv.mu.Unlock()
		srv.notePanic(panickedSession, value, "session", s.id)
		srv.endFailed(s)
	}
}

// endFailed ends a session after a panic; of one that has a connection, the reader ends it. The caller holds mu.
func (srv *Server) endFailed(s *session) {
	if s.conn != nil {
		s.conn.Shut(wire.CloseInternal, wire.ReasonInternal)
		return
	}
	srv.away.remove(s) // so that the sweep does not meet it again
	defer func() {
		if value := recover(); value != nil { // a panic may have left it in any state
			srv.notePanic(panickedSession, value, "session", s.id)
		}
	}()
	srv.endLocked(s, wire.ReasonInternal)
}

// forgetOnPanic is endOnPanic for a call.
func (srv *Server) forgetOnPanic(c *call) {
	if value := recover(); value != nil {
		srv.notePanic(panickedCall, value, "call", c.id)
		delete(srv.calls, c.id)
	}
}
