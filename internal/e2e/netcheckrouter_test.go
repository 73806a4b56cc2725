//go:build linux

package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// mapPorts runs a daemon on the NAT of a host that maps ports for those inside, by UPnP, NAT-PMP and PCP, and waits until it answers. The
// end of t ends it. It returns the NAT as a host.
func mapPorts(t *testing.T, lab *netlab.Lab, client *netlab.Host, lines ...string) *netlab.Host {
	t.Helper()
	router := lab.Router(client)
	dir := t.TempDir()
	config := filepath.Join(dir, "miniupnpd.conf")
	text := "ext_ifname=wan\nlistening_ip=lan\nenable_natpmp=yes\nenable_upnp=yes\nfriendly_name=Router of the lab\nuuid=00000000-0000-0000-0000-000000000001\n" + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := within(t, 5*time.Minute)
	cmd := router.Command(ctx, "/usr/sbin/miniupnpd", "-d", "-f", config, "-P", filepath.Join(dir, "pid"))
	var log output
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("miniupnpd's log:\n%s", log.String())
		}
	})
	conn, err := client.ListenUDP(0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for end := time.Now().Add(20 * time.Second); ; {
		_, _ = conn.WriteToUDPAddrPort([]byte{0, 0}, netip.AddrPortFrom(router.Addr(), 5351)) // NAT-PMP
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, _, err := conn.ReadFromUDPAddrPort(make([]byte, 100)); err == nil && n >= 8 {
			return router
		} else if time.Now().After(end) {
			t.Fatalf("miniupnpd did not become ready: %v\n%s", err, log.String())
		}
	}
}

