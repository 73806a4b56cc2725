package probe

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

// TestRunEndsWithContext: the end of the context ends a run that waits for an answer to hello.
func TestRunEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("/signal", func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{wire.Subprotocol}}
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer socket.Close()
		if _, _, err := socket.ReadMessage(); err != nil {
			t.Error(err)
		}
		cancel()
		_, _, _ = socket.ReadMessage() // until the client goes
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	s := &Server{Base: server.URL, Timeout: time.Hour, Dial: new(net.Dialer).DialContext, Ticket: "eyJ"}
	var last Finding
	s.Run(ctx, func(f Finding) { last = f })
	if last.Check != "signaling" || last.OK || ctx.Err() == nil {
		t.Errorf("the last finding is %+v", last)
	}
}
