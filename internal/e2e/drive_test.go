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

	"turnpike/internal/netlab"
)

// A place is where the driver starts a browser.
type place struct {
	Netns   string `json:"netns"`
	Home    string `json:"home"`
	Browser string `json:"browser"`
}

const (
	chromium = "chromium"
	firefox  = "firefox"
)

// at makes a home directory for a Chromium on host. With ca it trusts that certificate.
func at(t *testing.T, host *netlab.Host, ca *authority) place {
	return browserAt(t, chromium, host, ca)
}

// browserAt is at for either browser.
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

// drive plays one scenario of drive.mjs, and logs its steps. A scenario that fails ends the test.
func drive(t *testing.T, scenario string, plan map[string]any) {
	t.Helper()
	driveOn(t, nil, scenario, plan, nil)
}

// driveOn is drive for a scenario that has to be played on a host, as one with a Firefox on it, or that asks for something
// to be done by a cue.
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
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	// Playwright closes its browsers on SIGTERM, and would leave them on SIGKILL.
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
			t.Errorf("scenario %s: %v", scenario, err) // It has ended; Wait tells why.
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
		t.Fatalf("scenario %s: %v\n%s\npictures of the pages: %s (kept with go test -artifacts)", scenario, err, complaint.Bytes(), t.ArtifactDir())
	}
}
