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
		scenario string
		browsers []string
	}{
		{"glare", []string{chromium, firefox}},
		{"sources", []string{chromium, firefox}},
		{"limits", []string{chromium}},
		{"data", []string{chromium, firefox}},
		{"quiet", []string{chromium, firefox}},
		{"foreign", []string{chromium}},
		{"crowd", []string{chromium, firefox}},
	} {
		for _, browser := range test.browsers {
			t.Run(test.scenario+" in "+browser, func(t *testing.T) {
				serveLocally(t, host)
				driveOn(t, host, test.scenario, map[string]any{"place": browserAt(t, browser, host, nil), "url": localURL}, nil)
			})
		}
	}
}
