//go:build linux

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"turnpike/internal/netlab"
)

// TestOffload has two people meet whom only a relay connects, with their packets in the kernel of the server's host and without. By default
// they go through the kernel, since tests run as root: then hardly any of what channels carry may come to the process, and the list of
// relays tells of channels that the kernel forwards.
func TestOffload(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	for _, test := range []struct {
		name, turn string
		offloads   bool
	}{
		{"kernel", "", true},
		{"process", `offload = "off"`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			lab := netlab.New(t)
			s, config, ca := openOn(t, lab, lab.Public("server"), defaultListen+"\n"+test.turn)
			link := s.link(t, config, "standup")
			var people []person
			for _, name := range []string{"ann", "ben"} {
				host := lab.Behind(netlab.Symmetric, name)
				people = append(people, person{at(t, host, ca), name, link, "UDP"})
			}
			ctx, cancel := within(t, 2*time.Minute)
			listed := s.awaitOffloaded(ctx)
			drive(t, "meet", map[string]any{"people": people, "path": "relayed"})
			cancel()
			if got := <-listed; got != test.offloads {
				t.Errorf("the list of relays tells of channels that the kernel forwards both ways: %v", got)
			}
			metrics := s.metrics(t)
			for _, direction := range []string{"up", "down"} {
				relayed := metrics[`turnpike_turn_packets_relayed_total{direction="`+direction+`"}`]
				offloaded := metrics[`turnpike_turn_packets_offloaded_total{direction="`+direction+`"}`]
				t.Logf("%s: %.0f packets were relayed, %.0f of them by the kernel", direction, relayed, offloaded)
				// Some go up to the process: all before the channels are bound and each end has sent, and the checks of other paths.
				if relayed < 100 || test.offloads && offloaded < 0.8*relayed || !test.offloads && offloaded != 0 {
					t.Errorf("%s: %.0f packets were relayed, %.0f of them by the kernel", direction, relayed, offloaded)
				}
			}
		})
	}
}

// metricsAddr is where a server tells its host what it does.
var metricsAddr = netip.MustParseAddrPort("127.0.0.1:9090")

// metrics reads them, by their names with labels.
func (s *server) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	client := client(s.host, metricsAddr, nil)
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + metricsAddr.String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = n
		}
	}
	return out
}

// awaitOffloaded looks at the list of relays until ctx ends, and then says whether it told of a channel that the kernel forwards both ways.
func (s *server) awaitOffloaded(ctx context.Context) <-chan bool {
	found := make(chan bool, 1)
	go func() {
		client := client(s.host, metricsAddr, nil)
		defer client.CloseIdleConnections()
		seen := false
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				found <- seen
				return
			case <-tick.C:
			}
			seen = seen || offloadsBothWays(client)
		}
	}()
	return found
}

func offloadsBothWays(client *http.Client) bool {
	resp, err := client.Get("http://" + metricsAddr.String() + "/allocations")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var list struct {
		Allocations []struct {
			Offloaded []struct{ PacketsUp, PacketsDown uint64 }
		}
	}
	if json.NewDecoder(resp.Body).Decode(&list) != nil {
		return false
	}
	for _, a := range list.Allocations {
		for _, c := range a.Offloaded {
			if c.PacketsUp > 0 && c.PacketsDown > 0 {
				return true
			}
		}
	}
	return false
}
