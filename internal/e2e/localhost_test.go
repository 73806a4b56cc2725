//go:build linux

package e2e

import (
	"net/netip"
	"testing"

	"turnpike/internal/netlab"
)

// TestHouse is a server with no configuration at all, and people on the same host, for whom
// it is there: `make run`, and a few tabs at localhost.
func TestHouse(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	host := lab.Public("host")
	serve(t, host, "http://localhost:8080", netip.MustParseAddrPort("127.0.0.1:8080"), nil)
	for _, scenario := range []string{"room", "missing", "names", "ring", "refused", "locked", "knock", "kicked"} {
		t.Run(scenario, func(t *testing.T) {
			drive(t, scenario, map[string]any{"place": at(t, host, nil), "url": "http://localhost:8080"})
		})
	}
}