// TestNetcheckRouter: netcheck finds what a router offers to programs that want a port, and has it map nothing. It says if there is another
// NAT behind the router, and if a router offers, but refuses.
func TestNetcheckRouter(t *testing.T) {
	need(t, "/usr/sbin/miniupnpd")
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	link := s.link(t, config, "standup")
	for name, test := range map[string]struct {
		lines            []string
		upnp, pmp, pcp   string // whether it is found
		outside          bool   // the router tells its address outside
		behind, hairpins bool
	}{
		"all":         {upnp: "true", pmp: "true", pcp: "true", outside: true, hairpins: true},
		"no UPnP":     {lines: []string{"enable_upnp=no"}, upnp: "false", pmp: "true", pcp: "true", outside: true},
		"another NAT": {lines: []string{"ext_ip=12.0.0.1"}, upnp: "true", pmp: "true", pcp: "true", outside: true, behind: true},
	} {
		t.Run(name, func(t *testing.T) {
			client := lab.Behind(netlab.PortRestricted, "client"+strings.Map(letters, name))
			router := mapPorts(t, lab, client, test.lines...)
			if test.hairpins {
				lab.Hairpin(client)
			}
			rules := func() string {
				ctx, cancel := within(t, 20*time.Second)
				defer cancel()
				return stdout(t, router.Command(ctx, "nft", "--stateless", "list", "ruleset"))
			}
			before := rules()
			n := lookAround(t, client, ca, link)
			p := n.PortMapping
			if show(p.UPnP.Found) != test.upnp || show(p.NATPMP.Found) != test.pmp || show(p.PCP.Found) != test.pcp {
				t.Errorf("%+v, want %+v", p, test)
			}
			if test.upnp == "true" && p.UPnP.Name != "Router of the lab" {
				t.Errorf("%+v", p.UPnP)
			}
			want := netip.Addr{}
			if test.outside {
				want = client.Public()
			}
			if test.behind {
				want = netip.MustParseAddr("12.0.0.1")
			}
			for _, m := range []netip.Addr{p.UPnP.External, p.NATPMP.External} {
				if m.IsValid() && m != want {
					t.Errorf("outside it is %v, want %v", m, want)
				}
			}
			if !p.UPnP.External.IsValid() && !p.NATPMP.External.IsValid() {
				t.Errorf("the router tells no address: %+v", p)
			}
			if said := strings.Contains(n.Summary, "there is another NAT"); said != test.behind {
				t.Errorf("summary %q", n.Summary)
			}
			if show(n.IPv4.Hairpin.Works) != map[bool]string{true: "true", false: "false"}[test.hairpins] {
				t.Errorf("hairpin %+v, want %v", n.IPv4.Hairpin, test.hairpins)
			}
			if after := rules(); after != before {
				t.Errorf("netcheck changed the router: before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

// letters keeps letters only.
func letters(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return -1
}

// TestNetcheckPortal: where a captive portal answers in the place of the server, netcheck says so and where to sign in.
func TestNetcheckPortal(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	real, fake := lab.Public("server"), lab.Public("portal")
	_, ca := configure(t, lab, real, defaultListen) // nothing runs there: the portal has its name
	lab.AddName("portal.lab", fake)
	captured := lab.Public("guest")
	lab.Rules(captured, fmt.Sprintf("table ip captive {\nchain out { type nat hook output priority -100\nmeta l4proto tcp ip daddr %s dnat to %s\n}\n}\n", real.Addr(), fake.Addr()))
	listener, err := fake.ListenTCP(80)
	if err != nil {
		t.Fatal(err)
	}
	portal := &http.Server{Handler: http.RedirectHandler("http://portal.lab/welcome?id=7", http.StatusFound)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = portal.Serve(listener) })
	t.Cleanup(func() {
		_ = portal.Close()
		serving.Wait()
	})
	for _, url := range []string{publicURL, "http://" + publicName} {
		out, errs, status := netcheck(t, captured, ca, "", url, "--timeout", "3s")
		for _, want := range []string{"captive portal    yes: http://portal.lab/welcome\n", "This network wants you to sign in first: open http://portal.lab/welcome in a browser."} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", url, want, out)
			}
		}
		if status != 1 || !strings.HasPrefix(errs, "turnpike: "+url) {
			t.Errorf("%s: status %d, %q", url, status, errs)
		}
	}
}

// TestNetcheckPath: a way that carries short packets only shows in the path MTU, though no ICMP tells of it.
func TestNetcheckPath(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	link := s.link(t, config, "standup")
	for _, test := range []struct{ mtu, want int }{{1400, 1400}, {1458, 1456}, {1200, 1200}} {
		client := lab.Behind(netlab.PortRestricted, fmt.Sprint("client", test.mtu))
		router := lab.Router(client)
		lab.Rules(router, fmt.Sprintf("table ip narrow {\nchain through { type filter hook forward priority filter - 1\nmeta l4proto udp ip length > %d drop\n}\n}\n", test.mtu))
		n := lookAround(t, client, ca, link)
		if got := n.IPv4.PathMTU; got.Bytes != test.want || got.Link != 1500 {
			t.Errorf("MTU %d: %+v", test.mtu, got)
		}
		if said := strings.Contains(n.Summary, "get lost on the way"); said != (test.mtu < 1228) {
			t.Errorf("MTU %d: %s", test.mtu, n.Summary)
		}
	}
}

// TestNetcheckAlone: without a way in, netcheck says what the usual ports show, and what was not tried. With a wrong ticket, without a network, or
// without a server at the other end, a line says so and the status is 1.
func TestNetcheckAlone(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	host := lab.Public("server")
	_, _, ca := startServerOn(t, lab, host, defaultListen)
	client, blocked, silent := lab.Behind(netlab.PortRestricted, "client"), lab.Behind(netlab.UDPBlocked, "blocked"), lab.Public("silent")
	lab.AddName("silent.lab", silent)
	lonely := lab.Public("lonely")
	ctx, cancel := within(t, 20*time.Second)
	defer cancel()
	stdout(t, lonely.Command(ctx, "ip", "link", "set", "eth0", "down"))
	for name, test := range map[string]struct {
		from   *netlab.Host
		stdin  string
		args   []string
		status int
		out    []string // patterns
		err    string   // pattern
	}{
		"no invite": {from: client, args: []string{publicURL}, out: []string{
			`(?m)^UDP +yes$`, `(?m)^  mapping +not known: it takes a way in`, `(?m)^turn tls +IPv4 .* turns:turn\.lab:443\?transport=tcp  answers; no relay was asked for$`,
			`(?m)^turn dtls +IPv4 .* turns:turn\.lab:5349\?transport=udp  answers; no relay was asked for$`,
			`(?m)^not tried +relays: the server lets nobody in without an invite; pass one with --invite-file`,
		}},
		"no invite, no UDP": {from: blocked, args: []string{publicURL}, out: []string{
			`(?m)^UDP +no: `, `UDP does not get through here: every call needs a relay, and whether one works was not tried\.`,
		}},
		"a wrong ticket": {from: client, stdin: "nonsense", args: []string{publicURL, "--ticket-file", "-"}, status: 1, out: []string{
			`(?m)^UDP +yes$`, `(?m)^not tried +relays: the server refuses the ticket: `,
		}, err: `^turnpike: the server refuses the ticket: .*\(unauthorized\)\n$`},
		"a wrong invite": {from: client, stdin: "nonsense", args: []string{publicURL, "--invite-file", "-"}, status: 1, err: `^turnpike: the server refuses the invite: .*\(unauthorized\)\n$`},
		"no server there": {from: client, args: []string{"https://silent.lab", "--timeout", "2s"}, status: 1, out: []string{
			`Nothing of the server answers here`, `(?m)^captive portal +not known: nothing answers`,
		}, err: `^turnpike: https://silent\.lab: nobody listens there\n$`},
		"no name": {from: client, args: []string{"https://nowhere.lab"}, status: 1, out: []string{`The server cannot be found from here`},
			err: `^turnpike: the name "nowhere\.lab" has no address: .*\n$`},
		"no network": {from: lonely, args: []string{publicURL}, status: 1, out: []string{`(?m)^IPv4 +no: this machine has no IPv4 way to the server$`, `This machine has no network that leads to the server`},
			err: `^turnpike: this machine has no way to turn\.lab\n$`},
		"bad URL": {from: client, args: []string{"ftp://turn.lab"}, status: 2, err: `^turnpike: "ftp://turn\.lab" is not the URL of a server; write it like https://turn\.example\.org\nusage: turnpike netcheck `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, status := netcheck(t, test.from, ca, test.stdin, test.args...)
			if status != test.status || test.err != "" && !regexp.MustCompile(test.err).MatchString(errs) || test.err == "" && errs != "" {
				t.Errorf("status %d, want %d; stderr %q, want %s", status, test.status, errs, test.err)
			}
			for _, want := range test.out {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("no %s in\n%s", want, out)
				}
			}
		})
	}
}

// TestNetcheckWatch: with --every, netcheck prints what changes and nothing else, over one session, until Ctrl-C.
func TestNetcheckWatch(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	link := s.link(t, config, "standup", "--uses", "1") // a second session would not get in
	client := lab.Behind(netlab.PortRestricted, "client")
	before := client.Public()
	ctx, cancel := within(t, 2*time.Minute)
	defer cancel()
	cmd := netcheckCommand(ctx, t, client, ca, link, "--invite-file", "-", "--every", "1s", "--timeout", "4s")
	var out, errs output
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	waitFor := func(want string) {
		t.Helper()
		if !out.await(40*time.Second, regexp.MustCompile(want).MatchString) {
			t.Fatalf("no %s in\n%s%s", want, out.String(), errs.String())
		}
	}
	waitFor(`Calls from here connect directly to most networks\.\n$`)
	report := out.String()
	lab.Readdress(client)
	waitFor(fmt.Sprintf(`\n\d\d:\d\d:\d\d  IPv4: yes: %s:\d+, behind a NAT \(here .*\) -> yes: %s:\d+, behind a NAT `, regexp.QuoteMeta(before.String()), regexp.QuoteMeta(client.Public().String())))
	lab.Rules(lab.Router(client), "table ip cut {\nchain through { type filter hook forward priority filter - 1\nmeta l4proto udp drop\n}\n}\n")
	waitFor(`\n\d\d:\d\d:\d\d  UDP: .* -> no: nothing of the server answers over UDP\n`)
	waitFor(`  turn udp IPv4 turn:turn\.lab:3478\?transport=udp: .* -> no answer\n`)
	waitFor(`  verdict: .* -> UDP does not get through here: `)
	if !strings.HasPrefix(out.String(), report) || strings.Count(out.String(), "\nUDP  ") != 1 || errs.String() != "" {
		t.Errorf("%s%s", out.String(), errs.String())
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("after Ctrl-C: %v\n%s", err, errs.String())
		}
	case <-time.After(20 * time.Second):
		t.Error("Ctrl-C does not end it")
	}
}
