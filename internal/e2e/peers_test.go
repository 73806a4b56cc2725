//go:build linux

package e2e

import (
	"testing"

	"example.org/turnpike/internal/netlab"
)

// TestPeers has two people of the SDK meet in one page of a browser, for what only real connections can show.
func TestPeers(t *testing.T) {
	need(t, "node", "chromium", "firefox-esr", "certutil")
	lab := netlab.New(t)
	host := lab.Public("host")
	for _, test := range []struct {
		browser   string
		scenarios []string
	}{
		{chromium, []string{"glare", "sources", "limits", "data", "quiet", "foreign", "crowd", "sharing"}},
		{firefox, []string{"glare", "sources", "data", "quiet", "crowd", "sharing"}},
	} {
		d, place := newDriver(t, host), browserAt(t, test.browser, host, nil)
		for _, scenario := range test.scenarios {
			t.Run(scenario+" in "+test.browser, func(t *testing.T) {
				serveLocally(t, host)
				d.play(t, scenario, map[string]any{"place": place, "url": localURL}, nil)
			})
		}
	}
}
