//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// metricsAddr is the address of a server's metrics, for its own host only.
var metricsAddr = netip.MustParseAddrPort("127.0.0.1:9090")

// metrics reads the server's metrics, by their names with labels.
func (s *server) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	client := client(s.host, metricsAddr, nil)
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + metricsAddr.String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = n
		}
	}
	return out
}

// counter reads one metric of the server on host.
func counter(t *testing.T, host *netlab.Host, name string) int {
	t.Helper()
	_, body := fetch(t, host, 9090, "/metrics")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\d+)$`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no metric %s in\n%s", name, body)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// fetch gets a page of a server from its own host.
func fetch(t *testing.T, host *netlab.Host, port uint16, path string) (status int, body string) {
	t.Helper()
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	c := client(host, at, nil)
	defer c.CloseIdleConnections()
	resp, err := c.Get("http://" + at.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// awaitSessions waits until the server's metrics count that many sessions.
func awaitSessions(t *testing.T, s *server, want int) {
	t.Helper()
	metrics := client(s.host, netip.MustParseAddrPort("127.0.0.1:9090"), nil)
	defer metrics.CloseIdleConnections()
	line := fmt.Sprintf("\nturnpike_signal_sessions %d\n", want)
	deadline := time.After(90 * time.Second)
	for {
		var body []byte
		resp, err := metrics.Get("http://localhost:9090/metrics")
		if err == nil {
			body, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil && bytes.Contains(body, []byte(line)) {
			return
		}
		select {
		case <-deadline:
			t.Errorf("the server never had %d sessions: %v", want, err)
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}
