//go:build linux

package e2e

import (
	"testing"

	"example.org/turnpike/internal/netlab"
)

// TestSDK runs apps of another origin with the SDK, as a developer does on one machine.
func TestSDK(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	host := lab.Public("host")
	// On the host, since a bot in a scenario connects to the server, too.
	d, place := newDriver(t, host), chromiumAt(t, host, nil)
	const app = "http://localhost:9000"
	for _, scenario := range []string{"quickstart", "mistakes", "seat", "bot"} {
		t.Run(scenario, func(t *testing.T) {
			serveLocally(t, host, "--http-allowed-origins", app)
			d.play(t, scenario, map[string]any{"place": place, "url": localURL, "app": app}, nil)
		})
	}
}
