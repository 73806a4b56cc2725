package node

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

func TestDrainWaitsForRelays(t *testing.T) {
	s := start(t)
	session := signIn(t, s, "early")
	target := relayCredential(t, s)
	relay, err := target.dial(t).Allocate()
	if err != nil {
		t.Fatal(err)
	}

	close(s.drain)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for status := 200; status != 503; {
		if status, _ = get(t, http.DefaultClient, s.row("web")+"/readyz"); ctx.Err() != nil {
			t.Fatal("still ready while draining")
		}
	}
	for { // a moment passes until new relays are refused, too
		late, err := target.connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		second, err := late.Allocate()
		if err == nil {
			_ = second.Close()
		}
		late.close()
		if err != nil {
			break
		}
	}
	select {
	case err := <-s.ended:
		t.Fatalf("the server ended with %v while a relay was there", err)
	default:
	}

	// Signaling goes on: a session that has lost its connection is carried on, and others may come.
	session.conn.NetConn().Close()
	session.comeBack(s, wire.ResumedReplayed)
	signIn(t, s, "late")
	if err := relay.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.wait(); err != nil {
		t.Errorf("the server ended with %v: %s", err, s.log.String())
	}
}

// startRelaying starts a node with a relay.
func startRelaying(t *testing.T, o Options, args ...string) *testNode {
	t.Helper()
	s := startWith(t, o, args...)
	if _, err := relayCredential(t, s).dial(t).Allocate(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDrainLeavesIdleRelays: a relay that carries nothing does not hold up a drain.
func TestDrainLeavesIdleRelays(t *testing.T) {
	s := startRelaying(t, Options{idleRelay: time.Nanosecond}, "--drain-timeout", "1h")
	close(s.drain)
	if err := s.wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if !strings.Contains(s.log.String(), "the relays that are left carry nothing") {
		t.Errorf("the log does not say why: %s", s.log.String())
	}
}

// TestDrainBeforeStop: after turnpike drain, a server that is told to stop waits for relays no longer than what is left of drain_timeout.
func TestDrainBeforeStop(t *testing.T) {
	s := startRelaying(t, Options{}, "--drain-timeout", "1h")
	noTime, cancel := context.WithCancel(t.Context())
	cancel()
	if active, err := NewAdminClient(s.node.cfg).Drain(noTime); err != nil || active != 1 {
		t.Fatalf("%d relays carry something, %v", active, err)
	}
	if status, _ := get(t, http.DefaultClient, s.row("web")+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d", status)
	}
	s.node.drainingSince.Store(new(time.Now().Add(-time.Hour)))
	close(s.drain)
	if err := s.wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if !strings.Contains(s.log.String(), "relays were still there at the end") {
		t.Errorf("it did not wait at all: %s", s.log.String())
	}
}

// TestRestart holds that a planned restart of a single node costs nobody the session: clients are told to come back, and
// the next process, on the same port, carries the session on at once.
func TestRestart(t *testing.T) {
	state := t.TempDir()
	s := start(t, "--state", state)
	c := signIn(t, s, "early")
	c.say(`{"type":"join","room":"standup","create":true}`)
	c.welcome.Resume = c.hear("resume").(*wire.NewToken).Token // of the room
	close(s.drain)
	c.hear("going-away")
	if _, _, err := c.conn.ReadMessage(); !websocket.IsCloseError(err, wire.CloseGoingAway) {
		t.Errorf("the connection ended with %v", err)
	}
	c.conn.Close()
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	next := start(t, "--state", state, "--http-listen", strings.TrimPrefix(s.row("web"), "http://"))
	if welcome := c.comeBack(next, wire.ResumedRestored); len(welcome.Rooms) != 1 {
		t.Errorf("the session is back in the rooms %v", welcome.Rooms)
	}
}

func TestDrainTimeout(t *testing.T) {
	s := startRelaying(t, Options{}, "--drain-timeout", "50ms")
	close(s.drain)
	if err := s.wait(); err != nil || !strings.Contains(s.log.String(), "relays were still there") {
		t.Errorf("the server ended with %v: %s", err, s.log.String())
	}
}

func TestStopEndsADrain(t *testing.T) {
	s := startRelaying(t, Options{}, "--drain-timeout", "1h")
	close(s.drain)
	s.cancel()
	if err := s.wait(); err != nil {
		t.Errorf("the server ended with %v: %s", err, s.log.String())
	}
}

// TestCloseTwice: Close may be called again, and has nothing to say then.
func TestCloseTwice(t *testing.T) {
	var log syncBuffer
	args := withDefaults([]string{"--state", filepath.Join(t.TempDir(), "state")})
	n, err := New(load(t, args...), Options{Processors: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Open(); err != nil {
		t.Error(err)
	}
	n.Close()
	n.Close()
	if strings.Contains(log.String(), "level=WARN") || strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("logged %s", log.String())
	}
}
