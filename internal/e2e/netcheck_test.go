//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
	"example.org/turnpike/internal/probe"
)

// netcheck runs `turnpike netcheck` on a host, as a user with a folder of configuration of its own.
func netcheck(t *testing.T, from *netlab.Host, ca *authority, stdin string, args ...string) (out, errs string, status int) {
	t.Helper()
	ctx, cancel := within(t, 60*time.Second)
	defer cancel()
	cmd := netcheckCommand(ctx, t, from, ca, stdin, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() < 0 {
			t.Fatalf("turnpike netcheck: %v\n%s", err, stderr.Bytes())
		}
		status = exit.ExitCode()
	}
	return stdout.String(), stderr.String(), status
}

func netcheckCommand(ctx context.Context, t *testing.T, from *netlab.Host, ca *authority, stdin string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := from.Command(ctx, turnpike, append([]string{"netcheck"}, args...)...)
	dir := t.TempDir()
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir)
	if ca != nil {
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+ca.caFile)
	}
	return cmd
}

// lookAround runs netcheck with an invite, and returns its report.
func lookAround(t *testing.T, from *netlab.Host, ca *authority, link string, args ...string) probe.Network {
	t.Helper()
	out, errs, status := netcheck(t, from, ca, link, append([]string{"--invite-file", "-", "--json", "--timeout", "4s"}, args...)...)
	var n probe.Network
	if err := json.Unmarshal([]byte(out), &n); err != nil || status != 0 {
		t.Fatalf("status %d, %v: %s%s", status, err, out, errs)
	}
	return n
}

func show(b *bool) string {
	if b == nil {
		return "unknown"
	}
	return fmt.Sprint(*b)
}

// TestNetcheck: netcheck tells the truth about each NAT and firewall of netlab, with a server that has one address, and with one that has
// two (RFC 5780). With one it takes a relay's help.
func TestNetcheck(t *testing.T) {
	need(t)
	t.Parallel()
	for _, discovery := range []bool{false, true} {
		t.Run(map[bool]string{false: "one address", true: "discovery"}[discovery], func(t *testing.T) {
			lab := netlab.New(t)
			host := lab.Public("server")
			turn := defaultListen
			if discovery {
				second, _ := lab.AddAddresses(host)
				turn = fmt.Sprintf("listen = [\"udp://%s:3478\", \"udp://%s:3478\", \"tcp://0.0.0.0:3478\"]\nnat_discovery_port = 3479\n", host.Addr(), second)
			}
			s, config, ca := startServerOn(t, lab, host, turn)
			link := s.link(t, config, "standup")
			same, port := probe.PortIndependent, probe.PortIndependent
			if discovery {
				same, port = probe.EndpointIndependent, probe.AddressDependent
			}
			open := map[bool]probe.DependenceKind{false: probe.PortIndependent, true: probe.EndpointIndependent}[discovery]
			for _, test := range []struct {
				kind               netlab.Kind
				udp, nat           string
				mapping, filtering probe.DependenceKind
				verdict            probe.Verdict
			}{
				{netlab.Public, "true", "false", probe.EndpointIndependent, open, map[bool]probe.Verdict{false: probe.VerdictDirect, true: probe.VerdictOpen}[discovery]},
				{netlab.FullCone, "true", "true", same, open, probe.VerdictDirect},
				{netlab.AddressRestricted, "true", "true", same, port, probe.VerdictDirect},
				{netlab.PortRestricted, "true", "true", same, probe.AddressAndPortDependent, probe.VerdictDirect},
				{netlab.Symmetric, "true", "true", probe.AddressAndPortDependent, probe.AddressAndPortDependent, probe.VerdictMostly},
				{netlab.CGNAT, "true", "true", probe.AddressAndPortDependent, probe.AddressAndPortDependent, probe.VerdictMostly},
				{netlab.UDPBlocked, "false", "unknown", "", "", probe.VerdictRelayed},
				{netlab.Only443, "false", "unknown", "", "", probe.VerdictRelayed},
			} {
				t.Run(test.kind.String(), func(t *testing.T) {
					client := lab.Behind(test.kind, strings.ReplaceAll(test.kind.String(), " ", "-"))
					t.Parallel() // the clients mostly wait for packets that NATs keep out
					n := lookAround(t, client, ca, link)
					f := n.IPv4
					if show(n.UDP) != test.udp || show(f.NAT) != test.nat || f.Mapping.Kind != test.mapping || f.Filtering.Kind != test.filtering || n.Verdict != test.verdict {
						t.Errorf("UDP %s, NAT %s, mapping %q, filtering %q, verdict %s: %s; want %+v\n%+v", show(n.UDP), show(f.NAT), f.Mapping.Kind, f.Filtering.Kind, n.Verdict, n.Summary, test, n)
					}
					if test.udp == "true" && (f.Mapped.Addr() != client.Public() || f.PathMTU.Bytes != 1500 || f.Local != client.Addr()) {
						t.Errorf("mapped %v, path MTU %+v, local %v", f.Mapped, f.PathMTU, f.Local)
					}
					if test.nat == "true" && show(f.Hairpin.Works) != "false" {
						t.Errorf("hairpin %+v", f.Hairpin)
					}
					if show(n.CaptivePortal.Found) != "false" || len(n.Problems) != 0 {
						t.Errorf("captive portal %+v, problems %q", n.CaptivePortal, n.Problems)
					}
					wantRelays(t, n, test.kind, !discovery)
				})
			}
		})
	}
}

