//go:build linux

package e2e

import (
	"fmt"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestReload loads a page again in mid-call, and duplicates a tab.
func TestReload(t *testing.T) {
	driveLocally(t, "reload", "duplicate")
}

// TestChangeOfNetwork changes the network of a host in mid-call, so that packets both ways vanish. The scenario reports
// how long the pictures stand still. The goal is under five seconds, which a busy machine need not reach.
func TestChangeOfNetwork(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	for i, test := range []struct {
		name     string
		ann, ben netlab.Kind
		change   func(*netlab.Host)
	}{
		{"another NAT, relayed", netlab.Symmetric, netlab.Symmetric, func(h *netlab.Host) { lab.Move(h, netlab.Symmetric) }},
		{"another NAT, direct", netlab.PortRestricted, netlab.PortRestricted, func(h *netlab.Host) { lab.Move(h, netlab.PortRestricted) }},
		{"another address, relayed", netlab.Symmetric, netlab.Symmetric, lab.Readdress},
	} {
		t.Run(test.name, func(t *testing.T) {
			hosts, people := makePair(t, lab, s, config, ca, i, test.ann, test.ben)
			driveOn(t, nil, "change", map[string]any{"people": people}, map[string]func(){
				"change": func() { test.change(hosts[0]) },
			})
		})
	}
}

// TestServerRestart kills the server in mid-call and starts another process.
func TestServerRestart(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	_, people := makePair(t, lab, s, config, ca, 0, netlab.Symmetric, netlab.Symmetric)
	driveOn(t, nil, "restart", map[string]any{"people": people}, map[string]func(){
		"restart": func() { s.restart(t) },
	})
}

// TestSignalingOutage cuts off signaling alone until the server has given up the sessions. A relayed call goes on
// meanwhile. In the matrix the server keeps sessions for the default time, and the outage lasts two minutes.
func TestSignalingOutage(t *testing.T) {
	need(t, "node", "chromium", "certutil", "ss")
	lab := netlab.New(t)
	outage, window := time.Duration(0), "1s"
	if matrix() {
		outage, window = 2*time.Minute, "30s"
	}
	s, config, ca := startServerOn(t, lab, lab.Public("server"), defaultListen+fmt.Sprintf("\n[signal]\nresume_window = %q", window))
	_, people := makePair(t, lab, s, config, ca, 0, netlab.Symmetric, netlab.Symmetric)
	var restore func()
	var over <-chan time.Time
	driveOn(t, nil, "outage", map[string]any{"people": people}, map[string]func(){
		"cut": func() {
			restore, over = s.host.CutTCPPort(443), time.After(outage)
		},
		"wait": func() {
			awaitSessions(t, s, 0)
			<-over
		},
		"mend": func() { restore() },
	})
}
