package node

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"turnpike/internal/config"
	"turnpike/turnserver"
)

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
