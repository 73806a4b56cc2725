//go:build linux

package e2e

import (
	"net/netip"
	"testing"

	"turnpike/internal/netlab"
)

// TestPage holds what the pages do for people, at a server without any configuration on the same host.
func TestPage(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	host := lab.Public("host")
	for _, scenario := range []string{"mangled", "noticed", "impatient", "renamed", "halfblocked", "lostdevice", "unanswered", "twoclicks", "undelivered", "barred", "fullforaway"} {
		t.Run(scenario, func(t *testing.T) {
			serve(t, host, "http://localhost:8080", netip.MustParseAddrPort("127.0.0.1:8080"), nil)
			drive(t, scenario, map[string]any{"place": chromiumAt(t, host, nil), "url": "http://localhost:8080"})
		})
	}
}

// TestInvites has people invite others from the page, at a server that lets nobody in without an invite.
func TestInvites(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	host := lab.Public("people")
	drive(t, "invites", map[string]any{
		"place": chromiumAt(t, host, ca), "url": publicURL,
		"member": s.link(t, config, "standup", "--role", "member"), "once": s.link(t, config, "standup", "--uses", "1"),
	})
}

// TestFirstFrame prints the median time from a page's opening to the first picture of the other, on one machine. It asserts
// only that nothing on the pages moves by itself meanwhile: the time is that of this machine.
func TestFirstFrame(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	host := lab.Public("host")
	serve(t, host, "http://localhost:8080", netip.MustParseAddrPort("127.0.0.1:8080"), nil)
	drive(t, "firstframe", map[string]any{"place": chromiumAt(t, host, nil), "url": "http://localhost:8080", "rounds": 5})
}
