//go:build linux

// Package bench compares our server with others. For relaying, the load generator of turnpike bench runs on three hosts of netlab:
//
//	clients ── server ── peers
//
// The server has one core. The load generator has the rest, and opens the sockets of both sides on their hosts. A figure of
// processor time is that of the whole machine for a packet, less its time for a packet that it only routes. Our
// server is measured twice, with established flows in the kernel and without. Each round measures one server after the other;
// every second round in the opposite order.
//
// `make bench` runs TestTable, which prints the table; `go test -run TestTable/audio` with BENCH_PAIRS set runs a part of it.
//
// `make flood` runs TestFlood on the same hosts: it measures what calls lose while forged datagrams come to the server.
//
// For signaling, `make bench-signal` runs TestSignalTable. The load generator of turnpike bench signal loads our server and
// PeerJS's over loopback.
//
// `make bench-peer` runs TestPeerTable: two processes transfer with the client library, with the kernel's TCP and with a data
// channel, straight from host to host and across a hop of netlab that has a rate, a delay and losses.
package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"example.org/turnpike/internal/netlab"
)

// turnpike is the path of the program under test. Only TestMain sets it.
var turnpike string

func TestMain(m *testing.M) {
	if job := os.Getenv(endVariable); job != "" {
		if err := runEnd(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run(m))
}

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

// build compiles turnpike as make build does, for the first test that needs it.
func build(t *testing.T) {
	t.Helper()
	if err := compile(); err != nil {
		t.Fatal(err)
	}
}

var compile = sync.OnceValue(func() error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", turnpike, "example.org/turnpike/cmd/turnpike")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build turnpike: %w\n%s", err, out)
	}
	return nil
})

// need skips t if one of the programs is missing, or fails t in CI.
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

// pairs returns how many rounds `make bench` measures; 0 if this is not `make bench`.
func pairs(t *testing.T) int {
	t.Helper()
	s := os.Getenv("BENCH_PAIRS")
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("BENCH_PAIRS=%s is not a number of rounds", s)
	}
	return n
}

// lab is the three hosts and the server's core.
type lab struct {
	netlab.Line
	core int // the server's
}

func newLab(t *testing.T) lab {
	t.Helper()
	return lab{netlab.New(t).Line(), serverCore()}
}

// serverCore returns the core that only the server uses.
func serverCore() int { return runtime.NumCPU() - 1 }

// leaveServerCore moves every thread of this process off the server's core. New threads inherit that.
func leaveServerCore(t *testing.T) {
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
