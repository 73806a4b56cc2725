package linktest

import (
	"crypto/sha256"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// maxBuffered is what a stream takes before its writer waits.
const maxBuffered = 64 << 10

// half is one direction of a stream.
type half struct {
	mu       sync.Mutex
	changed  *sync.Cond
	data     []byte
	ended    bool // nothing follows
	failed   bool // nobody reads, or nobody will write
	deadline [2]time.Time
	timer    [2]*time.Timer
}

const (
	reading = iota
	writing
)

func newHalf() *half {
	h := new(half)
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.failed:
			return 0, net.ErrClosed
		case h.late(reading):
			return 0, os.ErrDeadlineExceeded
		case len(h.data) > 0:
			n := copy(b, h.data)
			h.data = h.data[n:]
			h.changed.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(b []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.failed, h.ended:
			return n, net.ErrClosed
		case h.late(writing):
			return n, os.ErrDeadlineExceeded
		case len(b) == 0:
			return n, nil
		case len(h.data) < maxBuffered:
			part := min(len(b), maxBuffered-len(h.data))
			h.data = append(h.data, b[:part]...)
			b, n = b[part:], n+part
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
}

func (h *half) late(side int) bool {
	at := h.deadline[side]
	return !at.IsZero() && !time.Now().Before(at)
}

func (h *half) setDeadline(side int, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline[side] = at
	if h.timer[side] != nil {
		h.timer[side].Stop()
		h.timer[side] = nil
	}
	if !at.IsZero() {
		h.timer[side] = time.AfterFunc(time.Until(at), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
}

func (h *half) end(failed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended = true; failed {
		h.failed = true
	}
	h.changed.Broadcast()
}

func (h *half) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = h.failed || !h.ended
	h.changed.Broadcast()
}

// stream is a [link.Stream].
type stream struct {
	name    string
	in, out *half
	links   [2]string // the names of this end's link and of the other's
}

// pipe returns the two ends of a stream between two links.
func pipe(name, from, to string) (here, there *stream) {
	up, down := newHalf(), newHalf()
	return &stream{name, down, up, [2]string{from, to}}, &stream{name, up, down, [2]string{to, from}}
}

// ChannelBinding is of the names of both links, in alphabetical order.
func (s *stream) ChannelBinding() ([]byte, error) {
	sum := sha256.Sum256([]byte("binding of " + min(s.links[0], s.links[1]) + " and " + max(s.links[0], s.links[1])))
	return sum[:], nil
}

// PeerCertificate is of the name of the other link.
func (s *stream) PeerCertificate() [32]byte {
	return sha256.Sum256([]byte("certificate of " + s.links[1]))
}

func (s *stream) Read(b []byte) (int, error)  { return s.in.read(b) }
func (s *stream) Write(b []byte) (int, error) { return s.out.write(b) }
func (s *stream) Name() string                { return s.name }

func (s *stream) CloseWrite() error {
	s.out.end(false)
	return nil
}

func (s *stream) Close() error {
	s.out.end(false)
	s.in.end(true)
	return nil
}

// Reset implements [link.Stream].
func (s *stream) Reset() {
	s.out.end(true)
	s.in.end(true)
}

// reset ends the stream as a lost connection does. What was ended in order can still be read.
func (s *stream) reset() {
	s.out.reset()
	s.in.reset()
}

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "memory" }

func (s *stream) LocalAddr() net.Addr  { return address{} }
func (s *stream) RemoteAddr() net.Addr { return address{} }

func (s *stream) SetReadDeadline(t time.Time) error {
	s.in.setDeadline(reading, t)
	return nil
}

func (s *stream) SetWriteDeadline(t time.Time) error {
	s.out.setDeadline(writing, t)
	return nil
}

func (s *stream) SetDeadline(t time.Time) error {
	s.in.setDeadline(reading, t)
	s.out.setDeadline(writing, t)
	return nil
}
