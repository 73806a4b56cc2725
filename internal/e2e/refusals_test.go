//go:build linux

package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"example.org/turnpike/internal/netlab"
)

// TestRefusals reaches every refusal of the page, or names the scenario that does: each is told in words of its own, in English
// and some in Chinese, with what to do next.
func TestRefusals(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	host := lab.Public("host")
	s := serve(t, host, localURL, netip.MustParseAddrPort("127.0.0.1:8080"), nil, "--http-listen", "0.0.0.0:8080", "--auth-guests", "always")
	link := func(args ...string) string {
		for _, word := range strings.Fields(s.run(t, append([]string{"invite", "--room"}, args...)...)) {
			if strings.Contains(word, "#invite=") {
				path := word[strings.Index(word, "/r/"):]
				return localURL + path
			}
		}
		t.Fatalf("turnpike invite %v printed no link", args)
		return ""
	}
	invites := map[string]string{
		"used":    link("attic", "--uses", "1"),
		"revoked": link("attic"),
		"other":   link("other", "--role", "member"),
	}
	cut := link("attic")
	invites["cut"] = cut[:len(cut)-20]
	s.run(t, "invite", "--revoke", invites["revoked"])
	drive(t, "refusals", map[string]any{
		"place": chromiumAt(t, host, nil), "url": localURL, "insecure": "http://" + host.Addr().String() + ":8080", "invites": invites,
	})
}
