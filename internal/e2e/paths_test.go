//go:build linux

package e2e

import (
	"fmt"
	"testing"

	"example.org/turnpike/internal/netlab"
)

// TestPaths holds what turnpike is for: two people talk and see each other, whatever NATs they
// are behind. They use the relay if and only if nothing else connects them.
func TestPaths(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	for i, test := range []struct {
		a, b netlab.Kind
		path string
		over [2]string // transport of each side's half of the path

		userSpace bool // also without the kernel in the short form
	}{
		{netlab.Symmetric, netlab.Symmetric, "relayed", [2]string{"UDP", "UDP"}, true},
		{netlab.Symmetric, netlab.UDPBlocked, "relayed", [2]string{"UDP", "TCP"}, true},
		{netlab.UDPBlocked, netlab.UDPBlocked, "relayed", [2]string{"TCP", "TCP"}, false},
		{netlab.Only443, netlab.Symmetric, "relayed", [2]string{"TLS", "UDP"}, true},
		{netlab.Only443, netlab.Only443, "relayed", [2]string{"TLS", "TLS"}, false},
		{netlab.PortRestricted, netlab.Symmetric, "relayed", [2]string{"UDP", "UDP"}, false},
		{netlab.FullCone, netlab.FullCone, "direct", [2]string{"UDP", "UDP"}, false},
		{netlab.AddressRestricted, netlab.PortRestricted, "direct", [2]string{"UDP", "UDP"}, false},
		{netlab.PortRestricted, netlab.PortRestricted, "direct", [2]string{"UDP", "UDP"}, false},
	} {
		if leftOut(test.userSpace) {
			continue
		}
		t.Run(test.a.String()+" x "+test.b.String(), func(t *testing.T) {
			link := s.link(t, config, fmt.Sprintf("standup-%d", i))
			var people []person
			for side, kind := range []netlab.Kind{test.a, test.b} {
				name := []string{"ann", "ben"}[side]
				host := lab.Behind(kind, fmt.Sprintf("%s%d", name, i))
				people = append(people, person{chromiumAt(t, host, ca), name, link, test.over[side]})
			}
			drive(t, "meet", map[string]any{"people": people, "path": test.path})
		})
	}
}

// TestStranger holds that a page tells somebody without a valid invite why it lets nobody in.
func TestStranger(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	type link struct {
		URL  string `json:"url"`
		Code string `json:"code"`
	}
	good := s.link(t, config, "standup")
	forged := good[:len(good)-6] + "AAAAAA"
	drive(t, "stranger", map[string]any{
		"place": chromiumAt(t, lab.Behind(netlab.Symmetric, "alice"), ca),
		"links": []link{{publicURL, "invite-required"}, {publicURL + "/r/standup", "invite-required"}, {forged, "unauthorized"}},
	})
}
