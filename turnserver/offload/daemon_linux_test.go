//go:build linux && (amd64 || arm64)

package offload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"example.org/turnpike/internal/netlab"
)

// A daemon is this test's own program, run again on a host of netlab, where it opens a path and follows orders. It is a
// process of its own because a path belongs to its process's network namespace, and because a test must kill it.

const daemonEnv = "TURNPIKE_OFFLOAD_TEST_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(daemonEnv) != "" {
		serve(os.Stdin, os.Stdout)
		return
	}
	if os.Getenv(supportedEnv) != "" {
		printSupported()
		return
	}
	os.Exit(m.Run())
}

// order is an order to a daemon, a line of JSON.
type order struct {
	Open, Filter bool
	Addresses    []netip.Addr
	Put, Remove  *Flow
	Deafen       bool // make the watcher's socket fail
}

// report is the daemon's answer, with the totals since Open.
type report struct {
	Error    string
	Up, Down Usage // of a flow that was removed
	Totals   Totals
	Faults   int
	Paused   string
}

func serve(in io.Reader, out io.Writer) {
	var path *Path
	var faults atomic.Int32
	fault := func() { faults.Add(1) }
	orders, reports := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if orders.Decode(&o) != nil {
			break
		}
		var r report
		var err error
		switch {
		case o.Open && o.Filter:
			path, err = open(Config{Addresses: o.Addresses, Fault: fault}, filter())
		case o.Open:
			path, err = Open(Config{Addresses: o.Addresses, Fault: fault})
		case o.Put != nil:
			err = path.Put(*o.Put)
		case o.Deafen:
			err = path.watcher.routing.current().Close()
		case o.Remove != nil:
			r.Up, r.Down = path.Remove(*o.Remove)
		}
		if err == nil {
			r.Totals, err = path.Totals()
			r.Faults, r.Paused = int(faults.Load()), path.Paused()
		}
		if err != nil {
			r.Error = err.Error()
		}
		if reports.Encode(r) != nil {
			break
		}
	}
	if path != nil {
		_ = path.Close()
	}
}

type daemon struct {
	t       testing.TB
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	orders  *json.Encoder
	reports *json.Decoder
	ended   bool
}

func startDaemon(t testing.TB, on *netlab.Host) *daemon {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	return startDaemonAs(t, on.Command(context.Background(), self))
}

// startContained starts a daemon as the first process of a namespace of processes, as in a container.
func startContained(t testing.TB, on *netlab.Host) *daemon {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	return startDaemonAs(t, on.Command(context.Background(), "unshare", "--pid", "--fork", "--kill-child", self))
}

func startDaemonAs(t testing.TB, cmd *exec.Cmd) *daemon {
	t.Helper()
	cmd.Env = append(os.Environ(), daemonEnv+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	d := &daemon{t: t, cmd: cmd, stdin: stdin, orders: json.NewEncoder(stdin), reports: json.NewDecoder(bufio.NewReader(stdout))}
	t.Cleanup(func() {
		if !d.ended {
			d.end()
		}
		if t.Failed() {
			t.Logf("the daemon said: %s", stderr.Bytes())
		}
	})
	return d
}

// do gives the daemon an order.
func (d *daemon) do(o order) report {
	d.t.Helper()
	must(d.t, d.orders.Encode(o))
	var r report
	if err := d.reports.Decode(&r); err != nil {
		d.t.Fatalf("the daemon does not answer: %v", err)
	}
	if r.Error != "" {
		d.t.Fatal(r.Error)
	}
	return r
}

func (d *daemon) put(flows ...Flow) {
	d.t.Helper()
	for _, f := range flows {
		d.do(order{Put: &f})
	}
}

func (d *daemon) totals() Totals {
	d.t.Helper()
	return d.do(order{}).Totals
}

// end makes the daemon close its path.
func (d *daemon) end() {
	d.t.Helper()
	d.ended = true
	_ = d.stdin.Close()
	if err := d.cmd.Wait(); err != nil {
		d.t.Error(fmt.Errorf("the daemon: %w", err))
	}
}

// kill ends it as kill -9 does.
func (d *daemon) kill() {
	d.t.Helper()
	d.ended = true
	must(d.t, d.cmd.Process.Kill())
	_ = d.cmd.Wait()
}
