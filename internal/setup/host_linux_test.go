package setup

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestHolder: the process that has a port is named, over TCP and UDP.
func TestHolder(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		cannot(t, "this host has no IPv6: ", err)
	}
	defer conn.Close()
	want := fmt.Sprintf("(process %d)", os.Getpid())
	for network, addr := range map[string]string{"tcp": l.Addr().String(), "udp6": conn.LocalAddr().String()} {
		if got := (Host{}).Holder(t.Context(), network, addr); !strings.HasSuffix(got, want) {
			t.Errorf("%s %s is of %q", network, addr, got)
		}
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []Host{{}, {Look: true}} {
			for _, there := range []string{addr, ":" + port} {
				if err := host.Listen(network, there); !errors.Is(err, syscall.EADDRINUSE) {
					t.Errorf("%+v: %s %s: %v", host, network, there, err)
				}
			}
			if err := host.Listen(network[:3]+"4", "127.0.0.2:"+port); err != nil {
				t.Errorf("%+v: port %s of another address: %v", host, port, err)
			}
		}
	}
	if got := (Host{}).Holder(t.Context(), "tcp", "127.0.0.1:1"); got != "" {
		t.Errorf("port 1 is of %q", got)
	}
}

// TestWritable: a directory need not be there, and is not made.
func TestWritable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := (Host{}).Writable(dir, 1); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(dir)); err == nil {
		t.Error("it was made")
	}
	if err := (Host{}).Writable(dir, 1<<62); err == nil || !strings.Contains(err.Error(), "bytes of room") {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Host{}).Writable(file, 1); err == nil {
		t.Error("a file can be a directory")
	}
	if err := (Host{}).Writable("/proc/self/turnpike", 1); err == nil {
		t.Error("/proc can be written")
	}
}

// cannot skips a test that this machine cannot run, or fails it in CI.
func cannot(t *testing.T, why ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why...)
	}
	t.Skip(why...)
}

// TestLooks: to ask whether a directory can be written changes nothing.
func TestLooks(t *testing.T) {
	dir := t.TempDir()
	before, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Host{}).Writable(dir, 1); err != nil {
		t.Error(err)
	}
	if after, err := os.Stat(dir); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Error("a look at a directory changes it")
	}
}

// TestReadOnly: a file system that is read-only, and one that is full, cannot keep the state, also for root.
func TestReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		cannot(t, "only root may mount a file system")
	}
	runtime.LockOSThread() // and never unlocked, so that the thread with the mounts ends with the test
	dir := t.TempDir()
	if err := errors.Join(syscall.Unshare(syscall.CLONE_NEWNS), syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")); err != nil {
		t.Fatal(err)
	}
	mount := func(flags uintptr) {
		t.Helper()
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		if err := syscall.Mount("none", dir, "tmpfs", flags, "size=1m,nr_inodes=8"); err != nil {
			t.Fatal(err)
		}
	}
	state := filepath.Join(dir, "state")
	mount(syscall.MS_RDONLY)
	if err := (Host{}).Writable(state, 1); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a read-only file system: %v", err)
	}
	mount(0)
	if err := (Host{}).Writable(state, 512<<10); err != nil {
		t.Errorf("a file system with room: %v", err)
	}
	if err := (Host{}).Writable(state, leastRoom); err == nil || !strings.Contains(err.Error(), "bytes of room") {
		t.Errorf("a file system with less: %v", err)
	}
	for i := range 7 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := (Host{}).Writable(state, 1); err == nil || !strings.Contains(err.Error(), "0 bytes of room") {
		t.Errorf("a file system with no inode: %v", err)
	}
}

// TestRouteText: a route that has no gateway is named by its device alone.
func TestRouteText(t *testing.T) {
	if got := routeText("wg0", nil); got != "wg0" {
		t.Error(got)
	}
	if got := routeText("eth0", net.ParseIP("45.33.7.1")); got != "eth0 by 45.33.7.1" {
		t.Error(got)
	}
}
