package node

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/config"
)

// TestNodeRemembersUsernames holds that a node finds a username that signaling handed out by its hash, with which
// clients may sign in.
func TestNodeRemembersUsernames(t *testing.T) {
	cfg := config.Default(t.TempDir())
	cfg.TURN.RelayAddresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	n, err := New(cfg, Options{Processors: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.turn.Close(); err != nil {
			t.Error(err)
		}
		if err := n.signal.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	username := n.credentials.MintSession("sess1", "turnpike:ann", time.Hour).Username
	hash := n.credentials.Userhash(username)
	if got, ok := n.credentials.Username(hash[:]); !ok || got != username {
		t.Errorf("the hash of %s is of %q, %v", username, got, ok)
	}
	if n.credentials.KnowsUsernames() {
		t.Error("all are known, although those of the process before may be good")
	}
}

// TestTCPRelaying holds that a node relays TCP unless the configuration says otherwise.
func TestTCPRelaying(t *testing.T) {
	for _, on := range []bool{true, false} {
		s := start(t, "--turn-listen", "tcp://127.0.0.1:0", fmt.Sprintf("--turn-tcp-relaying=%v", on))
		relay, err := relayCredential(t, s).dial(t).AllocateTCP()
		if (err == nil) != on {
			t.Errorf("turn.tcp_relaying is %v: %v", on, err)
		}
		if err == nil {
			_ = relay.Close()
		}
	}
}

func TestPages(t *testing.T) {
	s := start(t)
	for path, want := range map[string]string{"/": "<!doctype html>", "/r/standup": "<!doctype html>", "/healthz": "ok"} {
		if status, body := get(t, http.DefaultClient, s.row("web")+path); status != 200 || !strings.HasPrefix(strings.ToLower(body), want) {
			t.Errorf("%s: %d %.40q, want %q", path, status, body, want)
		}
	}
}
