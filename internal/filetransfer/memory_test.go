package filetransfer

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// half is one direction of a stream in memory, with room for so many bytes.
type half struct {
	mu       sync.Mutex
	changed  *sync.Cond
	buf      []byte
	room     int
	ended    bool
	reset    bool
	unread   bool         // the reader has given up
	deadline [2]time.Time // of reading and of writing
	timers   [2]*time.Timer
}

func newHalf() *half {
	h := &half{room: 256 << 10}
	h.changed = sync.NewCond(&h.mu)
	return h
}

var errReset = errors.New("the stream was reset")

func (h *half) late(i int) bool { return !h.deadline[i].IsZero() && !time.Now().Before(h.deadline[i]) }

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.reset:
			return 0, errReset
		case h.late(0):
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(b, h.buf)
			h.buf = append(h.buf[:0], h.buf[n:]...)
			h.changed.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := 0; ; {
		switch {
		case h.reset, h.ended:
			return n, errReset
		case h.late(1):
			return n, os.ErrDeadlineExceeded
		case h.unread || n == len(b):
			return len(b), nil
		case len(h.buf) < h.room:
			some := min(h.room-len(h.buf), len(b)-n)
			h.buf = append(h.buf, b[n:n+some]...)
			n += some
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
}

func (h *half) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.changed.Broadcast()
}

func (h *half) setDeadline(i int, t time.Time) {
	h.set(func() {
		h.deadline[i] = t
		if h.timers[i] != nil {
			h.timers[i].Stop()
		}
		if !t.IsZero() {
			h.timers[i] = time.AfterFunc(time.Until(t), func() { h.set(func() {}) })
		}
	})
}

// memStream is one side of a stream in memory.
type memStream struct {
	in, out *half
	wrote   func(n int) // after each write, if not nil
}

func (s *memStream) Read(b []byte) (int, error) { return s.in.read(b) }
func (s *memStream) Write(b []byte) (int, error) {
	n, err := s.out.write(b)
	if s.wrote != nil {
		s.wrote(n)
	}
	return n, err
}

func (s *memStream) CloseWrite() error {
	s.out.set(func() { s.out.ended = true })
	return nil
}

func (s *memStream) Close() error {
	s.in.set(func() { s.in.unread, s.in.buf = true, nil })
	s.setTimers(time.Time{})
	return s.CloseWrite()
}

func (s *memStream) Reset() {
	s.in.set(func() { s.in.reset = true })
	s.out.set(func() { s.out.reset = true })
	s.setTimers(time.Time{})
}

func (s *memStream) setTimers(t time.Time) {
	s.in.setDeadline(0, t)
	s.out.setDeadline(1, t)
}

func (s *memStream) SetDeadline(t time.Time) error {
	s.setTimers(t)
	return nil
}

func (s *memStream) SetReadDeadline(t time.Time) error {
	s.in.setDeadline(0, t)
	return nil
}

func (s *memStream) SetWriteDeadline(t time.Time) error {
	s.out.setDeadline(1, t)
	return nil
}

// pair returns both sides of a stream.
func pair() (*memStream, *memStream) {
	a, b := newHalf(), newHalf()
	return &memStream{in: a, out: b}, &memStream{in: b, out: a}
}

// memNet is a receiver's connection to a sender: Opener and Acceptor.
type memNet struct {
	opened chan named

	mu     sync.Mutex
	live   map[*memStream]*memStream // receiver's side, sender's side
	refuse error                     // what Open says
	slow   time.Duration             // each write of the sender takes
	names  []string                  // of the streams that were opened
	sent   int64                     // bytes that the sender wrote on blocks/N
	after  int64                     // once so much was sent,
	then   func()                    // this is called, with mu held
	// cut says for a stream, by its name, after how many bytes of the sender it breaks; 0: never.
	cut func(name string) int64
}

type named struct {
	name   string
	stream Stream
}

func newNet() *memNet {
	return &memNet{opened: make(chan named, 64), live: map[*memStream]*memStream{}}
}

func (n *memNet) Open(ctx context.Context, name string) (Stream, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse != nil {
		return nil, n.refuse
	}
	mine, theirs := pair()
	n.live[mine] = theirs
	n.names = append(n.names, name)
	left := int64(0)
	if n.cut != nil {
		left = n.cut(name)
	}
	cuts := left > 0
	theirs.wrote = func(k int) {
		n.mu.Lock()
		if name != StreamFiles {
			n.sent += int64(k)
		}
		if n.then != nil && n.sent >= n.after {
			n.then()
		}
		n.mu.Unlock()
		time.Sleep(n.slow)
		if left -= int64(k); cuts && left <= 0 {
			theirs.Reset()
		}
	}
	select {
	case n.opened <- named{name, theirs}:
		return mine, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (n *memNet) Accept(ctx context.Context) (string, Stream, error) {
	select {
	case s := <-n.opened:
		return s.name, s.stream, nil
	case <-ctx.Done():
		return "", nil, context.Cause(ctx)
	}
}

// breakAll resets every stream. The caller holds mu.
func (n *memNet) breakAll() {
	for s := range n.live {
		s.Reset()
	}
	clear(n.live)
}

func (n *memNet) carried() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent
}
