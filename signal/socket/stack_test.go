package socket

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// deep is an echo whose work needs a big stack.
type deep struct{ echo }

func (d *deep) HandleMessage(data []byte, now time.Time) (task any) {
	if grow(32) > 0 {
		return d.echo.HandleMessage(data, now)
	}
	return nil
}

//go:noinline
func grow(n int) int {
	var frame [512]byte
	if n == 0 {
		return len(frame)
	}
	frame[n%len(frame)] = byte(n)
	return grow(n-1) + int(frame[n%len(frame)])
}

// TestIdleStackUnderTLS: what a message needs of a stack does not stay with the reader, which waits for the next one.
func TestIdleStackUnderTLS(t *testing.T) {
	idleStack(t, func(e *deep) Handler { return e }) // whatever grows once has grown then
	for try := 1; ; try++ {
		shallow := idleStack(t, func(e *deep) Handler { return &e.echo })
		deep := idleStack(t, func(e *deep) Handler { return e })
		if deep <= shallow+1024 {
			return
		}
		if try == 3 { // stacks of goroutines of before, which the runtime gives back when it likes, disturb a try
			t.Fatalf("an idle reader has a stack of %d bytes after messages that need much, and %d after others", deep, shallow)
		}
	}
}

// idleStack returns how much stack a socket under TLS takes that has had some messages.
func idleStack(t *testing.T, handler func(*deep) Handler) int64 {
	t.Helper()
	const n = 300
	engine := NewEngine("echo", slog.New(slog.DiscardHandler))
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := &deep{echo{closing: make(chan string, 1), ended: make(chan string, 1), panicked: make(chan any, 4)}}
		if err := engine.Upgrade(w, r, &e.Conn, handler(e)); err != nil {
			t.Error(err)
			return
		}
		e.Start()
	}))
	ts.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(ts.Certificate())
	dialer := websocket.Dialer{Subprotocols: []string{"echo"}, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
	var clients []*websocket.Conn
	defer func() {
		for _, c := range clients {
			c.Close()
		}
		engine.Close()
		ts.Close()
	}()
	before, goroutines := stacks(), runtime.NumGoroutine()
	for range n {
		c, _, err := dialer.Dial("wss"+strings.TrimPrefix(ts.URL, "https"), nil)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
		for _, text := range []string{"one", "task", string(bytes.Repeat([]byte("x"), 1000))} {
			if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Fatal(err)
			}
			expect(t, c, text)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > goroutines+n+maxIdle; runtime.Gosched() {
		if time.Now().After(deadline) { // the HTTP server's goroutines should have ended
			t.Fatalf("%d goroutines for %d sockets", runtime.NumGoroutine()-goroutines, n)
		}
	}
	return (stacks() - before) / n
}

// stacks is how much memory stacks take, once they have shrunk as far as they can.
func stacks() int64 {
	for range 4 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse)
}
