package setup

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
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
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("this host has no IPv6: ", err)
	}
	defer conn.Close()
	want := fmt.Sprintf("(process %d)", os.Getpid())
	for network, addr := range map[string]string{"tcp": l.Addr().String(), "udp6": conn.LocalAddr().String()} {
		if got := (Host{}).Holder(t.Context(), network, addr); !strings.HasSuffix(got, want) {
			t.Errorf("%s %s is of %q", network, addr, got)
		}
		if err := (Host{}).Listen(network, addr); err == nil {
			t.Errorf("%s %s is free", network, addr)
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
