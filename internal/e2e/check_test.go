//go:build linux

package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
	"example.org/turnpike/internal/testcert"
)

// TestCheck runs `turnpike check` on the hosts of clients. Behind NATs everything works. Behind a
// firewall, the program reports exactly the URLs that it blocks.
func TestCheck(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	link := s.link(t, config, "standup")
	const (
		stunUDP  = "stun:" + publicName + ":3478"
		turnUDP  = "turn:" + publicName + ":3478?transport=udp"
		turnTCP  = "turn:" + publicName + ":3478?transport=tcp"
		turnTLS  = "turns:" + publicName + ":443?transport=tcp"
		turnDTLS = "turns:" + publicName + ":5349?transport=udp"
	)
	for _, test := range []struct {
		kind      netlab.Kind
		ok, fails []string // of the five URLs above
	}{
		{netlab.Symmetric, []string{stunUDP, turnUDP, turnTCP, turnTLS, turnDTLS}, nil},
		{netlab.PortRestricted, []string{stunUDP, turnUDP, turnTCP, turnTLS, turnDTLS}, nil},
		{netlab.UDPBlocked, []string{turnTCP, turnTLS}, []string{stunUDP, turnUDP, turnDTLS}},
		{netlab.Only443, []string{turnTLS}, []string{stunUDP, turnUDP, turnTCP, turnDTLS}},
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
				Check, URL string
				OK         bool
				Problem    string
			}
			if err := json.Unmarshal(out, &results); err != nil {
				t.Fatalf("turnpike check --json: %v\n%s%s", err, out, stderr.Bytes())
			}
			var ok, fails []string
			for _, r := range results {
				switch isICE := strings.HasPrefix(r.Check, "stun") || strings.HasPrefix(r.Check, "turn"); {
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

// TestCheckTellsTheTruth runs `turnpike check` from elsewhere: it tries each transport over IPv4 and IPv6, and sends packets through
// the relay ports, open and closed.
func TestCheckTellsTheTruth(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	host := lab.Public("server")
	lab.AddName6(publicName, host)
	s, config, ca := startServerOn(t, lab, host, `listen = ["udp://0.0.0.0:3478", "tcp://0.0.0.0:3478", "udp://[::]:3478", "tcp://[::]:3478", "dtls://0.0.0.0:5349", "dtls://[::]:5349"]`)
	link := s.link(t, config, "standup")
	check := func(from *netlab.Host, args ...string) (string, error) {
		t.Helper()
		ctx, cancel := within(t, 60*time.Second)
		defer cancel()
		cmd := from.Command(ctx, turnpike, append([]string{"check", link, "--timeout", "2s"}, args...)...)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+ca.caFile)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	want := func(out string, lines ...string) {
		t.Helper()
		for _, line := range lines {
			if !regexp.MustCompile(`(?m)^` + line).MatchString(out) {
				t.Errorf("no line %s in\n%s", line, out)
			}
		}
	}
	outside, behind := lab.Public("outside"), lab.Behind(netlab.Symmetric, "behind")
	out, err := check(outside)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	want(out, `ok   web .* turnpike \S+ `, `ok   web6 .* turnpike \S+ `, "ok   stun udp ", "ok   stun udp6 .* you are \\[2a11:", "ok   turn udp ", "ok   turn udp6 ", "ok   turn tcp ",
		"ok   turn tcp6 ", "ok   turn tls ", "ok   turn tls6 ", "ok   turn dtls ", "ok   turn dtls6 ", `ok   relay udp .* a packet each way between 11\.22\.33\.`, `ok   relay udp6 .* a packet each way between \[2a11:`,
		"all [0-9]+ checks passed$")
	out, err = check(behind)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	want(out, "ok   relay udp ", "note IPv6 .* this machine has no route there")

	lab.Rules(host, "table inet closed { chain input { type filter hook input priority filter; udp dport 49152-65535 drop\n}\n}\n")
	for _, from := range []*netlab.Host{outside, behind} {
		out, err = check(from)
		if err == nil {
			t.Error("closed relay ports are no failure")
		}
		want(out, "ok   turn udp ", "FAIL relay udp .* open turn.relay_ports for UDP in the firewall of the server")
	}
	if out, err = check(outside, "--closed-relay-ports"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	want(out, "note relay udp .* the relay ports are closed, as you say", "all [0-9]+ checks passed; notes: 2$")

	out, err = check(lab.Behind(netlab.UDPBlocked, "blocked"))
	if err == nil {
		t.Error("TURN over UDP does not work, and that is no failure")
	}
	want(out, "note relay udp .* were not tried, as no TURN over UDP answers here", "FAIL turn dtls .* no answer from dtls port 5349; open it in the firewall")
}

// TestCheckOfChain: a server whose certificate file lacks the intermediate certificate is told so by `turnpike check`, and by its own log.
func TestCheckOfChain(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	host, outside := lab.Public("server"), lab.Public("outside")
	chain, err := testcert.WriteChain(t.TempDir(), publicName)
	if err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(chain.FullFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool() // of a client that knows the intermediate certificate from elsewhere
	pool.AppendCertsFromPEM(all)
	config, _ := configure(t, lab, host, defaultListen)
	for file, works := range map[string]bool{chain.FullFile: true, chain.LeafFile: false} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s := serve(t, host, publicURL, netip.AddrPortFrom(host.Addr(), 443), &authority{pool: pool}, "--config", config, "--tls-cert-file", file, "--tls-key-file", chain.KeyFile)
			link := s.link(t, config, "standup")
			ctx, cancel := within(t, 60*time.Second)
			defer cancel()
			cmd := outside.Command(ctx, turnpike, "check", link)
			cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "SSL_CERT_FILE="+chain.RootFile)
			out, err := cmd.CombinedOutput()
			if (err == nil) != works {
				t.Errorf("%v\n%s", err, out)
			}
			said := strings.Contains(string(out), `does not show the certificate of the issuer "Test Intermediate"; tls.cert_file must have the whole chain (fullchain.pem)`)
			if said == works {
				t.Errorf("%s", out)
			}
			if warned := strings.Contains(s.log.String(), `its issuer "Test Intermediate" is not in it`); warned == works {
				t.Errorf("the server's log: %s", s.log.String())
			}
		})
	}
}
