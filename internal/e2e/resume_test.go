//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"turnpike/internal/netlab"
)

// TestReload loads a page again in mid-call, and duplicates a tab.
func TestReload(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	host := lab.Public("host")
	serve(t, host, "http://localhost:8080", netip.MustParseAddrPort("127.0.0.1:8080"), nil)
	for _, scenario := range []string{"reload", "duplicate"} {
		t.Run(scenario, func(t *testing.T) {
			drive(t, scenario, map[string]any{"place": at(t, host, nil), "url": "http://localhost:8080"})
		})
	}
}

// TestChangeOfNetwork changes the network of a host in mid-call: what is sent and what comes dies without a word. The scenario
// tells how long the pictures stand still; the goal is under five seconds, which a busy machine need not reach.
func TestChangeOfNetwork(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	s, config, ca := open(t, lab)
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
			hosts, people := meet(t, lab, s, config, ca, i, test.ann, test.ben)
			driveOn(t, nil, "change", map[string]any{"people": people}, map[string]func(){
				"change": func() { test.change(hosts[0]) },
			})
		})
	}
}

// TestServerRestart kills the server in mid-call and starts it again.
func TestServerRestart(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	s, config, ca := open(t, lab)
	_, people := meet(t, lab, s, config, ca, 0, netlab.Symmetric, netlab.Symmetric)
	driveOn(t, nil, "restart", map[string]any{"people": people}, map[string]func(){
		"restart": func() { s.restart(t) },
	})
}

// TestSignalingOutage cuts the way to signaling, and to nothing else, for longer than the server keeps sessions: in the matrix
// for two minutes, else until the server has given the sessions up, which it keeps for a shorter time then. A relayed call goes on
// all the while.
func TestSignalingOutage(t *testing.T) {
	need(t, "node", "chromium", "certutil", "ss")
	lab := netlab.New(t)
	outage, window := time.Duration(0), "1s"
	if matrix() {
		outage, window = 2*time.Minute, "30s"
	}
	s, config, ca := openOn(t, lab, lab.Public("server"), defaultListen+fmt.Sprintf("\n[signal]\nresume_window = %q", window))
	_, people := meet(t, lab, s, config, ca, 0, netlab.Symmetric, netlab.Symmetric)
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

// meet makes a room and two people on hosts of their own who are to meet there.
func meet(t *testing.T, lab *netlab.Lab, s *server, config string, ca *authority, i int, kinds ...netlab.Kind) ([]*netlab.Host, []person) {
	t.Helper()
	link := s.link(t, config, fmt.Sprintf("standup-%d", i))
	var hosts []*netlab.Host
	var people []person
	for side, kind := range kinds {
		name := []string{"ann", "ben"}[side]
		host := lab.Behind(kind, fmt.Sprintf("%s%d", name, i))
		hosts = append(hosts, host)
		people = append(people, person{place: at(t, host, ca), Name: name, URL: link})
	}
	return hosts, people
}

// awaitSessions waits until the server has so many sessions, by its metrics.
func awaitSessions(t *testing.T, s *server, want int) {
	t.Helper()
	metrics := client(s.host, netip.MustParseAddrPort("127.0.0.1:9090"), nil)
	defer metrics.CloseIdleConnections()
	line := fmt.Sprintf("\nturnpike_signal_sessions %d\n", want)
	deadline := time.After(90 * time.Second)
	for {
		var body []byte
		resp, err := metrics.Get("http://localhost:9090/metrics")
		if err == nil {
			body, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil && bytes.Contains(body, []byte(line)) {
			return
		}
		select {
		case <-deadline:
			t.Errorf("the server never had %d sessions: %v", want, err)
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}
