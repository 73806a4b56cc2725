//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// A place tells the driver where to start a browser.
type place struct {
	Netns   string `json:"netns"`
	Home    string `json:"home"`
	Browser string `json:"browser"`
	Proxy   string `json:"proxy,omitempty"` // host:port of an HTTP proxy that it uses
}

// A person follows a link in the scenario meet.
type person struct {
	place
	Name string `json:"name"`
	URL  string `json:"url"`
	Over string `json:"over"` // the expected transport of this person's half of the path
}

const (
	chromium = "chromium"
	firefox  = "firefox"
)

// chromiumAt makes a home directory for a Chromium on host, which trusts ca unless that is nil.
func chromiumAt(t *testing.T, host *netlab.Host, ca *authority) place {
	return browserAt(t, chromium, host, ca)
}

// browserAt does the same for either browser.
func browserAt(t *testing.T, browser string, host *netlab.Host, ca *authority) place {
	t.Helper()
	p := place{Netns: host.Namespace(), Home: t.TempDir(), Browser: browser}
	if ca == nil {
		return p
	}
	store := filepath.Join(p.Home, ".pki", "nssdb")
	if browser == firefox {
		store = filepath.Join(p.Home, "firefox") // the profile
	}
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := within(t, 20*time.Second)
	defer cancel()
	for _, args := range [][]string{
		{"-N", "--empty-password"},
		{"-A", "-n", "turnpike test authority", "-t", "C,,", "-i", ca.caFile},
	} {
		cmd := exec.CommandContext(ctx, "certutil", append([]string{"-d", "sql:" + store}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("certutil %v: %v: %s", args, err, out)
		}
	}
	return p
}

// makePair makes an invite to a room, and a host with a person for each kind. The scenario lets the people meet there.
func makePair(t *testing.T, lab *netlab.Lab, s *server, config string, ca *authority, i int, kinds ...netlab.Kind) ([]*netlab.Host, []person) {
	t.Helper()
	link := s.link(t, config, fmt.Sprintf("standup-%d", i))
	var hosts []*netlab.Host
	var people []person
	for side, kind := range kinds {
		name := []string{"ann", "ben"}[side]
		host := lab.Behind(kind, fmt.Sprintf("%s%d", name, i))
		hosts = append(hosts, host)
		people = append(people, person{place: chromiumAt(t, host, ca), Name: name, URL: link})
	}
	return hosts, people
}

// drive plays a scenario of drive.mjs and logs its steps. A scenario that fails ends the test.
func drive(t *testing.T, scenario string, plan map[string]any) {
	t.Helper()
	driveOn(t, nil, scenario, plan, nil)
}

// driveOn does the same on a host, as a scenario with a Firefox there needs it; nil is this machine. When the scenario
// prints a cue, driveOn calls the function of that name.
func driveOn(t *testing.T, host *netlab.Host, scenario string, plan map[string]any, cues map[string]func()) {
	t.Helper()
	ctx, cancel := within(t, 5*time.Minute)
	defer cancel()
	plan["artifacts"] = t.ArtifactDir()
	input, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "node", "drive.mjs", scenario)
	if host != nil {
		cmd = host.Command(ctx, "node", "drive.mjs", scenario)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	// Playwright closes its browsers on SIGTERM, but not on SIGKILL.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	say := func(line string) {
		if _, err := fmt.Fprintln(stdin, line); err != nil {
			t.Errorf("scenario %s: %v", scenario, err) // The scenario has ended; Wait tells why.
		}
	}
	say(string(input))
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		t.Log(lines.Text())
		var line struct{ Cue string }
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Cue == "" {
			continue
		}
		act := cues[line.Cue]
		if act == nil {
			t.Errorf("scenario %s: nobody waits for the cue %q", scenario, line.Cue)
			break
		}
		act()
		say("done")
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("scenario %s: %v\n%s\npictures of the pages: %s (kept with go test -artifacts)", scenario, err, stderr.Bytes(), t.ArtifactDir())
	}
}
