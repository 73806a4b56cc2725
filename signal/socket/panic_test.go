package socket

import (
	"errors"
	"fmt"
	"testing"

	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// TestPanicEndsOneSocket holds that a panic of the handler ends its socket with 1011, and nothing else, wherever it is.
func TestPanicEndsOneSocket(t *testing.T) {
	for _, tc := range []struct {
		name  string
		begin func(t *testing.T, client *websocket.Conn)
	}{
		{"in a message", func(t *testing.T, client *websocket.Conn) {
			write(t, client, append([]byte{0x81, 0x80 | 5, 0, 0, 0, 0}, "panic"...))
		}},
		{"in a message in parts", func(t *testing.T, client *websocket.Conn) {
			write(t, client, append([]byte{0x01, 0x80 | 3, 0, 0, 0, 0}, "pan"...))
			write(t, client, append([]byte{0x80, 0x80 | 2, 0, 0, 0, 0}, "ic"...))
		}},
		{"in a task", func(t *testing.T, client *websocket.Conn) {
			write(t, client, append([]byte{0x81, 0x80 | 10, 0, 0, 0, 0}, "task panic"...))
		}},
		{"in a binary message", func(t *testing.T, client *websocket.Conn) {
			write(t, client, append([]byte{0x82, 0x80 | 1, 0, 0, 0, 0}, "x"...))
		}},
		{"in a ping", func(t *testing.T, client *websocket.Conn) {
			write(t, client, append([]byte{0x89, 0x80 | 1, 0, 0, 0, 0}, "x"...))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			other, _ := echoPair(t)
			client, e := echoPair(t)
			e.fragile.Store(true)
			tc.begin(t, client)
			var ce *websocket.CloseError
			if _, _, err := client.ReadMessage(); !errors.As(err, &ce) || ce.Code != wire.CloseInternal || ce.Text != "internal" {
				t.Fatalf("the client reads %v", err)
			}
			if value := <-e.panicked; fmt.Sprint(value) != "fragile" {
				t.Errorf("the panic was %v", value)
			}
			if reason := <-e.ended; reason != wire.ReasonInternal {
				t.Errorf("the connection ended for %q", reason)
			}
			if err := other.WriteMessage(websocket.TextMessage, []byte("still there")); err != nil {
				t.Fatal(err)
			}
			expect(t, other, "still there")
		})
	}
}

// fragileSource panics when it is asked for a message.
type fragileSource struct{}

func (fragileSource) Next(*Conn) (data []byte, seq uint64, ok bool) { panic("fragile") }

// TestPanicOfWriter holds that a panic of the source ends the socket, and leaves no lock behind.
func TestPanicOfWriter(t *testing.T) {
	for _, briefly := range []bool{false, true} {
		client, e := echoPair(t)
		e.queue.mu.Lock()
		e.queue.source = fragileSource{}
		e.queue.mu.Unlock()
		if !e.ClaimWriter() {
			t.Fatal("somebody else writes")
		}
		if briefly {
			e.WriteBriefly()
		} else {
			e.StartWriter()
		}
		if value := <-e.panicked; fmt.Sprint(value) != "fragile" {
			t.Errorf("the panic was %v", value)
		}
		if _, _, err := client.ReadMessage(); err == nil {
			t.Error("the socket is open")
		}
		if reason := <-e.ended; reason != wire.ReasonInternal {
			t.Errorf("the connection ended for %q", reason)
		}
	}
}

// TestPanicAtEnd holds that a panic in HandleEnd still closes the socket, and that the engine does not wait for it.
func TestPanicAtEnd(t *testing.T) {
	client, e := echoPair(t)
	e.fragile.Store(true)
	e.Shut(wire.CloseBye, "fragile")
	for {
		if _, _, err := client.ReadMessage(); err != nil {
			break
		}
	}
	<-e.panicked // and Close of the engine returns at the end of the test
}
