package client

import (
	"net"
	"sync"

	"example.org/turnpike/client/internal/link"
)

// Conn is a stream to a peer. Its two directions end on their own: Close ends writing in order, so that what was written arrives,
// and gives up reading.
type Conn struct {
	stream
	from   *liveLink
	closed sync.Once
}

type stream = link.Stream

var _ net.Conn = (*Conn)(nil)

// conn counts a stream, until it is closed.
func (l *liveLink) conn(of link.Stream) *Conn {
	l.open.Add(1)
	return &Conn{stream: of, from: l}
}

// Peer is the other side.
func (c *Conn) Peer() *Peer { return c.from.peer }

// ChannelBinding returns 32 bytes that only the two ends of this stream's connection have in common: nobody between them has the same.
// With QUIC, connections of one link have different ones. It fails once the handshake's secrets are gone.
func (c *Conn) ChannelBinding() ([]byte, error) { return c.stream.ChannelBinding() }

// PeerCertificate returns the SHA-256 of the certificate that the other side has shown. It is the same for all streams and connections
// of a link, and another one after the other side has begun anew. So a stream with the certificate of another stream whose binding was
// proved comes from the same peer.
func (c *Conn) PeerCertificate() [32]byte { return c.stream.PeerCertificate() }

// Close ends writing in order, and gives up reading.
func (c *Conn) Close() error {
	err := c.stream.Close()
	c.closed.Do(c.from.streamClosed)
	return err
}

// Reset gives up both directions at once: the other side's Read and Write fail.
func (c *Conn) Reset() {
	c.stream.Reset()
	c.closed.Do(c.from.streamClosed)
}

// streamClosed ends a former link with its last stream.
func (l *liveLink) streamClosed() {
	if l.open.Add(-1) > 0 {
		return
	}
	s := l.peer.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.former && l.open.Load() == 0 {
		l.close()
	}
}
