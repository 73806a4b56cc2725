//go:build linux

// Package bench compares the server with others. Relaying is loaded by the load generator of turnpike bench, on three hosts of netlab:
//
//	clients ── server ── peers
//
// The server has one core, and the load generator, with the sockets of both sides in their hosts, has the rest. What is
// compared is the time of the whole machine for a packet, less what it takes when the middle host only routes the
// same packets. Our server is measured twice, with established flows in the kernel and without. Each figure comes from rounds of runs, one
// server after the other, and every other round in the opposite order.
//
// `make bench` runs TestTable, which prints the table; `go test -run TestTable/audio` with BENCH_PAIRS set runs a part of it.
//
// Signaling is loaded by that of turnpike bench signal, over loopback, beside PeerJS's server: `make bench-signal` runs TestSignalTable.
package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"turnpike/internal/netlab"
)

// turnpike is the path of the program under test, set by TestMain alone.
var turnpike string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run exists for its deferred calls, which os.Exit would skip.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "turnpike-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	turnpike = filepath.Join(dir, "turnpike")
	return m.Run()
}

// build compiles turnpike, as make build does.
func build(t *testing.T) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-o", turnpike, "turnpike/cmd/turnpike")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build turnpike: %v\n%s", err, out)
	}
}

// need skips t where one of the programs is missing. In CI, that is a failure.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("bench: %v, and CI must not skip this test", err)
			}
			t.Skipf("bench: %v; as root on Debian: internal/e2e/install.sh %s", err, program)
		}
	}
}

// pairs is how often `make bench` measures; 0 if this is not `make bench`.
func pairs(t *testing.T) int {
	t.Helper()
	s := os.Getenv("BENCH_PAIRS")
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("BENCH_PAIRS=%s is no number of pairs", s)
	}
	return n
}

// lab is the three hosts.
type lab struct {
	netlab.Line
	core int // the server's
}

func newLab(t *testing.T) lab {
	t.Helper()
	return lab{netlab.New(t).Line(), serverCore()}
}

// serverCore is the core that servers have to themselves.
func serverCore() int { return runtime.NumCPU() - 1 }

// keepOff moves every thread of this process off the server's core. Threads to come inherit that from theirs.
func keepOff(t *testing.T) {
	t.Helper()
	if runtime.NumCPU() < 2 {
		t.Fatal("bench: server and load generator need a core each")
	}
	var set unix.CPUSet
	for core := range runtime.NumCPU() {
		if core != serverCore() {
			set.Set(core)
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err == nil {
			err = unix.SchedSetaffinity(tid, &set)
		}
		if err != nil && err != unix.ESRCH { // a thread may end meanwhile
			t.Fatal(err)
		}
	}
}
