// Package quiclink is the Link between two programs: QUIC, on the paths that package path finds.
//
//	client ── Receive, Restart ──▶ negotiation.go ── credentials, candidates ──▶ path.Path
//	       ◀─ Config.Send ───────                ◀─ candidates, needs a restart ─
//	       ── Open, Accept ──────▶ dial.go, conn.go ── quic.Conn ──▶ path.Socket
//
// One goroutine owns the negotiation. The active side dials one connection as soon as a path works, and three more once
// there is a second stream: each stream goes on the connection with the fewest.
package quiclink

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/client/internal/path"
	"example.org/turnpike/signal/wire"
)

const (
	// maxConns bounds the connections, some of which may be dying.
	maxConns = 8
	// bulkConns is how many there are once there is more than one stream: losses slow down each on its own.
	bulkConns = 4
	// maxIncoming bounds the connections that the other side begins, also those whose certificate is not known yet.
	maxIncoming = 32
	// maxWaiting bounds the streams that wait for Accept, maxDatagrams the datagrams for ReceiveDatagram.
	maxWaiting   = 64
	maxDatagrams = 128
	// closeTimeout is how long Close waits for the other side's reading.
	closeTimeout = 5 * time.Second
)

// Link is a [link.Link] over QUIC.
type Link struct {
	config    link.Config
	path      *path.Path
	transport *quic.Transport
	listener  *quic.Listener
	tls       *tls.Config
	own       fingerprint
	tasks     link.Tasks
	ctx       context.Context // Ends with the Link.
	end       context.CancelFunc
	done      <-chan struct{}
	closing   sync.Once
	kick      chan struct{} // The dialling goroutine must look again.
	incoming  chan *stream
	datagrams chan []byte
	admitted  atomic.Int32 // Connections that the other side began.

	inbox inbox
	talk  negotiation // Owned by the inbox's goroutine.
	told  announced   // Owned by the inbox's goroutine.

	mu      sync.Mutex
	changed chan struct{} // Closed when conns or peer change.
	conns   []*conn
	opened  int // Streams ever, of both sides.
	peer    peer
	moved   time.Time // When the path changed.
	closed  bool
}

// peer is what the negotiation has found out of the other side.
type peer struct {
	known       bool
	fingerprint fingerprint
	active      bool // This side dials.
}

var _ link.Link = (*Link)(nil)

// New makes a Link, and begins at once to look for paths.
func New(c link.Config) (link.Link, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	cert, own, err := newCertificate()
	if err != nil {
		return nil, err
	}
	l := &Link{config: c, own: own, kick: make(chan struct{}, 1), incoming: make(chan *stream, maxWaiting),
		datagrams: make(chan []byte, maxDatagrams), changed: make(chan struct{})}
	l.ctx, l.end = context.WithCancel(context.Background())
	l.done = l.ctx.Done()
	l.inbox.wakes = make(chan struct{}, 1)
	l.tls = tlsConfig(cert, l.expected)
	l.path, err = path.New(path.Config{
		RelayOnly: c.RelayOnly, Leads: !c.Polite, TLS: c.TLS, Logger: c.Logger, Servers: c.ICEServers,
		Candidate: func(x path.Candidate) { l.inbox.put(func() { l.localCandidate(x) }) },
		Changed:   func() { l.pathChanged() },
		Needs:     func() { l.inbox.put(l.needed) },
	})
	if err != nil {
		return nil, err
	}
	l.transport = &quic.Transport{Conn: l.path.Socket(), ConnContext: l.admit}
	if l.listener, err = l.transport.Listen(l.tls, quicConfig()); err != nil {
		_ = l.path.Close()
		return nil, err
	}
	l.tasks.Run(l.listen)
	l.tasks.Run(l.dial)
	l.tasks.Run(l.work)
	l.inbox.put(l.begin)
	return l, nil
}

// work runs what is in the inbox, in order.
func (l *Link) work() {
	for {
		select {
		case <-l.done:
			return
		case <-l.inbox.wakes:
		}
		for _, f := range l.inbox.take() {
			if l.ctx.Err() == nil {
				f()
			}
		}
	}
}

