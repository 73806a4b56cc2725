//go:build linux

package e2e

import (
	"net/netip"
	"testing"

	"example.org/turnpike/internal/netlab"
)

// localURL is the address of a server without any configuration, for people on the same host.
const localURL = "http://localhost:8080"

// serveLocally runs such a server, as with `make run`.
func serveLocally(t *testing.T, host *netlab.Host, args ...string) *server {
	t.Helper()
	return serve(t, host, localURL, netip.MustParseAddrPort("127.0.0.1:8080"), nil, args...)
}

// driveLocally plays each scenario with one Chromium on the host of such a server.
func driveLocally(t *testing.T, scenarios ...string) {
	t.Helper()
	need(t, "node", "chromium", "certutil")
	host := netlab.New(t).Public("host")
	d, place := newDriver(t, nil), chromiumAt(t, host, nil)
	for _, scenario := range scenarios {
		t.Run(scenario, func(t *testing.T) {
			// Its own server: closed tabs hold their names for some seconds.
			serveLocally(t, host)
			d.play(t, scenario, map[string]any{"place": place, "url": localURL}, nil)
		})
	}
}

// TestLocalhost runs a server without any configuration for people on the same host, as with
// `make run` and a few tabs at localhost.
func TestLocalhost(t *testing.T) {
	driveLocally(t, "room", "missing", "names", "ring", "refused", "locked", "knock", "kicked")
}
