package socket

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// echo sends texts back, at once or, if they begin with "task", as a task.
type echo struct {
	Conn
	binary, pings int
	fragile       atomic.Bool // panics wherever it can
	closing       chan string
	ended         chan string
	panicked      chan any
}

func (e *echo) HandleMessage(data []byte, _ time.Time) (task any) {
	text := string(data)
	if text == "panic" {
		panic("fragile")
	}
	if strings.HasPrefix(text, "task") {
		return text
	}
	e.PushText([]byte(text))
	return nil
}

func (e *echo) HandleTask(task any) {
	e.breaks(task == "task panic")
	e.PushText([]byte(task.(string)))
}

// breaks panics if the connection is fragile.
func (e *echo) breaks(now bool) {
	if e.fragile.Load() && now {
		panic("fragile")
	}
}

func (e *echo) HandleBinary()                   { e.breaks(true); e.binary++ }
func (e *echo) HandlePing(time.Time) bool       { e.breaks(true); e.pings++; return e.pings%2 == 1 }
func (e *echo) HandleClosing(word string)       { e.closing <- word }
func (e *echo) HandlePanic(value any, _ []byte) { e.panicked <- value }
func (e *echo) HandleEnd(reason string, closeWas int) {
	e.breaks(reason == "fragile")
	e.ended <- reason
}

// echoPair makes a connection that sends texts back, and its client.
func echoPair(t *testing.T) (*websocket.Conn, *echo) {
	t.Helper()
	engine := NewEngine("echo", slog.New(slog.DiscardHandler))
	conns := make(chan *echo, 1)
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := &echo{closing: make(chan string, 1), ended: make(chan string, 1), panicked: make(chan any, 4)}
		if !Offers(r, "echo") || Offers(r, "another") {
			t.Error("the request offers another subprotocol")
		}
		if err := engine.Upgrade(w, r, &e.Conn, e); err != nil {
			t.Error(err)
			return
		}
		e.Start()
		conns <- e
	}))
	dialer := websocket.Dialer{Subprotocols: []string{"echo"}}
	client, _, err := dialer.Dial("ws"+strings.TrimPrefix(ts.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	e := <-conns
	t.Cleanup(func() {
		client.Close()
		engine.Close()
		ts.Close()
	})
	client.SetReadDeadline(time.Now().Add(20 * time.Second))
	return client, e
}

func write(t *testing.T, client *websocket.Conn, bytes []byte) {
	t.Helper()
	if _, err := client.NetConn().Write(bytes); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, client *websocket.Conn, text string) {
	t.Helper()
	if _, data, err := client.ReadMessage(); err != nil || string(data) != text {
		t.Fatalf("got %q, %v, want %q", data, err, text)
	}
}

// TestConn holds that a handler is told of everything in order, and that the first Shut counts.
func TestConn(t *testing.T) {
	client, e := echoPair(t)
	write(t, client, clientFrame(finalText, []byte("one")))
	write(t, client, clientFrame(finalText, []byte("task")))
	write(t, client, clientFrame(0x82, []byte("binary")))
	pongs := 0
	client.SetPongHandler(func(string) error { pongs++; return nil })
	write(t, client, clientFrame(finalPing, nil))
	expect(t, client, "one")
	expect(t, client, "task")
	write(t, client, clientFrame(finalPing, nil)) // echo does not answer this one
	write(t, client, clientFrame(finalText, []byte("two")))
	expect(t, client, "two")
	e.Shut(wire.CloseEnded, "first")
	e.Shut(wire.CloseBye, "second")
	if _, _, err := client.ReadMessage(); !websocket.IsCloseError(err, wire.CloseEnded) {
		t.Errorf("closed with %v", err)
	}
	if word, reason := <-e.closing, <-e.ended; word != wire.CloseReason(wire.CloseEnded) || reason != "first" {
		t.Errorf("closed with the word %q, ended with the reason %q", word, reason)
	}
	if e.binary != 1 || e.pings != 2 || pongs != 1 {
		t.Errorf("%d binary messages, %d pings, %d pongs", e.binary, e.pings, pongs)
	}
}

// TestBreach holds that a client that breaks RFC 6455 gets the close frame that it asks for, after earlier messages.
func TestBreach(t *testing.T) {
	client, e := echoPair(t)
	write(t, client, append(clientFrame(finalText, []byte("before")), 0x83, 0x80, 0, 0, 0, 0))
	expect(t, client, "before")
	if _, _, err := client.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseProtocolError) {
		t.Errorf("closed with %v", err)
	}
	if reason := <-e.ended; reason != wire.ReasonGone {
		t.Errorf("ended with the reason %q", reason)
	}
}
