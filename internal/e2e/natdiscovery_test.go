//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestNATDiscovery holds that coturn's turnutils_natdiscovery and `turnpike check` recognize each NAT that netlab makes,
// with our server's help (RFC 5780).
func TestNATDiscovery(t *testing.T) {
	need(t, "turnutils_natdiscovery")
	t.Parallel()
	lab := netlab.New(t)
	host := lab.Public("server")
	second, second6 := lab.AddAddresses(host)
	s, config, ca := startServerOn(t, lab, host, fmt.Sprintf(`
listen = ["udp://%s:3478", "udp://%s:3478", "udp://[%s]:3478", "udp://[%s]:3478", "tcp://0.0.0.0:3478"]
nat_discovery_port = 3479
`, host.Addr(), second, host.Addr6(), second6))
	link := s.link(t, config, "standup")
	for _, test := range []struct {
		kind               netlab.Kind
		mapping, filtering string // in the words of turnutils_natdiscovery
		check              string // in the words of `turnpike check`
	}{
		{netlab.Public, "NAT with Endpoint Independent Mapping!", "NAT with Endpoint Independent Filtering!",
			"no NAT, endpoint-independent filtering: "},
		{netlab.FullCone, "NAT with Endpoint Independent Mapping!", "NAT with Endpoint Independent Filtering!",
			"endpoint-independent mapping, endpoint-independent filtering: "},
		{netlab.AddressRestricted, "NAT with Endpoint Independent Mapping!", "NAT with Address Dependent Filtering!",
			"endpoint-independent mapping, address-dependent filtering: "},
		{netlab.PortRestricted, "NAT with Endpoint Independent Mapping!", "NAT with Address and Port Dependent Filtering!",
			"endpoint-independent mapping, address and port-dependent filtering: "},
		{netlab.Symmetric, "NAT with Address and Port Dependent Mapping!", "NAT with Address and Port Dependent Filtering!",
			"address and port-dependent mapping, address and port-dependent filtering: "},
		{netlab.CGNAT, "NAT with Address and Port Dependent Mapping!", "NAT with Address and Port Dependent Filtering!",
			"address and port-dependent mapping, address and port-dependent filtering: "},
	} {
		t.Run(test.kind.String(), func(t *testing.T) {
			inside := lab.Behind(test.kind, strings.ReplaceAll(test.kind.String(), " ", "-"))
			t.Parallel() // The clients mostly wait for packets that NATs keep out.
			for _, padding := range []bool{false, true} {
				wantDecision(t, discover(t, inside, padding, "-m", "-L", inside.Addr().String(), host.Addr().String()), test.kind, test.mapping)
				wantDecision(t, discover(t, inside, padding, "-f", "-L", inside.Addr().String(), host.Addr().String()), test.kind, test.filtering)
			}
			// A second socket asks for an answer to the first, whose mapping is then one second old.
			out := discover(t, inside, false, "-t", "-T", "1", "-L", inside.Addr().String(), host.Addr().String())
			if !strings.Contains(out, "RFC 5780 response 2") {
				t.Errorf("no answer to RESPONSE-PORT: %s", out)
			}
			if got := natLine(t, inside, ca, link); !strings.HasPrefix(got, test.check) {
				t.Errorf("turnpike check says %q, want %q", got, test.check)
			}
		})
	}
	t.Run("IPv6", func(t *testing.T) {
		guest := lab.Public("guest")
		t.Parallel()
		for _, padding := range []bool{false, true} {
			wantDecision(t, discover(t, guest, padding, "-m", "-L", guest.Addr6().String(), host.Addr6().String()), guest.Kind(), "NAT with Endpoint Independent Mapping!")
			wantDecision(t, discover(t, guest, padding, "-f", "-L", guest.Addr6().String(), host.Addr6().String()), guest.Kind(), "NAT with Endpoint Independent Filtering!")
		}
	})
}

// discover runs turnutils_natdiscovery. It also checks that no NAT changes addresses inside packets: the server's two
// statements of the client's address must agree.
func discover(t *testing.T, from *netlab.Host, padding bool, args ...string) string {
	t.Helper()
	if padding { // of 1500 bytes, which fragments every packet
		args = append([]string{"-P"}, args...)
	}
	ctx, cancel := within(t, 60*time.Second)
	defer cancel()
	out := stdout(t, from.Command(ctx, "turnutils_natdiscovery", args...))
	if !strings.Contains(out, "No ALG: Mapped == XOR-Mapped") || strings.Contains(out, "differ") || strings.Contains(out, "error") {
		t.Errorf("%v: %s", args, out)
	}
	return out
}

// wantDecision checks the decision that turnutils_natdiscovery prints between lines of "=". If there is no NAT, the
// program first says so.
func wantDecision(t *testing.T, out string, kind netlab.Kind, want string) {
	t.Helper()
	if kind == netlab.Public {
		want = "No NAT! (Endpoint Independent Mapping) " + want
	}
	var got []string
	for _, d := range regexp.MustCompile(`=\n((?:No )?NAT[^\n]*)\n=`).FindAllStringSubmatch(out, -1) {
		got = append(got, d[1])
	}
	if strings.Join(got, " ") != want {
		t.Errorf("decided %q, want %q: %s", got, want, out)
	}
}

// natLine returns what `turnpike check` says about the NAT.
func natLine(t *testing.T, from *netlab.Host, ca *authority, link string) string {
	t.Helper()
	ctx, cancel := within(t, 60*time.Second)
	defer cancel()
	cmd := from.Command(ctx, turnpike, "check", publicURL, "--invite", link, "--json")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+ca.caFile)
	var results []struct{ Check, Detail string }
	if err := json.Unmarshal([]byte(stdout(t, cmd)), &results); err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Check == "nat" {
			return r.Detail
		}
	}
	return ""
}
