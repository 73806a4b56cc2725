// Package socket carries WebSocket messages: it has everything below a message, and knows nothing of what messages say.
//
//	HTTP request ── Engine.Upgrade ──▶ Conn
//
//	TCP socket ──▶ poller or reader ──▶ Handler.HandleMessage ──▶ Handler.HandleTask, for what takes long
//	TCP socket ◀── writer ◀── queue ◀── Conn.PushText, Conn.KeepAlive, Conn.Shut
//	                            └────── Source.Next: numbered messages
//
// On Linux, a few pollers read from all sockets without TLS, and wake goroutines only for tasks and for messages that
// come in parts (polledConn). Elsewhere each socket has a goroutine that reads. The handler acts on one message at a
// time.
//
// A writer lives only while there is something to write, and nobody else waits for a socket. Queues are bounded: a
// client that lets too much wait is closed with the code slow.
package socket

import (
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	handshakeTimeout = 10 * time.Second
	// Buffers that wait for the next byte would be most of an idle socket.
	readBufferSize  = 128 // for frames' headers; payloads go past it
	writeBufferSize = 4 << 10
)

// Engine upgrades HTTP requests to WebSockets, and has what these share.
type Engine struct {
	// Static after construction.
	log       *slog.Logger
	epoch     time.Time // connections count their time from it, by a clock that nobody sets
	upgrader  websocket.Upgrader
	messages  sync.Pool // of *messageBuffer
	readAhead sync.Pool // of *[readAhead]byte
	written   sync.Pool // of *[]byte, in which messages get their numbers and frames
	workers   workers
	pollers   pollers

	stopOnce sync.Once
	stop     chan struct{} // closed by Close, ends idle workers

	// running counts connections from Start to their end, and the goroutines of readers, writers and workers.
	// Conn.Start adds a new connection; otherwise only those who work for a counted connection add to it.
	running sync.WaitGroup
}

// NewEngine makes an engine that agrees on one subprotocol.
func NewEngine(subprotocol string, log *slog.Logger) *Engine {
	e := &Engine{log: log, epoch: time.Now(), stop: make(chan struct{})}
	e.workers = newWorkers(&e.running, e.stop)
	e.messages.New = func() any { return new(messageBuffer) }
	e.written.New = func() any { return new([]byte) }
	e.readAhead.New = func() any { return new([readAhead]byte) }
	e.upgrader = websocket.Upgrader{
		HandshakeTimeout: handshakeTimeout,
		ReadBufferSize:   readBufferSize,
		WriteBufferSize:  writeBufferSize,
		WriteBufferPool:  new(sync.Pool),
		Subprotocols:     []string{subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // the caller did
	}
	return e
}

// Offers reports whether a request offers the subprotocol.
func Offers(r *http.Request, subprotocol string) bool {
	return slices.Contains(websocket.Subprotocols(r), subprotocol)
}

// Upgrade makes c, which is zero, the WebSocket of a request. Nothing is read before [Conn.Start]. After an error the
// request has been answered. The caller checks the request's origin.
func (e *Engine) Upgrade(w http.ResponseWriter, r *http.Request, c *Conn, h Handler) error {
	ws, err := e.upgrader.Upgrade(polledWriter{w, e}, r, nil)
	if err != nil {
		return err
	}
	c.init(e, ws, h)
	return nil
}

// Close waits until all connections have ended and their goroutines are done. No connection may be started during or
// after it.
func (e *Engine) Close() {
	e.stopOnce.Do(func() { close(e.stop) })
	e.running.Wait()
	e.pollers.close()
}
