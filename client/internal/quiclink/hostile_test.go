package quiclink

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"example.org/turnpike/client/internal/path"
)

// linkOn returns a side's Link once it has a connection, and that connection.
func linkOn(t *testing.T, s *side) (*Link, *conn) {
	t.Helper()
	l := s.Link.(*Link)
	for ctx := within(t); ; {
		l.mu.Lock()
		changed := l.changed
		if len(l.conns) > 0 {
			defer l.mu.Unlock()
			return l, l.conns[0]
		}
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("there is no connection")
		}
	}
}

// TestHalfOpenConnections holds that a peer that begins handshakes without end fills no memory.
func TestHalfOpenConnections(t *testing.T) {
	a, b := pairOf(t, nil)
	from, _ := linkOn(t, a)
	to, _ := linkOn(t, b)
	const more = 8
	release := make(chan struct{})
	config := from.tls.Clone()
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		<-release
		return nil, errors.New("the test has ended")
	}
	results := make(chan error, maxIncoming+more)
	ctx := within(t)
	for range cap(results) {
		go func() {
			_, err := from.transport.Dial(ctx, path.Peer(), config, quicConfig())
			results <- err
		}()
	}
	for i := range more {
		var refused *quic.TransportError
		select {
		case err := <-results:
			if !errors.As(err, &refused) || !refused.Remote || refused.ErrorCode != quic.ConnectionRefused {
				t.Errorf("connection %d ends with %v: it was not refused", i, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("only %d connections were refused", i)
		}
		if t.Failed() {
			break
		}
	}
	close(release)
	for to.admitted.Load() > 0 {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%d connections still count", to.admitted.Load())
		}
	}
	streamsOf(t, a, b, "after")
}

// TestUnreadIsBounded has a peer that never says that it has read an end.
func TestUnreadIsBounded(t *testing.T) {
	c := &conn{unread: map[quic.StreamID]struct{}{}, early: map[quic.StreamID]struct{}{}}
	for i := range quic.StreamID(2 * maxUnread) {
		c.awaitRead(i)
	}
	if n := c.unreadStreams(); n != maxUnread {
		t.Errorf("%d ends are waited for", n)
	}
}

// TestFormerLink has what is left of the other side's former Link come after the description of the new one.
func TestFormerLink(t *testing.T) {
	another := func(l *Link) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.peer.fingerprint[0]++
	}
	t.Run("its end", func(t *testing.T) {
		a, b := pairOf(t, nil)
		l, c := linkOn(t, a)
		_, other := linkOn(t, b)
		another(l)
		_ = other.q.CloseWithError(closedCode, "closed")
		l.outlive(c)
		if _, known := l.expected(); !known {
			t.Error("the end of the former Link was taken for that of the new one")
		}
	})
	t.Run("its connection", func(t *testing.T) {
		a, _ := pairOf(t, nil)
		l, c := linkOn(t, a)
		another(l)
		l.remove(c)
		l.add(c.q)
		if l.mu.Lock(); len(l.conns) > 0 {
			t.Error("a connection of the former Link was taken")
		}
		l.mu.Unlock()
		if context.Cause(c.q.Context()) == nil {
			t.Error("the connection goes on")
		}
	})
}

// TestRedialPace has a peer that ends each connection as soon as it is there.
func TestRedialPace(t *testing.T) {
	a, _ := pairOf(t, nil)
	began := time.Now()
	for range maxConns + 1 {
		l, c := linkOn(t, a)
		_ = c.q.CloseWithError(unwantedCode, "not needed")
		l.remove(c)
	}
	if d := time.Since(began); d < lastRedial {
		t.Errorf("%d connections were dialled within %v", maxConns+1, d)
	}
}
