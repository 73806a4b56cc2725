//go:build linux

package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"turnpike/internal/netlab"
)

// TestCheck runs `turnpike check` where a client would be.
func TestCheck(t *testing.T) {
	need(t)
	lab := netlab.New(t)
	s, config, ca := open(t, lab)
	link := s.link(t, config, "standup")
	for _, test := range []struct {
		kind netlab.Kind
		ok   bool
	}{
		{netlab.Symmetric, true},
		{netlab.PortRestricted, true},
		{netlab.UDPBlocked, false},
	} {
		t.Run(test.kind.String(), func(t *testing.T) {
			host := lab.Behind(test.kind, strings.ReplaceAll(test.kind.String(), " ", "-"))
			ctx, cancel := within(t, 60*time.Second)
			defer cancel()
			cmd := host.Command(ctx, turnpike, "check", publicURL, "--invite", link, "--timeout", "3s")
			cmd.Dir = t.TempDir()
			cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+ca.caFile)
			out, err := cmd.CombinedOutput()
			if ok := err == nil; ok != test.ok {
				t.Errorf("turnpike check: %v, want success: %v", err, test.ok)
			}
			t.Logf("%s", out)
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "transport=tcp") && !strings.Contains(line, "ok") {
					t.Errorf("TURN over TCP failed: %s", line)
				}
			}
		})
	}
}
