package node

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/signal"
	"example.org/turnpike/turnserver"
)

// TestDefaultsAgree: the limits of a server without a configuration are the defaults of signaling and of the TURN server.
func TestDefaultsAgree(t *testing.T) {
	cfg := config.Default("state")
	for name, pair := range map[string][2]any{
		"signal":     {signalLimits(&cfg.Limits), signal.DefaultLimits()},
		"turnserver": {turnLimits(cfg), turnserver.DefaultLimits()},
	} {
		configured, own := reflect.ValueOf(pair[0]), reflect.ValueOf(pair[1])
		for i := range configured.NumField() {
			field := configured.Type().Field(i).Name
			if got, want := configured.Field(i).Interface(), own.Field(i).Interface(); !configured.Field(i).IsZero() && fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s.Limits.%s: the configuration makes it %v, and its own default is %v", name, field, got, want)
			}
		}
	}
}

// TestRelaysLeaveSockets: relays never take all the sockets that the process may have, and the log says so.
func TestRelaysLeaveSockets(t *testing.T) {
	for allocations, want := range map[int]int{10: 10, math.MaxInt32: openFiles() / 4 * 3} {
		var log bytes.Buffer
		cfg := config.Default("state")
		cfg.Limits.Allocations = allocations
		n := &Node{cfg: cfg, log: slog.New(slog.NewTextHandler(&log, nil))}
		if got := n.turnLimits().Allocations; got != want {
			t.Errorf("%d relays are allowed, want %d", got, want)
		}
		if said := strings.Contains(log.String(), "LimitNOFILE"); said != (want < allocations) {
			t.Errorf("with %d relays the log says %q", allocations, log.String())
		}
	}
	var log bytes.Buffer
	n := &Node{cfg: config.Default("state"), log: slog.New(slog.NewTextHandler(&log, nil))}
	if most := n.turnLimits().Allocations; (log.Len() > 0) != (most < fewRelays) {
		t.Errorf("with the default, of which %d are allowed, the log says %q", most, log.String())
	}
}

// loaded is the configuration that a file with this text makes.
func loaded(t *testing.T, text string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "turnpike.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(t, "--config", file, "--state", filepath.Join(dir, "state"))
}

// TestNodeTakesDiscovery holds that the server accepts every pair of addresses that the configuration accepts.
func TestNodeTakesDiscovery(t *testing.T) {
	const both = `"udp://192.0.2.1:3478", "udp://192.0.2.2:3478"`
	for name, row := range map[string]struct {
		listen, more string
		added        int // listeners
	}{
		"two addresses":         {both, "nat_discovery_port = 3479", 2},
		"of each family":        {both + `, "udp://[2001:db8::1]:80", "udp://[2001:db8::2]:80"`, "nat_discovery_port = 3479", 4},
		"the other family none": {both + `, "udp://[::]:3478", "tcp://0.0.0.0:3478"`, "nat_discovery_port = 3479", 2},
		"behind 1:1 NAT": {both, `nat_discovery_port = 3479
			external_addresses = { "192.0.2.1" = "198.51.100.1", "192.0.2.2" = "198.51.100.2" }
			relay_addresses = ["192.0.2.1"]`, 2},
		"off": {both, "nat_discovery_port = 0", 0},
	} {
		cfg := loaded(t, "[turn]\nlisten = ["+row.listen+"]\n"+row.more+"\n")
		if all := turnListeners(cfg); len(all) != len(cfg.TURN.Listen)+row.added {
			t.Errorf("%s: listens on %v", name, all)
		}
		cfg.TURN.RelayAddresses = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		if _, err := New(cfg, Options{Processors: 1, Log: slog.New(slog.DiscardHandler)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestForwardingHeaders: behind the PROXY protocol X-Forwarded-For is the client's own, even if its address is among the trusted ones.
func TestForwardingHeaders(t *testing.T) {
	text := "[http]\ntrusted_proxies = [\"10.0.0.0/8\"]\n"
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.1.2.3:4711"
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	if got := forwarders(loaded(t, text)).ClientAddr(r); got != netip.MustParseAddr("198.51.100.1") {
		t.Errorf("behind a reverse proxy the client is %v", got)
	}
	if got := forwarders(loaded(t, text+"proxy_protocol = true\n")).ClientAddr(r); got != netip.MustParseAddr("10.1.2.3") {
		t.Errorf("behind a load balancer with the PROXY protocol the client is %v", got)
	}
}
