//go:build linux

// Package e2e tests the whole system: the program as it is built, real
// browsers on its real pages, and other people's clients, on the hosts and
// behind the NATs of netlab.
//
//	test (Go) ── turnpike serve ──────────── on a host of netlab
//	     └────── node drive.mjs SCENARIO
//	                  └── Chromium, Firefox   on hosts behind NATs
//
// A scenario is a file of JavaScript that acts and looks as people do; the Go
// test says who stands where, and judges what the scenario reports. What a page
// said and the server's log are in the output of a failed test; `go test -artifacts` also
// keeps pictures of the pages.
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

// turnpike is the path of the program under test, set by TestMain alone.
var turnpike string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// run exists for its deferred calls, which os.Exit would skip.
func run(m *testing.M) int {
	if testing.Short() || os.Geteuid() != 0 {
		return m.Run() // Everything will be skipped, or fail where it must not be.
	}
	dir, err := os.MkdirTemp("", "turnpike-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	turnpike = filepath.Join(dir, "turnpike")
	build := exec.Command("go", "build", "-o", turnpike, "turnpike/cmd/turnpike")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: build turnpike:", err)
		return 1
	}
	return m.Run()
}

// need skips t in short runs, and where one of the programs is missing. In CI, a missing program is a failure.
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

// Of the tables, `make test` runs every row with established flows in the kernel, and in user space the rows that are marked
// as userSpace. `make matrix` runs all rows both ways.

// leftOut reports whether this run leaves out a row.
func leftOut(userSpace bool) bool {
	return !userSpace && os.Getenv("TURNPIKE_TURN_OFFLOAD") == "off" && !matrix()
}

// matrix reports whether the long forms are wanted.
func matrix() bool { return os.Getenv("TURNPIKE_MATRIX") != "" }

// within is a context that ends after d, or soon enough before the test
// binary's own deadline that everything started can still be ended in order.
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