// expected returns the fingerprint of the other side's certificate.
func (l *Link) expected() (fingerprint, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peer.fingerprint, l.peer.known
}

// Receive takes a payload of the other side.
func (l *Link) Receive(p wire.Payload) {
	if !l.inbox.offer(func() { l.receive(p) }) {
		l.config.Logger.Warn("the other side sends more signals than are worked off: one is dropped")
	}
}

// Restart looks for paths anew.
func (l *Link) Restart() { l.inbox.put(l.restart) }

// SetICEServers replaces the ICE servers.
func (l *Link) SetICEServers(s []wire.ICEServer) { l.path.SetServers(s) }

// Open opens a stream on the connection with the fewest.
func (l *Link) Open(ctx context.Context, name string) (link.Stream, error) {
	header, err := appendHeader(nil, name)
	if err != nil {
		return nil, err
	}
	for {
		c, err := l.pick(ctx)
		if err != nil {
			return nil, err
		}
		s, err := l.openOn(ctx, c, name, header)
		if err == nil {
			return s, nil
		}
		l.left(c)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if c.q.Context().Err() == nil {
			return nil, err
		}
		// The connection has ended. There will be another.
		l.remove(c)
	}
}

func (l *Link) openOn(ctx context.Context, c *conn, name string, header []byte) (*stream, error) {
	q, err := c.q.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	s := &stream{Stream: q, conn: c, name: name}
	stop := context.AfterFunc(ctx, func() { _ = q.SetWriteDeadline(time.Unix(1, 0)) })
	_, err = q.Write(header)
	if !stop() && err == nil { // The deadline came, or comes, after the header.
		err = ctx.Err()
	}
	if err != nil {
		q.CancelWrite(resetCode)
		q.CancelRead(resetCode)
		return nil, err
	}
	return s, nil
}

// pick waits for a connection, and counts a stream on it.
func (l *Link) pick(ctx context.Context) (*conn, error) {
	for {
		l.mu.Lock()
		changed, closed := l.changed, l.closed
		var best *conn
		for _, c := range l.conns {
			if best == nil || c.streams < best.streams {
				best = c
			}
		}
		if best != nil && !closed {
			best.streams++
			l.opened++
			more := l.opened > 1
			l.mu.Unlock()
			if more {
				signal(l.kick)
			}
			return best, nil
		}
		l.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// entered counts a stream of the other side.
func (l *Link) entered(c *conn) {
	l.mu.Lock()
	c.streams++
	l.opened++
	more := l.opened > 1
	l.mu.Unlock()
	if more {
		signal(l.kick)
	}
}

func (l *Link) left(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.streams--
}

// Accept returns the next stream of the other side.
func (l *Link) Accept(ctx context.Context) (link.Stream, error) {
	select {
	case s := <-l.incoming:
		return s, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// SendDatagram sends a datagram on the first connection.
func (l *Link) SendDatagram(b []byte) error {
	l.mu.Lock()
	var first *conn
	if len(l.conns) > 0 {
		first = l.conns[0]
	}
	closed := l.closed
	l.mu.Unlock()
	switch {
	case closed:
		return net.ErrClosed
	case first == nil:
		return errors.New("there is no path to the other side")
	}
	return first.q.SendDatagram(b)
}

// ReceiveDatagram returns the next datagram.
func (l *Link) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	select {
	case b := <-l.datagrams:
		return b, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends the Link.
func (l *Link) Close() error {
	l.closing.Do(l.close)
	return nil
}

func (l *Link) close() {
	l.mu.Lock()
	l.closed = true
	conns := slices.Clone(l.conns)
	l.broadcast()
	l.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	for _, c := range conns {
		c.settle(ctx)
	}
	cancel()
	l.end()
	l.mu.Lock()
	conns = slices.Clone(l.conns)
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.q.CloseWithError(closedCode, "closed")
	}
	_ = l.listener.Close()
	_ = l.transport.Close()
	_ = l.path.Close()
	l.tasks.Wait()
}

// broadcast tells everybody who waits that something has changed. The caller holds mu.
func (l *Link) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}
