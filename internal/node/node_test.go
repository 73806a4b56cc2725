package node

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"turnpike/internal/config"
)

// TestNodeRemembersUsernames: what signaling hands out can be found by its hash, which clients may sign in with.
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
