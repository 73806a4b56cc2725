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
		{chromium, []string{"glare", "sources", "limits", "data", "foreign", "crowd", "sharing"}},
		{firefox, []string{"glare", "sources", "data", "crowd", "sharing"}},
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

// TestQuietPeers has two people of TestPeers say nothing for longer than a broken connection may be silent.
func TestQuietPeers(t *testing.T) {
	need(t, "node", "chromium", "firefox-esr", "certutil")
	t.Parallel() // The browsers show no picture, and wait.
	for _, browser := range []string{chromium, firefox} {
		t.Run(browser, func(t *testing.T) {
			t.Parallel()
			host := netlab.New(t).Public("host")
			serveLocally(t, host)
			driveOn(t, host, "quiet", map[string]any{"place": browserAt(t, browser, host, nil), "url": localURL}, nil)
		})
	}
}
