package quiclink

import (
	"bufio"
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// conn is one of a Link's QUIC connections.
type conn struct {
	link    *Link
	q       *quic.Conn
	peer    fingerprint // Of the certificate that the other side has shown.
	streams int         // Guarded by link.mu.

	mu      sync.Mutex
	unread  map[quic.StreamID]struct{} // Streams whose writing ended, and whose end the other side has not read.
	early   map[quic.StreamID]struct{} // Streams that the other side will not read, before their writing ended here.
	ends    []quic.StreamID            // Streams whose end was read here, which the other side does not know yet.
	endsNew chan struct{}
	settled chan struct{} // Has an entry when unread may have become empty.
}

// maxEnds bounds what waits to be said of ends, maxEarly what the other side says of streams that go on. maxUnread bounds
// what this side waits for: the other side may open streams without end, and never say that it has read theirs.
const (
	maxEnds   = 4096
	maxEarly  = 1024
	maxUnread = 4096
)

func newConn(l *Link, q *quic.Conn) *conn {
	return &conn{link: l, q: q, peer: sha256.Sum256(q.ConnectionState().TLS.PeerCertificates[0].Raw), unread: map[quic.StreamID]struct{}{}, early: map[quic.StreamID]struct{}{},
		endsNew: make(chan struct{}, 1), settled: make(chan struct{}, 1)}
}

// awaitRead notes that the writing of a stream ends. Close does not wait for those beyond the bound.
func (c *conn) awaitRead(id quic.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, done := c.early[id]; done {
		delete(c.early, id)
		return
	}
	if len(c.unread) < maxUnread {
		c.unread[id] = struct{}{}
	}
}

// forget notes that there is no end to read.
func (c *conn) forget(id quic.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unread, id)
	delete(c.early, id)
	signal(c.settled)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tellRead tells the other side that nothing more of a stream will be read here.
func (c *conn) tellRead(id quic.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ends) == maxEnds { // The other side does not listen.
		c.ends = c.ends[:0]
	}
	c.ends = append(c.ends, id)
	signal(c.endsNew)
}

// sendEnds writes on a stream of its own which ends were read.
func (c *conn) sendEnds() {
	var s *quic.SendStream
	for {
		select {
		case <-c.endsNew:
		case <-c.q.Context().Done():
			return
		}
		c.mu.Lock()
		ends := c.ends
		c.ends = nil
		c.mu.Unlock()
		var b []byte
		for _, id := range ends {
			b = quicvarint.Append(b, uint64(id))
		}
		if s == nil {
			var err error
			if s, err = c.q.OpenUniStreamSync(c.q.Context()); err != nil {
				return
			}
		}
		if _, err := s.Write(b); err != nil {
			return
		}
	}
}

// receiveEnds reads which ends the other side has read.
func (c *conn) receiveEnds() {
	s, err := c.q.AcceptUniStream(c.q.Context())
	if err != nil {
		return
	}
	r := bufio.NewReaderSize(s, 512)
	for {
		id, err := quicvarint.Read(r)
		if err != nil {
			return
		}
		c.mu.Lock()
		_, waiting := c.unread[quic.StreamID(id)]
		delete(c.unread, quic.StreamID(id))
		if !waiting {
			if len(c.early) == maxEarly { // Of streams that were reset.
				clear(c.early)
			}
			c.early[quic.StreamID(id)] = struct{}{}
		}
		signal(c.settled)
		c.mu.Unlock()
	}
}

// settle waits until the other side has read every end.
func (c *conn) settle(ctx context.Context) {
	for c.unreadStreams() > 0 {
		select {
		case <-c.settled:
		case <-ctx.Done():
			return
		case <-c.q.Context().Done():
			return
		}
	}
}

// unreadStreams counts the streams whose end the other side has not read.
func (c *conn) unreadStreams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.unread)
}

// acceptStreams takes the streams that the other side opens.
func (c *conn) acceptStreams() {
	for {
		s, err := c.q.AcceptStream(c.q.Context())
		if err != nil {
			return
		}
		c.link.entered(c)
		if !c.link.tasks.Run(func() { c.accept(s) }) {
			return
		}
	}
}

func (c *conn) accept(q *quic.Stream) {
	s := &stream{Stream: q, conn: c}
	_ = q.SetReadDeadline(time.Now().Add(headerTimeout))
	name, err := readHeader(q)
	if err != nil {
		s.Reset()
		return
	}
	_ = q.SetReadDeadline(time.Time{})
	s.name = name
	select {
	case c.link.incoming <- s:
	case <-c.q.Context().Done():
	case <-c.link.done:
	}
}

// receiveDatagrams passes datagrams on. Those beyond what may wait are lost.
func (c *conn) receiveDatagrams() {
	for {
		b, err := c.q.ReceiveDatagram(c.q.Context())
		if err != nil {
			return
		}
		select {
		case c.link.datagrams <- b:
		default:
		}
	}
}