// wantRelays holds that relays were made over the networks that a kind lets through, and over no others.
func wantRelays(t *testing.T, n probe.Network, kind netlab.Kind, dtls bool) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range n.Relays {
		if r.Family != "ipv4" {
			continue
		}
		udp, on443 := kind != netlab.UDPBlocked && kind != netlab.Only443, r.Address.Port() == 443
		works := map[string]bool{"udp": udp, "dtls": udp, "tcp": kind != netlab.Only443 || on443, "tls": kind != netlab.Only443 || on443}[r.Network]
		seen[r.Network] = true
		if r.OK != works || works && (r.RTT == nil || *r.RTT <= 0) || !works && r.Problem != "no answer" && !strings.HasPrefix(r.Problem, "refused") {
			t.Errorf("%+v, want it to work: %v", r, works)
		}
		if isTURN := strings.HasPrefix(r.URL, "turn"); works && isTURN != (r.Relayed != "") {
			t.Errorf("%+v", r)
		}
	}
	if len(seen) < 3 || seen["dtls"] != dtls {
		t.Errorf("tried %v", seen)
	}
}

// TestNetcheckIPv6 holds the same of a host with IPv6 alone, and of a firewall on the way that lets in answers only.
func TestNetcheckIPv6(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	host := lab.Public("server")
	lab.AddName6(publicName, host)
	s, config, ca := startServerOn(t, lab, host, `listen = ["udp://0.0.0.0:3478", "tcp://0.0.0.0:3478", "udp://[::]:3478", "tcp://[::]:3478"]`)
	link := s.link(t, config, "standup")
	for _, closed := range []bool{false, true} {
		client := lab.Behind(netlab.IPv6Only, fmt.Sprint("client-", closed))
		want := probe.PortIndependent
		if closed {
			want = probe.AddressAndPortDependent
			lab.Rules(client, "table ip6 answers {\nchain in { type filter hook input priority filter; policy drop\nct state established,related accept\nicmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n}\n}\n")
		}
		n := lookAround(t, client, ca, link)
		f := n.IPv6
		if show(n.UDP) != "true" || show(f.Works) != "true" || show(f.NAT) != "false" || f.Mapped.Addr() != client.Addr6() || f.Filtering.Kind != want || f.PathMTU.Bytes != 1500 || n.Verdict != probe.VerdictDirect {
			t.Errorf("%+v", n)
		}
		if show(n.IPv4.Works) != "false" || n.IPv4.Why != "this machine has no IPv4 way to the server" || n.IPv4.Mapped.IsValid() {
			t.Errorf("IPv4: %+v", n.IPv4)
		}
		for _, r := range n.Relays {
			if r.Family != "ipv6" || !r.OK {
				t.Errorf("%+v", r)
			}
		}
	}
}
