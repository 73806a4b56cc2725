//go:build linux

package netlab

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestCommand(t *testing.T) {
	lab := New(t)
	server := lab.Public("server")
	lab.AddName("turn.lab", server)
	alice := lab.Behind(Symmetric, "alice")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := alice.Command(ctx, "getent", "hosts", "turn.lab").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), server.Addr().String()+" ") {
		t.Errorf("turn.lab resolves to %q (%v), want %v", out, err, server.Addr())
	}
	out, err = alice.Command(ctx, "ip", "-4", "-o", "addr").CombinedOutput()
	if err != nil || !strings.Contains(string(out), alice.Addr().String()) {
		t.Errorf("ip addr: %v: %s", err, out)
	}
}

// TestCleanup holds that a lab removes everything that it made, and nothing else.
func TestCleanup(t *testing.T) {
	outer := New(t)
	outer.Public("stays")
	names := func() string {
		out, err := exec.Command("ip", "netns", "list").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	var prefix, dir string
	t.Run("inner", func(t *testing.T) {
		lab := New(t)
		prefix, dir = lab.prefix, filepath.Join(hostsDir, lab.Behind(FullCone, "alice").Namespace())
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
		if got := names(); strings.Count(got, prefix+"-") != 3 {
			t.Errorf("namespaces: %s, want the bridge, a host and its NAT", got)
		}
	})
	if got := names(); strings.Contains(got, prefix+"-") || !strings.Contains(got, outer.prefix+"-stays") {
		t.Errorf("namespaces left:\n%s", got)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
}

// TestIsolation holds that a lab does not reach the machine's own network.
func TestIsolation(t *testing.T) {
	lab := New(t)
	host := lab.Public("host")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := host.Command(ctx, "ip", "-o", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(out, []byte("\n")); lines != 2 {
		t.Errorf("interfaces besides lo and eth0:\n%s", out)
	}
	out, err = exec.CommandContext(ctx, "ip", "-n", lab.bridge, "-o", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(out, []byte("\n")); lines != 3 {
		t.Errorf("the segment has more than lo, br0 and the port to the host:\n%s", out)
	}
}

// TestDoAfterGoexit holds that Do returns although its function ends the goroutine, as t.Fatal does.
func TestDoAfterGoexit(t *testing.T) {
	host := New(t).Public("host")
	err := host.Do(func() error {
		runtime.Goexit()
		return nil
	})
	if !errors.Is(err, errGoexit) {
		t.Errorf("Do returned %v, want %v", err, errGoexit)
	}
}

// TestLine holds that the outer hosts of a line reach each other and both sides of the middle one, and that each appears
// by its own address.
func TestLine(t *testing.T) {
	line := New(t).Line()
	left, right := listen(t, line.Left), listen(t, line.Right)
	for _, way := range [][2]*net.UDPConn{{left, right}, {right, left}, {left, listen(t, line.Middle)}, {right, listen(t, line.Middle)}} {
		if from := deliver(t, way[0], way[1], "hello"); from != local(way[0]) {
			t.Errorf("came from %v, want %v", from, local(way[0]))
		}
	}
	var conn *net.UDPConn
	err := line.Middle.Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(line.ToRight, 0)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deliver(t, left, conn, "hello")
}
