package node

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/turnserver"
)

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// finderOn makes a finder for a host with these addresses.
func finderOn(cfg *config.Config, found ...string) *relayFinder {
	f := newRelayFinder(cfg, slog.New(slog.DiscardHandler))
	f.routed = func() []netip.Addr { return addrs(found...) }
	f.find = func() ([]netip.Addr, error) { return addrs(found...), nil }
	f.lookUp = func(context.Context, string, string) ([]netip.Addr, error) { return nil, errors.New("no name server") }
	return f
}

func TestRelayAddresses(t *testing.T) {
	cfg := config.Default("state")
	cfg.TURN.ExternalAddresses[netip.MustParseAddr("10.0.0.5")] = netip.MustParseAddr("203.0.113.9")
	got, err := finderOn(cfg, "10.0.0.5").first()
	want := []turnserver.RelayAddress{{Local: netip.MustParseAddr("10.0.0.5"), External: netip.MustParseAddr("203.0.113.9")}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("behind 1:1 NAT: %v, %v; want %v", got, err, want)
	}
	if _, err := finderOn(cfg, "10.0.0.6").first(); err == nil || !strings.HasPrefix(err.Error(), `turn.external_addresses: "10.0.0.5" is not an address that this server relays from`) {
		t.Errorf("a wrong external address: %v", err)
	}

	cfg = config.Default("state")
	if _, err := finderOn(cfg).first(); err == nil || !strings.HasPrefix(err.Error(), "turn.relay_addresses: no relay address found") {
		t.Errorf("no default route: %v", err)
	}
	cfg.TURN.RelayAddresses = addrs("192.0.2.1")
	if got, err := finderOn(cfg).first(); err != nil || len(got) != 1 || got[0].External != got[0].Local {
		t.Errorf("configured: %v, %v", got, err)
	}
}

// TestExternalNames: a name stands for its address, of the family of its row, and for the address before while it
// cannot be looked up.
func TestExternalNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config.Default("state")
		cfg.TURN.ExternalNames[netip.IPv4Unspecified()] = "home.example.org"
		cfg.TURN.ExternalNames[netip.MustParseAddr("10.0.0.9")] = "other.example.org"
		f := finderOn(cfg, "10.0.0.5", "2001:db8::5")
		if _, err := f.first(); err == nil || !strings.HasPrefix(err.Error(), `turn.external_addresses: "home.example.org" has no address for 10.0.0.5: no name server`) {
			t.Fatalf("a name that nobody knows: %v", err)
		}
		var mu sync.Mutex
		var records []string
		var broken error
		f.lookUp = func(_ context.Context, network, name string) ([]netip.Addr, error) {
			if network != "ip4" {
				t.Errorf("%s was looked up for %s", name, network)
			}
			mu.Lock()
			defer mu.Unlock()
			return addrs(records...), broken
		}
		delete(cfg.TURN.ExternalNames, netip.MustParseAddr("10.0.0.9"))
		records = []string{"203.0.113.7", "203.0.113.3", "2001:db8::1"}
		first, err := f.first()
		if err != nil {
			t.Fatal(err)
		}
		external := func(relays []turnserver.RelayAddress) string {
			if len(relays) != 2 || relays[0].Local != netip.MustParseAddr("10.0.0.5") || relays[1].External != relays[1].Local {
				t.Fatalf("relay addresses %v", relays)
			}
			return relays[0].External.String()
		}
		if got := external(first); got != "203.0.113.3" {
			t.Errorf("the first address is %s", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		changes, done := 0, make(chan struct{})
		go func() { defer close(done); f.follow(ctx, func() { changes++ }) }()
		for _, step := range []struct {
			name    string
			wait    time.Duration
			records []string
			broken  error
			want    string
			changes int
		}{
			{"the same", namesInterval, []string{"203.0.113.3"}, nil, "203.0.113.3", 0},
			{"one more, which sorts before it", namesInterval, []string{"203.0.113.1", "203.0.113.3"}, nil, "203.0.113.3", 0},
			{"no answer", namesInterval, nil, errors.New("timeout"), "203.0.113.3", 0},
			{"an empty answer", namesInterval, nil, nil, "203.0.113.3", 0},
			{"another, for a moment", namesInterval, []string{"203.0.113.200"}, nil, "203.0.113.3", 0},
			{"the one before", nameGrace, []string{"203.0.113.3"}, nil, "203.0.113.3", 0},
			{"another", namesInterval, []string{"203.0.113.200"}, nil, "203.0.113.3", 0},
			{"another again", nameGrace, []string{"203.0.113.100"}, nil, "203.0.113.3", 0},
			{"that one still, and one more", nameGrace, []string{"203.0.113.20", "203.0.113.100"}, nil, "203.0.113.100", 1},
		} {
			mu.Lock()
			records, broken = step.records, step.broken
			mu.Unlock()
			time.Sleep(step.wait)
			synctest.Wait()
			if got := external(f.now()); got != step.want || changes != step.changes {
				t.Errorf("%s: %s after %d changes, want %s after %d", step.name, got, changes, step.want, step.changes)
			}
		}
		cancel()
		<-done
	})
}

// TestRouteGoesForAMoment: while a lease is renewed, a bridge of containers is no relay address.
func TestRouteGoesForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := finderOn(config.Default("state"), "192.168.1.5")
		if _, err := f.first(); err != nil {
			t.Fatal(err)
		}
		routed := []netip.Addr(nil)
		f.routed = func() []netip.Addr { return routed }
		f.find = func() ([]netip.Addr, error) { return addrs("172.18.0.1"), nil }
		for _, step := range []struct {
			wait time.Duration
			back []netip.Addr
			want string
		}{
			{0, nil, "192.168.1.5"}, {routeTime, nil, "192.168.1.5"}, {time.Second, nil, "172.18.0.1"},
			{0, addrs("192.168.1.77"), "192.168.1.77"}, {time.Second, nil, "192.168.1.77"},
		} {
			time.Sleep(step.wait)
			routed = step.back
			if got := f.now(); len(got) != 1 || got[0].Local.String() != step.want {
				t.Errorf("relay addresses %v, want %s", got, step.want)
			}
		}
	})
}
