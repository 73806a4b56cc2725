//go:build linux

package e2e

import (
	"fmt"
	"os"
	"testing"

	"example.org/turnpike/internal/netlab"
)

// TestFirefox lets Firefox meet Chromium. Firefox has its own implementation of ICE: it sends indications where Chromium
// binds channels, and reports the path differently. It looks for certificate authorities in its profile only.
func TestFirefox(t *testing.T) {
	need(t, "node", "chromium", "firefox-esr", "certutil")
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	for i, test := range []struct {
		firefox, chromium netlab.Kind
		path              string
		over              [2]string // transport of each side's half of the path

		userSpace bool // also without the kernel in the short form
	}{
		{netlab.Symmetric, netlab.Symmetric, "relayed", [2]string{"UDP", "UDP"}, true},
		{netlab.Only443, netlab.Symmetric, "relayed", [2]string{"TLS", "UDP"}, false},
		{netlab.PortRestricted, netlab.FullCone, "direct", [2]string{"UDP", "UDP"}, false},
	} {
		if leftOut(test.userSpace) {
			continue
		}
		t.Run(test.firefox.String()+" x "+test.chromium.String(), func(t *testing.T) {
			link := s.link(t, config, fmt.Sprintf("standup-%d", i))
			ann, ben := lab.Behind(test.firefox, fmt.Sprintf("ann%d", i)), lab.Behind(test.chromium, fmt.Sprintf("ben%d", i))
			people := []person{
				{browserAt(t, firefox, ann, ca), "ann", link, test.over[0]},
				{browserAt(t, chromium, ben, ca), "ben", link, test.over[1]},
			}
			if i > 0 {
				driveOn(t, ann, "meet", map[string]any{"people": people, "path": test.path}, nil)
				return
			}
			// Here one end sends indications, the other channel data.
			offloads, page := true, "by the kernel"
			if os.Getenv("TURNPIKE_TURN_OFFLOAD") == "off" {
				offloads, page = false, ""
			}
			driveOn(t, ann, "meet", map[string]any{"people": people, "path": test.path, "by": page}, nil)
			s.wantOffloaded(t, offloads)
		})
	}
}
