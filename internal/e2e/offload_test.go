//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestOffload lets two people meet whom only a relay connects. By default the kernel of the server's host forwards their
// packets, since tests run as root: then most packets must not reach the process, and the list of relays and the page
// must say so. With offload off, the process forwards all packets.
func TestOffload(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	for _, test := range []struct {
		name, turn, page string
		offloads         bool
	}{
		{"kernel", "", "by the kernel", true},
		{"process", `offload = "off"`, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			lab := netlab.New(t)
			s, config, ca := startServerOn(t, lab, lab.Public("server"), defaultListen+"\n"+test.turn)
			link := s.link(t, config, "standup")
			var people []person
			for _, name := range []string{"ann", "ben"} {
				host := lab.Behind(netlab.Symmetric, name)
				people = append(people, person{chromiumAt(t, host, ca), name, link, "UDP"})
			}
			ctx, cancel := within(t, 2*time.Minute)
			listed := s.awaitOffloaded(ctx)
			drive(t, "meet", map[string]any{"people": people, "path": "relayed", "by": test.page})
			cancel()
			if got := <-listed; got != test.offloads {
				t.Errorf("the list of relays has flows that the kernel forwards both ways: %v, want %v", got, test.offloads)
			}
			s.wantOffloaded(t, test.offloads)
		})
	}
}

// wantOffloaded checks that the kernel relayed most packets, or none.
func (s *server) wantOffloaded(t *testing.T, offloads bool) {
	t.Helper()
	metrics := s.metrics(t)
	for _, direction := range []string{"up", "down"} {
		relayed := metrics[`turnpike_turn_packets_relayed_total{direction="`+direction+`",transport="udp"}`]
		offloaded := metrics[`turnpike_turn_packets_offloaded_total{direction="`+direction+`"}`]
		t.Logf("%s: %.0f packets were relayed, %.0f of them by the kernel", direction, relayed, offloaded)
		// The process relays the packets before the flows are in place and each end has sent, and the checks of other
		// paths. A fast machine is done with the call after some 70 packets up.
		if relayed < 30 || offloads && offloaded < 0.5*relayed || !offloads && offloaded != 0 {
			t.Errorf("%s: %.0f packets were relayed, %.0f of them by the kernel", direction, relayed, offloaded)
		}
	}
}

// awaitOffloaded reads the list of relays until ctx ends. The channel then gets whether it ever had a flow that the
// kernel forwards both ways.
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

// TestOffloadPrivileges starts the server as the user nobody. With the capabilities that docs/operation.md gives the
// program, it forwards in the kernel. Without them it relays in the process, and says which are missing.
func TestOffloadPrivileges(t *testing.T) {
	need(t, "setpriv", "setcap")
	// The user nobody cannot enter the directory in which TestMain built the program.
	dir := worldReadable(t)
	plain, capable := filepath.Join(dir, "plain"), filepath.Join(dir, "capable")
	for _, program := range []string{plain, capable} {
		if err := copyFile(program, turnpike); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("setcap", documentedCapabilities(t), capable).CombinedOutput(); err != nil {
		t.Fatalf("setcap: %v\n%s", err, out)
	}
	command := func(t *testing.T, program, offload string) []string {
		state := filepath.Join(worldReadable(t), "state")
		if err := errors.Join(os.Mkdir(state, 0o700), os.Chown(state, nobody, nobody)); err != nil {
			t.Fatal(err)
		}
		return []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "serve", "--state", state, "--turn-offload", offload}
	}
	web := netip.MustParseAddrPort("127.0.0.1:8080")
	for _, test := range []struct {
		name, program, offload string
		on                     float64
		log, check             string
	}{
		{"required", capable, "require", 1, "established flows are forwarded in the kernel", "the kernel forwards 0 flows"},
		{"by default", capable, "auto", 1, "established flows are forwarded in the kernel", "the kernel forwards 0 flows"},
		{"off", capable, "off", 0, "", "flows go through the process, as turn.offload has it"},
		{"unavailable", plain, "auto", 0, "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON", "flows go through the process: forwarding in the kernel needs CAP_BPF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serveCommand(t, netlab.New(t).Public("server"), "http://"+web.String(), web, nil, command(t, test.program, test.offload)...)
			if got := s.metrics(t)["turnpike_turn_offload"]; got != test.on {
				t.Errorf("turnpike_turn_offload is %v, want %v", got, test.on)
			}
			said := 0
			for line := range strings.Lines(s.log.String()) {
				if strings.Contains(line, "kernel") {
					said++
				}
			}
			if want := min(1, len(test.log)); said != want || !strings.Contains(s.log.String(), test.log) {
				t.Errorf("the log does not say %q, or says it in more than one line:\n%s", test.log, s.log.String())
			}
			if out := s.run(t, "check"); !strings.Contains(out, test.check) {
				t.Errorf("turnpike check does not say %q:\n%s", test.check, out)
			}
		})
	}
	t.Run("less permitted", func(t *testing.T) {
		// As in a container, or in a unit that gives one capability: the program starts, and does with what there is.
		line := append([]string{"setpriv", "--bounding-set=-all,+net_bind_service"}, command(t, capable, "auto")[1:]...)
		web := netip.MustParseAddrPort("127.0.0.1:443")
		s := serveCommand(t, netlab.New(t).Public("server"), "http://"+web.String(), web, nil, append(line, "--http-listen", web.String())...)
		if !strings.Contains(s.log.String(), "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON") || s.metrics(t)["turnpike_turn_offload"] != 0 {
			t.Errorf("the log does not say what is missing:\n%s", s.log.String())
		}
	})
	t.Run("nothing permitted", func(t *testing.T) {
		line := append([]string{"setpriv", "--bounding-set=-all", "--no-new-privs"}, command(t, capable, "auto")[1:]...)
		serveCommand(t, netlab.New(t).Public("server"), "http://"+web.String(), web, nil, line...)
	})
	t.Run("required and unavailable", func(t *testing.T) {
		ctx, cancel := within(t, 20*time.Second)
		defer cancel()
		line := command(t, plain, "require")
		out, err := netlab.New(t).Public("server").Command(ctx, line[0], line[1:]...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "turn.offload: forwarding in the kernel needs CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON") {
			t.Errorf("%v:\n%s", err, out)
		}
	})
}

const nobody = 65534

// documentedCapabilities returns the capabilities that the setcap command in docs/operation.md gives the program.
func documentedCapabilities(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, line, ok := strings.Cut(string(page), "sudo setcap ")
	words := strings.Fields(line)
	if !ok || len(words) < 2 || words[1] != "bin/turnpike" {
		t.Fatal("docs/operation.md does not say how to give the program its capabilities")
	}
	return words[0]
}

// worldReadable makes a directory that every user may enter. Those of t.TempDir are closed to the user nobody.
func worldReadable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "turnpike-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o755)
}
