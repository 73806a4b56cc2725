package quiclink

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/quic-go/quic-go"

	"example.org/turnpike/client/internal/link"
)

// resetCode is the error code of a stream that was given up; zero is one whose reading was.
const resetCode = 1

// stream is a [link.Stream] on a QUIC stream.
type stream struct {
	*quic.Stream
	conn *conn
	name string

	writing atomic.Int32 // Calls of Write that have not returned.

	end   sync.Once // Writing was ended.
	pace  pace
	read  sync.Once // The other side was told that nothing more will be read.
	ended sync.Once // It no longer counts.
}

var _ link.Stream = (*stream)(nil)

func (s *stream) Name() string         { return s.name }
func (s *stream) LocalAddr() net.Addr  { return s.conn.q.LocalAddr() }
func (s *stream) RemoteAddr() net.Addr { return s.conn.q.RemoteAddr() }

// exporterLabel is that of RFC 8446 §7.5 for bindings.
const exporterLabel = "EXPORTER-turnpike-binding"

// ChannelBinding returns what TLS exports on the stream's connection.
func (s *stream) ChannelBinding() ([]byte, error) {
	state := s.conn.q.ConnectionState().TLS
	binding, err := state.ExportKeyingMaterial(exporterLabel, nil, 32)
	if err != nil {
		return nil, fmt.Errorf("export the binding of the QUIC connection: %w", err)
	}
	return binding, nil
}

// PeerCertificate returns the fingerprint of the certificate that the other side has shown.
func (s *stream) PeerCertificate() [32]byte { return s.conn.peer }

// Read reads, and tells the other side once the program has seen the end.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	if errors.Is(err, io.EOF) {
		s.tellRead()
	}
	return n, explain(err)
}

// Write writes. Small messages go before bulk.
func (s *stream) Write(b []byte) (int, error) {
	if bulk, changed := s.pace.add(len(b), time.Now()); changed {
		urgency := int8(usual)
		if bulk {
			urgency = behind
		}
		s.SetPriority(urgency, true)
	}
	s.writing.Add(1)
	defer s.writing.Add(-1)
	n, err := s.Stream.Write(b)
	return n, explain(err)
}

// Urgencies of RFC 9218, where less is more urgent.
const (
	usual  = 3
	behind = 5
	// bulkRate is from how many bytes a second a stream counts as bulk.
	bulkRate = 64 << 10
)

// pace tells bulk from small messages, by what was written in a second.
type pace struct {
	mu    sync.Mutex
	since time.Time
	bytes int
	bulk  bool
}

func (p *pace) add(n int, now time.Time) (bulk, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.bulk
	if now.Sub(p.since) >= time.Second {
		// Bulk stays bulk in the second after.
		p.bulk = p.bulk && p.bytes >= bulkRate
		p.since, p.bytes = now, 0
	}
	p.bytes += n
	p.bulk = p.bulk || p.bytes >= bulkRate
	return p.bulk, p.bulk != was
}

// explain says what an error of QUIC means to the program.
func explain(err error) error {
	var (
		reset  *quic.StreamError
		closed *quic.ApplicationError
		silent *quic.IdleTimeoutError
	)
	switch {
	case errors.As(err, &reset) && reset.Remote:
		return fmt.Errorf("the other side has given up the stream: %w", syscall.ECONNRESET)
	case errors.As(err, &reset):
		return fmt.Errorf("the stream was given up: %w", net.ErrClosed)
	case errors.As(err, &closed) && closed.Remote:
		return fmt.Errorf("the other side has closed the link: %w", syscall.ECONNRESET)
	case errors.As(err, &closed):
		return fmt.Errorf("the link is closed: %w", net.ErrClosed)
	case errors.As(err, &silent):
		return fmt.Errorf("the other side was silent for too long: %w", syscall.ETIMEDOUT)
	}
	return err
}

func (s *stream) tellRead() { s.read.Do(func() { s.conn.tellRead(s.StreamID()) }) }

// CloseWrite ends writing in order.
func (s *stream) CloseWrite() (err error) {
	s.end.Do(func() {
		s.conn.awaitRead(s.StreamID())
		if err = s.Stream.Close(); err != nil {
			s.conn.forget(s.StreamID())
		}
	})
	return err
}

// Close ends writing in order, and gives up reading. Where a Write still waits, nothing can end in order: the stream is reset, and
// the Write fails.
func (s *stream) Close() error {
	if s.writing.Load() > 0 {
		s.Reset()
		return nil
	}
	err := s.CloseWrite()
	s.CancelRead(0)
	s.tellRead()
	s.leave()
	return err
}

// Reset gives up both directions.
func (s *stream) Reset() {
	s.CancelWrite(resetCode)
	s.CancelRead(resetCode)
	s.conn.forget(s.StreamID())
	s.tellRead()
	s.leave()
}

func (s *stream) leave() { s.ended.Do(func() { s.conn.link.left(s.conn) }) }

// appendHeader is what a stream begins with: its name, after one byte of length.
func appendHeader(b []byte, name string) ([]byte, error) {
	if name == "" || len(name) > link.MaxName || !utf8.ValidString(name) {
		return nil, fmt.Errorf("a stream's name must be 1 to %d bytes of UTF-8", link.MaxName)
	}
	return append(append(b, byte(len(name))), name...), nil
}

// readHeader reads a stream's name. The empty one is reserved.
func readHeader(r io.Reader) (string, error) {
	var b [1 + link.MaxName]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return "", err
	}
	n := int(b[0])
	if n == 0 || n > link.MaxName {
		return "", fmt.Errorf("a stream's name has a length of %d", n)
	}
	if _, err := io.ReadFull(r, b[:n]); err != nil {
		return "", err
	}
	if !utf8.Valid(b[:n]) {
		return "", errors.New("a stream's name is not UTF-8")
	}
	return string(b[:n]), nil
}

// headerTimeout is how long a stream may take to say its name.
const headerTimeout = 10 * time.Second
