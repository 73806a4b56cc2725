//go:build linux

package bench

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.org/turnpike/internal/turnload"
)

// securePort is where the servers take clients over TLS and DTLS.
const securePort = 5349

// clientScenarios returns the loads of clients that the kernel path does not serve. They are smaller than those over
// UDP, for the load generator's sake.
func clientScenarios() []scenario {
	var all []scenario
	for _, transport := range []turnload.Transport{turnload.OverTCP, turnload.OverTLS, turnload.OverDTLS} {
		calls := 100
		if transport == turnload.OverDTLS {
			calls = 50
		}
		for _, direction := range []turnload.Direction{turnload.Up, turnload.Down} {
			all = append(all, scenario{
				name:  strings.ToUpper(string(transport)) + " " + string(direction),
				calls: calls, profile: "video", direction: direction, transport: transport,
			})
		}
	}
	return append(all, scenario{name: "Binding", calls: 300, binding: true})
}

// clientRows are the lines of the table for them.
func clientRows() (rows []row) {
	for _, s := range clientScenarios() {
		title := "The server's CPU a packet, video " + string(s.direction) + ", clients over " + strings.ToUpper(string(s.transport))
		if s.binding {
			title = "The server's CPU a Binding request"
		}
		rows = append(rows, row{title: title, figure: "server " + s.name, format: "%.2f µs", userSpace: ratioToCoturn("≤ 1")})
	}
	return rows
}

// clientServers returns the servers with all of their transports.
func clientServers(pair *keyPair) []contender {
	return []contender{
		{
			name: userSpace,
			command: func(l lab, stateDir string) []string {
				own := ours(userSpace, "off").command(l, stateDir)
				at := slices.Index(own, "--turn-listen") + 1
				plain, secure := l.server(), netip.AddrPortFrom(l.server().Addr(), securePort)
				own[at] = fmt.Sprintf("udp://%v,tcp://%v,tls://%v,dtls://%v", plain, plain, secure, secure)
				return append(own, "--tls-mode", "files", "--tls-cert-file", pair.certificate, "--tls-key-file", pair.key)
			},
		},
		{
			name: theirs,
			command: func(l lab, stateDir string) []string {
				all := slices.DeleteFunc(coturn().command(l, stateDir), func(arg string) bool {
					return slices.Contains([]string{"--no-tls", "--no-dtls", "--no-tcp"}, arg)
				})
				return append(all, "--tls-listening-port", strconv.Itoa(securePort), "--cert", pair.certificate, "--pkey", pair.key)
			},
		},
	}
}

// measureClients measures each load of clientScenarios: the processor time of the server's process for a packet, and
// loss. The whole machine's time would be mostly the load generator's, which encrypts as much as the server does.
func (b *bench) measureClients(t *testing.T) {
	pair := newKeyPair(t)
	all := *b
	all.servers = clientServers(pair)
	for _, s := range clientScenarios() {
		t.Run(s.name, func(t *testing.T) {
			all.alternate(t, func(m contender) { all.measureClient(t, s, m, pair) }, func() {})
		})
		if t.Failed() {
			return
		}
	}
}

func (b *bench) measureClient(t *testing.T, s scenario, m contender, pair *keyPair) {
	t.Helper()
	p := b.start(t, m)
	defer p.end()
	cfg := b.config(t, s)
	cfg.Transport, cfg.Binding = s.transport, s.binding
	if s.transport == turnload.OverTLS || s.transport == turnload.OverDTLS {
		cfg.Server = netip.AddrPortFrom(cfg.Server.Addr(), securePort)
		cfg.TLS = &tls.Config{ServerName: "localhost", RootCAs: pair.roots}
	}
	g, err := turnload.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, err := g.Run(t.Context(), turnload.Load{Duration: b.warmup}); err != nil {
		t.Fatal(err)
	}
	before, err := turnload.ProcessTime(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Run(t.Context(), turnload.Load{Duration: b.run})
	if err != nil {
		t.Fatal(err)
	}
	after, err := turnload.ProcessTime(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	cpu := float64(after-before) / 1e3 / float64(max(1, r.Received))
	t.Logf("%-10s  %5.2f µs a packet, %.0f packets a second delivered, %.3f %% lost", m.name, cpu, r.DeliveredRate(), 100*r.Loss())
	b.record("server "+s.name, m.name, cpu)
	b.record("loss "+s.name, m.name, 100*r.Loss())
	b.record("loader "+s.name, m.name, 100*float64(r.LoaderDropped+r.LoaderSkipped)/(r.Rate*r.Duration.Seconds()))
	b.record("received "+s.name, m.name, float64(r.Received))
}
