//go:build linux

package e2e

import (
	"net/netip"
	"testing"

	"turnpike/internal/netlab"
)

// TestLocalhost runs a server without any configuration for people on the same host, as with
// `make run` and a few tabs at localhost.
func TestLocalhost(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	host := lab.Public("host")
	for _, scenario := range []string{"room", "missing", "names", "ring", "refused", "locked", "knock", "kicked"} {
		t.Run(scenario, func(t *testing.T) {
			// Its own server: closed tabs hold their names for some seconds.
			serve(t, host, "http://localhost:8080", netip.MustParseAddrPort("127.0.0.1:8080"), nil)
			drive(t, scenario, map[string]any{"place": chromiumAt(t, host, nil), "url": "http://localhost:8080"})
		})
	}
}
