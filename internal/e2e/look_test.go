//go:build linux

package e2e

import (
	"os"
	"strings"
	"testing"

	"example.org/turnpike/internal/netlab"
)

// TestLook looks at every page and state as a person does and as axe-core does, at the sizes of phones and desks and at
// 400 %. `make screenshots` looks at all of them in both themes, and keeps a picture of each. TURNPIKE_STATES, a regular
// expression, leaves out the states whose names it does not match.
func TestLook(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	pictures := os.Getenv("TURNPIKE_SCREENSHOTS")
	plan := map[string]any{"whole": pictures != "", "pictures": pictures, "only": os.Getenv("TURNPIKE_STATES")}
	if pictures == "" {
		plan["pictures"] = t.ArtifactDir()
	}
	lab := netlab.New(t)
	host := lab.Public("host")
	s := serveLocally(t, host)
	plan["place"], plan["url"] = chromiumAt(t, host, nil), localURL
	for _, word := range strings.Fields(s.run(t, "invite", "--room", "guestroom", "--uses", "1")) {
		if strings.Contains(word, "#invite=") {
			plan["invite"] = word
		}
	}
	drive(t, "look", plan)
}

// TestHandling uses a room by keyboard and by finger, and reads what screen readers would. It leads from the home page into a
// call and out of it without a mouse.
func TestHandling(t *testing.T) {
	driveLocally(t, "handling", "controls", "keysalone")
}
