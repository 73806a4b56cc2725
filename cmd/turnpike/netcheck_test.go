package main

import (
	"bytes"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/probe"
)

// TestNetcheckHelp: the help fits one screen.
func TestNetcheckHelp(t *testing.T) {
	lines := strings.Split(helpNetcheck, "\n")
	if len(lines) > 25 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if len(line) > 130 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
}

// TestNetcheckSchema: the page about --json has every field.
func TestNetcheckSchema(t *testing.T) {
	page, err := os.ReadFile("../../docs/netcheck.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	var walk func(reflect.Type)
	walk = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || !strings.HasPrefix(of.PkgPath(), "example.org/turnpike/") {
			return
		}
		for field := range of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			seen++
			if !strings.Contains(string(page), "`"+name+"`") && !strings.Contains(string(page), "."+name+"`") {
				t.Errorf("docs/netcheck.md has no %s of %v", name, of)
			}
			walk(field.Type)
		}
	}
	walk(reflect.TypeFor[probe.Network]())
	if seen < 40 {
		t.Errorf("saw %d fields only", seen)
	}
}

// network is a report as behind a usual router.
func network() *probe.Network {
	yes, no, rtt := true, false, 12.3
	return &probe.Network{
		UDP: &yes, Summary: "Calls from here connect directly to most networks.", CaptivePortal: probe.CaptivePortal{Found: &no},
		IPv4: probe.Family{Works: &yes, NAT: &yes, Local: netip.MustParseAddr("192.168.3.2"), Interface: "eth0", Mapped: netip.MustParseAddrPort("11.22.33.4:5000"),
			Mapping: probe.Dependence{Kind: probe.PortIndependent}, Filtering: probe.Dependence{Kind: probe.AddressAndPortDependent}, Hairpin: probe.Hairpin{Works: &no},
			PathMTU: probe.PathMTU{Bytes: 1400, Link: 1500}},
		IPv6:        probe.Family{Works: &no, Why: "this machine has no IPv6 way to the server"},
		PortMapping: probe.PortMapping{UPnP: probe.Mapper{Found: &yes, At: "192.168.3.1:5000", Name: "Box", External: netip.MustParseAddr("11.22.33.4")}, NATPMP: probe.Mapper{Found: &no}, PCP: probe.Mapper{Why: "no router"}},
		Relays: []probe.Relay{{URL: "turn:x:3478?transport=udp", Network: "udp", Family: "ipv4", OK: true, RTT: &rtt, Allocated: &yes},
			{URL: "turns:x:5349", Network: "tls", Family: "ipv4", Guessed: true, Problem: "no answer"}},
		NotTried: []probe.Skipped{{What: "DTLS", Why: "the server names no such address"}},
	}
}

func TestNetworkLines(t *testing.T) {
	var out bytes.Buffer
	p := &program{stdout: &out}
	if err := p.writeNetwork(network()); err != nil {
		t.Fatal(err)
	}
	const want = `server            
UDP               yes
IPv4              yes: 11.22.33.4:5000, behind a NAT (here 192.168.3.2 on eth0)
  mapping         the same for two ports of one address; another address was not tried
  filtering       only answers get in (address and port-dependent)
  hairpin         no
  path MTU        1400 bytes (of 1500 on eth0)
IPv6              no: this machine has no IPv6 way to the server
UPnP              found at 192.168.3.1:5000 (Box), which is 11.22.33.4 outside
NAT-PMP           not found
PCP               not tried: no router
captive portal    no
turn udp          IPv4    12.3 ms  turn:x:3478?transport=udp  a relay was made
not tried         DTLS: the server names no such address

Calls from here connect directly to most networks.
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

// TestNetworkChanges: ports and round trips are no change; what comes, goes or is another is one.
func TestNetworkChanges(t *testing.T) {
	before, rtt, no := network(), 99.9, false
	for name, test := range map[string]struct {
		change func(n *probe.Network)
		want   string
	}{
		"nothing":      {func(*probe.Network) {}, ""},
		"a port":       {func(n *probe.Network) { n.IPv4.Mapped = netip.MustParseAddrPort("11.22.33.4:6000") }, ""},
		"a round trip": {func(n *probe.Network) { n.Relays[0].RTT = &rtt }, ""},
		"an address": {func(n *probe.Network) { n.IPv4.Mapped = netip.MustParseAddrPort("11.22.33.9:5000") },
			"10:20:30  IPv4: yes: 11.22.33.4:5000, behind a NAT (here 192.168.3.2 on eth0) -> yes: 11.22.33.9:5000, behind a NAT (here 192.168.3.2 on eth0)\n"},
		"a relay that fails": {func(n *probe.Network) {
			n.Relays[0].OK, n.Relays[0].Allocated, n.Relays[0].Problem = false, &no, "no answer"
		},
			"10:20:30  turn udp IPv4 turn:x:3478?transport=udp: a relay was made -> no answer\n"},
		"a problem that comes": {func(n *probe.Network) { n.Problems = []string{"nobody listens there"} }, "10:20:30  problem 1: - -> nobody listens there\n"},
		"a line that goes":     {func(n *probe.Network) { n.NotTried = nil }, "10:20:30  not tried DTLS: the server names no such address -> -\n"},
		"a verdict":            {func(n *probe.Network) { n.Summary = "No." }, "10:20:30  verdict: Calls from here connect directly to most networks. -> No.\n"},
	} {
		after := network()
		test.change(after)
		var out bytes.Buffer
		p := &program{stdout: &out}
		lines := func(n *probe.Network) []networkLine { return append(networkLines(n), problemLines(n)...) }
		if err := p.writeChanges(time.Date(2000, 1, 1, 10, 20, 30, 0, time.UTC), lines(before), lines(after)); err != nil || out.String() != test.want {
			t.Errorf("%s: %v, %q, want %q", name, err, out.String(), test.want)
		}
	}
}
