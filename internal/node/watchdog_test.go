//go:build unix

package node

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWatchdog: a server that systemd watches says again and again that it is alive.
func TestWatchdog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "100000")
	start(t)
	buf := make([]byte, 1000)
	for ready, alive := false, 0; !ready || alive < 3; {
		if err := socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		ready = ready || strings.Contains(string(buf[:n]), "READY=1")
		if string(buf[:n]) == "WATCHDOG=1" {
			alive++
		}
	}
}
