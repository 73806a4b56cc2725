//go:build linux

// Package e2e tests the whole system: the program as it is built, real
// browsers on its real pages, and clients of other projects. They run on the
// hosts of netlab and behind its NATs.
//
//	test (Go) ── turnpike serve ──────────── on a host of netlab
//	     └────── node drive.mjs SCENARIO
//	                  └── Chromium, Firefox   on hosts behind NATs
//
// A scenario is a function in JavaScript that clicks and reads as people do. The
// Go test decides who is on which host, and checks what the scenario reports. A
// failed test prints the pages' messages and the server's log; `go test
// -artifacts` also keeps pictures of the pages.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// turnpike is the path of the program under test. Only TestMain sets it.
var turnpike string

// Tests with a browser load every core, so they run one after the other. All others call t.Parallel, and run together once those
// have ended: they mostly wait, coturn's clients for themselves, and others for packets that NATs keep out or for somebody to come back.
// So do the browsers of TestQuietPeers.
const inParallel = "6"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		os.Exit(program()) // This process is a program that a test has started.
	}
	if err := flag.Set("test.parallel", inParallel); err != nil {
		panic(err) // the testing package has had this flag since Go 1
	}
	flag.Parse() // which wins
	os.Exit(run(m))
}

// run exists for its deferred calls, which os.Exit would skip.
func run(m *testing.M) int {
	if testing.Short() || os.Geteuid() != 0 {
		return m.Run() // Each test skips, or fails in CI.
	}
	dir, err := os.MkdirTemp("", "turnpike-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	turnpike = filepath.Join(dir, "turnpike")
	build := exec.Command("go", "build", "-trimpath", "-o", turnpike, "example.org/turnpike/cmd/turnpike")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped, and as other tests build it
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: build turnpike:", err)
		return 1
	}
	return m.Run()
}

// need skips t in short runs, and if one of the programs is missing. In CI, a missing program fails t.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("e2e: browsers and servers take long; -short is set")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("e2e: %v, and CI must not skip this test", err)
			}
			t.Skipf("e2e: %v; internal/e2e/install.sh gets it", err)
		}
	}
}

// `make test` runs every row of a table with offload, and those marked userSpace once more without. `make matrix` runs
// all rows both ways.

// leftOut reports whether this run leaves out a row.
func leftOut(userSpace bool) bool {
	return !userSpace && os.Getenv("TURNPIKE_TURN_OFFLOAD") == "off" && !matrix()
}

// matrix reports whether this run is `make matrix`, which has the long form of each test.
func matrix() bool { return os.Getenv("TURNPIKE_MATRIX") != "" }

// within returns a context that ends after d. It ends earlier if the test binary's
// own deadline is near, so that the test can still end its processes in order.
func within(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	end := time.Now().Add(d)
	if last, ok := t.Deadline(); ok {
		if last = last.Add(-20 * time.Second); last.Before(end) {
			end = last
		}
	}
	return context.WithDeadline(context.Background(), end)
}
