package node

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWebPlaces: connections that say nothing, a part of a request, or no more after one, keep no visitor out. The one
// without a change for the longest goes.
func TestWebPlaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "turnpike.toml")
	if err := os.WriteFile(file, []byte("[limits]\nhttp_connections = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--config", file)
	dial := func(say string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", s.webAddr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, say); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	wantClosed := func(conn net.Conn) {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second)) // sooner than the server gives up a silent connection
		if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
			t.Fatal("the connection is still open")
		}
	}
	const request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
	visitor := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	idle := dial(request + "\r\n")
	answer := make([]byte, 12)
	if _, err := io.ReadFull(idle, answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Fatalf("%q, %v", answer, err)
	}
	waiting := []net.Conn{idle}
	for range 10 {
		waiting = append(waiting, dial(request))
		if status, _ := get(t, visitor, s.row("web")); status != http.StatusOK {
			t.Fatal("the page: ", status)
		}
	}
	for _, conn := range waiting[:len(waiting)-3] {
		wantClosed(conn)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
