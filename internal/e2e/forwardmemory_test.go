//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"example.org/turnpike/internal/netlab"
)

// maxListenMemory is in KiB, for 100 connections.
const maxListenMemory = 60 << 10

// TestForwardMemory measures the listening side with 100 connections that carry something now and then.
func TestForwardMemory(t *testing.T) {
	need(t)
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	near, far := twoMachines(t, lab, s, config, ca, netlab.Symmetric, "")
	port := listenTCP(t, far.host, echoTCP)
	listening := far.start(t, nil, "listen", "--allow", port, "--from", "laptop")
	listening.says(t, "listens as nas")
	forwarding := near.start(t, nil, "forward", "-L", "0:localhost:"+port, "nas")
	to := forwarding.forwarded(t, "localhost:"+port)
	before := resident(t, listening)
	var conns []*net.TCPConn
	for range 100 {
		conns = append(conns, dialFrom(t, near.host, to))
	}
	text := strings.Repeat("x", 16<<10)
	for range 5 {
		for _, conn := range conns {
			echoes(t, conn, text)
		}
	}
	listened, forwarded := resident(t, listening), resident(t, forwarding)
	t.Logf("listen: %d KiB before, %d KiB with 100 connections; forward: %d KiB", before, listened, forwarded)
	if listened > maxListenMemory {
		t.Errorf("listen takes %d KiB, more than %d", listened, maxListenMemory)
	}
}

// resident is the memory of a command, in KiB. ip(8) has become the command.
func resident(t *testing.T, v *verb) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`).FindSubmatch(status)
	if found == nil {
		t.Fatalf("no VmRSS in %s", status)
	}
	size, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return size
}
