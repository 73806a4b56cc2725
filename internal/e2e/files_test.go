//go:build linux

package e2e

import (
	"testing"

	"example.org/turnpike/internal/netlab"
)

// TestFiles has pages and command lines send files to each other by a code.
func TestFiles(t *testing.T) {
	need(t, "node", "chromium", "firefox-esr", "certutil")
	host := netlab.New(t).Public("host")
	for _, browser := range []string{chromium, firefox} {
		d, place := newDriver(t, host), browserAt(t, browser, host, nil)
		for _, scenario := range []string{"filesToPage", "filesFromPage", "filesRefused", "filesBetweenPages"} {
			megabytes := 50
			if matrix() || browser == chromium && scenario == "filesToPage" { // Chromium tells how much of that is in memory
				megabytes = 200
			}
			t.Run(browser+" "+scenario, func(t *testing.T) {
				serveLocally(t, host)
				d.play(t, scenario, map[string]any{"place": place, "url": localURL, "turnpike": turnpike, "folder": t.TempDir(), "megabytes": megabytes}, nil)
			})
		}
	}
}
