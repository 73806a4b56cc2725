//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"turnpike/internal/netlab"
)

// TestCheck runs `turnpike check` on the hosts of clients. Behind NATs everything works. Behind a
// firewall, the program reports exactly the URLs that it blocks.
func TestCheck(t *testing.T) {
	need(t)
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	link := s.link(t, config, "standup")
	const (
		stunUDP = "stun:" + publicName + ":3478"
		turnUDP = "turn:" + publicName + ":3478?transport=udp"
		turnTCP = "turn:" + publicName + ":3478?transport=tcp"
		turnTLS = "turns:" + publicName + ":443?transport=tcp"
	)
	for _, test := range []struct {
		kind      netlab.Kind
		ok, fails []string // of the four URLs above
	}{
		{netlab.Symmetric, []string{stunUDP, turnUDP, turnTCP, turnTLS}, nil},
		{netlab.PortRestricted, []string{stunUDP, turnUDP, turnTCP, turnTLS}, nil},
		{netlab.UDPBlocked, []string{turnTCP, turnTLS}, []string{stunUDP, turnUDP}},
		{netlab.Only443, []string{turnTLS}, []string{stunUDP, turnUDP, turnTCP}},
	} {
		t.Run(test.kind.String(), func(t *testing.T) {
			host := lab.Behind(test.kind, strings.ReplaceAll(test.kind.String(), " ", "-"))
			ctx, cancel := within(t, 60*time.Second)
			defer cancel()
			cmd := host.Command(ctx, turnpike, "check", publicURL, "--invite", link, "--timeout", "2s", "--json")
			cmd.Dir = t.TempDir()
			cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+ca.caFile)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if (err == nil) != (test.fails == nil) {
				t.Errorf("turnpike check: %v, want a failure: %v\n%s", err, test.fails != nil, stderr.Bytes())
			}
			var results []struct {
				URL     string
				OK      bool
				Problem string
			}
			if err := json.Unmarshal(out, &results); err != nil {
				t.Fatalf("turnpike check --json: %v\n%s%s", err, out, stderr.Bytes())
			}
			var ok, fails []string
			for _, r := range results {
				switch isICE := strings.HasPrefix(r.URL, "stun:") || strings.HasPrefix(r.URL, "turn"); {
				case isICE && r.OK:
					ok = append(ok, r.URL)
				case isICE:
					fails = append(fails, r.URL)
				}
				if !r.OK && r.Problem == "" {
					t.Errorf("%s failed, and nothing says why", r.URL)
				}
			}
			if !slices.Equal(ok, test.ok) || !slices.Equal(fails, test.fails) {
				t.Errorf("worked: %v, want %v; failed: %v, want %v\n%s", ok, test.ok, fails, test.fails, out)
			}
		})
	}
}
