package signal

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// fault panics where it is called while it is set.
type fault struct{ atomic.Bool }

func (b *fault) here() {
	if b.CompareAndSwap(true, false) {
		panic("broken for a test")
	}
}

// faultyLevel is a log that panics when it is asked for its level. The server does that under its lock.
type faultyLevel struct {
	slog.Handler
	*fault
}

func (l faultyLevel) Enabled(context.Context, slog.Level) bool {
	l.here()
	return false
}

// faultyLog is a log that panics on one message.
type faultyLog struct {
	slog.Handler
	message string
	*fault
}

func (l faultyLog) Enabled(context.Context, slog.Level) bool { return true }

func (l faultyLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == l.message {
		l.here()
	}
	return nil
}

func (srv *Server) panics() (n uint64) {
	for _, c := range srv.Counters() {
		if c.Name == "panics" {
			n += c.Value
		}
	}
	return n
}

// TestPanicEndsOneSession holds that a panic, also one under a lock, ends one session and its connection, is counted,
// and that all others go on.
func TestPanicEndsOneSession(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Config, *fault)
		act  func(t *testing.T, h *harness, b *fault, victim, mate *client)
	}{
		{"a callback in hello", func(cfg *Config, b *fault) {
			cfg.VerifyTicket = func(token string) (auth.Ticket, error) {
				b.here()
				return verifyTestTicket(token)
			}
		}, func(t *testing.T, h *harness, b *fault, victim, mate *client) {
			late := h.dial()
			b.Store(true)
			late.send(msg{"type": "hello", "ticket": testTicket("late", "late", auth.RoleMember)})
			late.expectClose(wire.CloseInternal)
		}},
		{"a callback after a kick", func(cfg *Config, b *fault) { cfg.EndRelays = func(string) { b.here() } },
			func(t *testing.T, h *harness, b *fault, victim, mate *client) {
				b.Store(true)
				victim.send(msg{"type": "kick", "room": "room", "session": mate.session})
				victim.expectClose(wire.CloseInternal)
			}},
		{"under the lock", func(cfg *Config, b *fault) { cfg.Log = slog.New(faultyLevel{slog.DiscardHandler, b}) },
			func(t *testing.T, h *harness, b *fault, victim, mate *client) {
				b.Store(true)
				victim.send(msg{"type": "kick", "room": "room", "session": mate.session})
				victim.expectClose(wire.CloseInternal)
			}},
		{"in the end of a session", func(cfg *Config, b *fault) {
			cfg.Log = slog.New(faultyLog{slog.DiscardHandler, "session ended", b})
		}, func(t *testing.T, h *harness, b *fault, victim, mate *client) {
			b.Store(true)
			victim.send(msg{"type": "bye"})
			victim.expectClose(wire.CloseInternal)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b fault
			h := newHarness(t, func(cfg *Config) { tc.edit(cfg, &b) })
			other := h.member("other")
			victim, mate := h.pair("room")
			tc.act(t, h, &b, victim, mate)
			if b.Load() || h.srv.panics() != 1 {
				t.Fatalf("%d panics were counted", h.srv.panics())
			}
			other.send(msg{"type": "join", "id": "after", "room": "after", "create": true})
			for m := other.skipTo("joined"); m["ref"] != "after"; m = other.skipTo("joined") {
			}
			h.member("newcomer").join("after")
			if len(h.ended) > 1 {
				t.Error("relays of others ended")
			}
		})
	}
}

// TestPanicInSweep holds that a panic in what the server does unasked ends the session that it was for.
func TestPanicInSweep(t *testing.T) {
	t.Run("renewal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var b fault
			h := newMemoryHarness(t, func(cfg *Config) {
				cfg.ICEServers = func(session string, u auth.User, host string, until time.Time) ([]wire.ICEServer, time.Time) {
					b.here()
					return testICEServers(session, u, host, until)
				}
			})
			victim := h.guest("victim")
			b.Store(true)
			victim.expectClose(wire.CloseInternal)
			if h.srv.panics() != 1 {
				t.Errorf("%d panics were counted", h.srv.panics())
			}
			h.guest("other").join("room")
		})
	})
	t.Run("absence", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var b fault
			h := newMemoryHarness(t, func(cfg *Config) {
				cfg.ResumeWindow = 10 * time.Second
				cfg.Log = slog.New(faultyLevel{slog.DiscardHandler, &b})
			})
			victim, mate := h.pair("room")
			b.Store(true)
			victim.conn.NetConn().Close()
			mate.skipTo("peer-left")
			mate.expect("host")
			time.Sleep(2 * sweepInterval)
			mate.send(msg{"type": "join", "room": "another", "create": true})
			mate.skipTo("joined")
			if stats := h.srv.Stats(); stats.Away != 0 || stats.Sessions != 1 || h.srv.panics() != 1 {
				t.Errorf("%+v is left after %d panics", stats, h.srv.panics())
			}
		})
	})
}
