package main

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"turnpike/internal/config"
	"turnpike/turnserver"
)

// TestNodeRemembersUsernames: what signaling hands out can be found by its hash, which clients may sign in with.
func TestNodeRemembersUsernames(t *testing.T) {
	cfg := config.Default(t.TempDir())
	cfg.TURN.RelayAddresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	n, err := newNode(cfg, 1, slog.New(slog.DiscardHandler))
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
	username := n.creds.MintSession("sess1", "turnpike:ann", time.Hour).Username
	hash := n.creds.Userhash(username)
	if got, ok := n.creds.Username(hash[:]); !ok || got != username {
		t.Errorf("the hash of %s is of %q, %v", username, got, ok)
	}
	if n.creds.KnowsUsernames() {
		t.Error("all are known, although those of the process before may be good")
	}
}

func TestRelayAddresses(t *testing.T) {
	found := func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("10.0.0.5")}, nil }
	none := func() ([]netip.Addr, error) { return nil, nil }

	cfg := config.Default("state")
	cfg.TURN.ExternalAddresses = map[netip.Addr]netip.Addr{netip.MustParseAddr("10.0.0.5"): netip.MustParseAddr("203.0.113.9")}
	got, err := relayAddresses(cfg, found)
	want := []turnserver.RelayAddress{{Local: netip.MustParseAddr("10.0.0.5"), External: netip.MustParseAddr("203.0.113.9")}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("behind 1:1 NAT: %v, %v; want %v", got, err, want)
	}

	cfg.TURN.ExternalAddresses = map[netip.Addr]netip.Addr{netip.MustParseAddr("10.0.0.6"): netip.MustParseAddr("203.0.113.9")}
	if _, err := relayAddresses(cfg, found); err == nil || !strings.HasPrefix(err.Error(), `turn.external_addresses: "10.0.0.6" is not an address that this server relays from`) {
		t.Errorf("a wrong external address: %v", err)
	}

	cfg = config.Default("state")
	if _, err := relayAddresses(cfg, none); err == nil || !strings.HasPrefix(err.Error(), "turn.relay_addresses: no relay address found") {
		t.Errorf("no default route: %v", err)
	}
	cfg.TURN.RelayAddresses = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	if got, err := relayAddresses(cfg, none); err != nil || len(got) != 1 || got[0].External != got[0].Local {
		t.Errorf("configured: %v, %v", got, err)
	}
}
