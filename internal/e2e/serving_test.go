//go:build linux

package e2e

import (
	"net/netip"
	"testing"

	"turnpike/internal/netlab"
)

// TestServing holds what a browser waits for until a page is there: bytes, and round trips.
func TestServing(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	host := netlab.New(t).Public("host")
	serve(t, host, "http://localhost:8080", netip.MustParseAddrPort("127.0.0.1:8080"), nil)
	drive(t, "onewave", map[string]any{"place": chromiumAt(t, host, nil), "url": "http://localhost:8080"})
}
