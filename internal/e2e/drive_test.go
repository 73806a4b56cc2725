//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	newDriver(t, host).play(t, scenario, plan, cues)
}

// A driver is a process of drive.mjs. It plays one scenario after the other, for which its browsers stay open.
type driver struct {
	host   *netlab.Host // nil: this machine
	cmd    *exec.Cmd    // nil: it does not run, as before the first scenario and after one that failed
	stop   context.CancelFunc
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr *bytes.Buffer // which belongs to cmd until it has ended
}

// newDriver makes a driver that lasts until t ends.
func newDriver(t *testing.T, host *netlab.Host) *driver {
	d := &driver{host: host}
	t.Cleanup(func() {
		if err := d.end(); err != nil {
			t.Errorf("the driver of browsers: %v", err)
		}
	})
	return d
}

func (d *driver) start() error {
	var ctx context.Context
	ctx, d.stop = context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", "drive.mjs")
	if d.host != nil {
		cmd = d.host.Command(ctx, "node", "drive.mjs")
	}
	d.stderr = new(bytes.Buffer)
	cmd.Stderr = d.stderr
	// Playwright closes its browsers on SIGTERM, but not on SIGKILL.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	d.lines = bufio.NewScanner(stdout)
	d.lines.Buffer(nil, 1<<20)
	if d.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	d.cmd = cmd
	return nil
}

// end lets the process close its browsers.
func (d *driver) end() error {
	if d.cmd == nil {
		return nil
	}
	defer time.AfterFunc(time.Minute, d.stop).Stop() // a scenario may have left something that keeps the process
	_ = d.stdin.Close()
	for d.lines.Scan() { // a line that nobody reads must not keep it
	}
	err := d.cmd.Wait()
	d.stop()
	d.cmd = nil
	if err != nil {
		return fmt.Errorf("%w\n%s", err, d.stderr)
	}
	return nil
}

func (d *driver) say(what any) error {
	line, err := json.Marshal(what)
	if err == nil {
		_, err = d.stdin.Write(append(line, '\n'))
	}
	return err
}

// play plays a scenario, as driveOn says.
func (d *driver) play(t *testing.T, scenario string, plan map[string]any, cues map[string]func()) {
	t.Helper()
	if d.cmd == nil {
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := within(t, 5*time.Minute)
	defer cancel()
	defer context.AfterFunc(ctx, d.stop)()
	plan["artifacts"] = t.ArtifactDir()
	played, ended := false, false
	defer func() {
		if played {
			return
		}
		if !ended {
			d.stop()
		}
		t.Errorf("scenario %s: %v\npictures of the pages: %s (kept with go test -artifacts)", scenario, d.end(), t.ArtifactDir())
	}()
	if err := d.say(map[string]any{"scenario": scenario, "plan": plan}); err != nil {
		t.Fatal(err)
	}
	for d.lines.Scan() {
		t.Log(d.lines.Text())
		var line struct {
			Cue    string
			Report json.RawMessage
		}
		switch err := json.Unmarshal(d.lines.Bytes(), &line); {
		case err != nil: // what some program of the scenario prints
		case line.Report != nil:
			played = true
			return
		case line.Cue != "":
			act := cues[line.Cue]
			if act == nil {
				t.Fatalf("nobody waits for the cue %q", line.Cue)
			}
			act()
			if err := d.say("done"); err != nil {
				t.Fatal(err)
			}
		}
	}
	ended = true // and says why
}
