//go:build linux

package e2e

import (
	"testing"

	"example.org/turnpike/internal/netlab"
)

// TestPage holds what the pages do for people, at a server without any configuration on the same host.
func TestPage(t *testing.T) {
	driveLocally(t, "mangled", "noticed", "impatient", "renamed", "halfblocked", "lostdevice", "unanswered", "twoclicks", "undelivered", "barred", "fullforaway", "languages", "chinese", "tiling", "corners", "pinning", "unsharing")
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
	host := netlab.New(t).Public("host")
	serveLocally(t, host)
	drive(t, "firstframe", map[string]any{"place": chromiumAt(t, host, nil), "url": localURL, "rounds": 5})
}

// TestInputs measures how long a page takes to answer what people press and type in a call, whose people all are on this machine:
// five with `make matrix`, and else three beside other tests, where it must only not hang.
func TestInputs(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	people, most := 3, 3000 // a page that hangs, and not one that is slow
	if matrix() {
		people, most = 5, 400
	}
	host := netlab.New(t).Public("host")
	serveLocally(t, host)
	drive(t, "inputs", map[string]any{"place": chromiumAt(t, host, nil), "url": localURL, "people": people, "rounds": 4, "most": most})
}
