//go:build linux

package e2e

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"turnpike/internal/netlab"
)

// TestLook looks at every page and state as a person does and as axe-core does, at the sizes of phones and desks and at
// 400 %. `make screenshots` looks at all of them in both themes, and keeps a picture of each.
func TestLook(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	pictures := os.Getenv("TURNPIKE_SCREENSHOTS")
	plan := map[string]any{"whole": pictures != "", "pictures": pictures}
	if pictures == "" {
		plan["pictures"] = t.ArtifactDir()
	}
	lab := netlab.New(t)
	host := lab.Public("host")
	const url = "http://localhost:8080"
	s := serve(t, host, url, netip.MustParseAddrPort("127.0.0.1:8080"), nil)
	plan["place"], plan["url"] = chromiumAt(t, host, nil), url
	for _, word := range strings.Fields(s.run(t, "invite", "--room", "guestroom", "--uses", "1")) {
		if strings.Contains(word, "#invite=") {
			plan["invite"] = word
		}
	}
	drive(t, "look", plan)
}

// TestHandling uses a room by keyboard and by finger, and reads what screen readers would.
func TestHandling(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	host := netlab.New(t).Public("host")
	const url = "http://localhost:8080"
	serve(t, host, url, netip.MustParseAddrPort("127.0.0.1:8080"), nil)
	drive(t, "handling", map[string]any{"place": chromiumAt(t, host, nil), "url": url})
}
