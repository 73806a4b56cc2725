package forward

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// All streams of a connection to a peer share one receive window. Without a window of its own, a stream that nobody reads here (a paused
// video) would take that of all others. So a TCP connection is carried in frames: a byte of kind, three of a length, big-endian.
//
//	data     that many bytes follow. Only what the other side has given credit for may be sent
//	credit   that many bytes more may be sent; a stream begins with firstWindow
//	end      nothing follows but credit; the length is zero
const (
	frameData   = 0
	frameCredit = 1
	frameEnd    = 2

	headerSize = 4
	maxFrame   = 64 << 10

	firstWindow = 256 << 10
	mostWindow  = 8 << 20

	// growsWithin is how soon half of a window must be read for it to grow.
	growsWithin = 250 * time.Millisecond
)

// budget bounds by how much the windows of all connections together have grown.
type budget struct{ taken atomic.Int64 }

const maxBudget = 64 << 20

func (b *budget) take(n int) bool {
	if b.taken.Add(int64(n)) > maxBudget {
		b.taken.Add(int64(-n))
		return false
	}
	return true
}

// window is a stream whose unread bytes wait on this side at most as far as it has given credit, and never in the connection beneath. It has no
// deadlines.
type window struct {
	Stream
	budget  *budget
	writing chan struct{}    // holds one, while a frame is written
	header  [headerSize]byte // of that frame
	done    chan struct{}    // closed once nothing more is received

	readable, writable chan struct{} // hold one: the state below has changed

	mu sync.Mutex
	// Guarded by mu.
	waiting []byte // has arrived
	read    int    // how much of it was read
	ended   bool   // nothing more comes
	err     error  // why the stream is broken
	credit  int    // that the other side has given
	owed    int    // was read since this side has given credit
	size    int    // of the window of this side
	given   time.Time
}

// newWindow takes a stream over, once it was accepted. Close or Reset must end it.
func newWindow(stream Stream, b *budget) *window {
	w := &window{
		Stream: stream, budget: b, writing: make(chan struct{}, 1), done: make(chan struct{}),
		readable: make(chan struct{}, 1), writable: make(chan struct{}, 1),
		credit: firstWindow, size: firstWindow, given: time.Now(),
	}
	go w.receive()
	return w
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// receive takes what comes, until the stream ends. It waits for nobody on this side, so that credit always comes through.
func (w *window) receive() {
	defer close(w.done)
	err := w.frames(bufio.NewReader(w.Stream))
	w.mu.Lock()
	if w.err = err; errors.Is(err, io.EOF) && w.ended {
		w.err = nil
	} else if errors.Is(err, io.EOF) {
		w.err = io.ErrUnexpectedEOF
	}
	w.mu.Unlock()
	wake(w.readable)
	wake(w.writable)
	if errors.Is(err, errProtocol) {
		w.Stream.Reset()
	}
}

// errProtocol says that the other side breaks the rules.
var errProtocol = errors.New("what came is none of the protocol")

func (w *window) frames(from *bufio.Reader) error {
	buffer := make([]byte, smallBuffer)
	var header [headerSize]byte
	for {
		if _, err := io.ReadFull(from, header[:]); err != nil {
			return err
		}
		kind, n := header[0], int(binary.BigEndian.Uint32(header[:])&0xffffff)
		switch kind {
		case frameData:
			for n > 0 {
				size, err := from.Read(buffer[:min(n, len(buffer))])
				if size > 0 && !w.put(buffer[:size]) {
					return errProtocol
				}
				if err != nil {
					return err
				}
				if n -= size; size == len(buffer) && size < joinBuffer {
					buffer = make([]byte, 2*size)
				}
			}
		case frameCredit:
			if !w.mayWrite(n) {
				return errProtocol
			}
		case frameEnd:
			w.mu.Lock()
			again := w.ended
			w.ended = true
			w.mu.Unlock()
			wake(w.readable)
			if again || n != 0 {
				return errProtocol
			}
		default:
			return errProtocol
		}
	}
}

// put keeps what has come. It reports false if there was no credit for it.
func (w *window) put(b []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || len(w.waiting)-w.read+w.owed+len(b) > w.size {
		return false
	}
	if w.read > 0 && len(w.waiting)+len(b) > cap(w.waiting) {
		w.waiting = append(w.waiting[:0], w.waiting[w.read:]...)
		w.read = 0
	}
	w.waiting = append(w.waiting, b...)
	wake(w.readable)
	return true
}

func (w *window) mayWrite(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.credit += n
	wake(w.writable)
	return w.credit <= 4*mostWindow
}

// Read returns what has come. One goroutine may call it.
func (w *window) Read(b []byte) (int, error) {
	for {
		w.mu.Lock()
		n := copy(b, w.waiting[w.read:])
		if w.read += n; w.read == len(w.waiting) {
			w.waiting, w.read = w.waiting[:0], 0
			if cap(w.waiting) > maxFrame {
				w.waiting = nil // a connection that rests costs little
			}
		}
		credit := w.owe(n)
		ended, err := w.ended, w.err
		w.mu.Unlock()
		if credit > 0 {
			_ = w.frame(frameCredit, credit, nil) // it may have read enough; a broken stream shows when it is read
		}
		switch {
		case n > 0:
			return n, nil
		case ended:
			return 0, io.EOF
		case err != nil:
			return 0, err
		}
		<-w.readable
	}
}

// owe counts what was read, and returns the credit that is due for it. A window that is read as fast as it fills grows. The caller
// holds mu.
func (w *window) owe(n int) (credit int) {
	if w.owed += n; w.owed < w.size/2 || w.ended {
		return 0
	}
	credit, w.owed = w.owed, 0
	now := time.Now()
	if w.read == len(w.waiting) && w.size < mostWindow && now.Sub(w.given) < growsWithin && w.budget.take(w.size) {
		credit += w.size
		w.size *= 2
	}
	w.given = now
	return credit
}

// Write sends as much as there is credit for, and waits for more.
func (w *window) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		w.mu.Lock()
		n := min(len(b), w.credit, maxFrame)
		w.credit -= n
		err := w.err
		w.mu.Unlock()
		switch {
		case err != nil:
			return written, err
		case n == 0:
			select {
			case <-w.writable:
			case <-w.done:
				return written, fmt.Errorf("the stream has ended: %w", io.ErrClosedPipe)
			}
			continue
		}
		if err := w.frame(frameData, n, b[:n]); err != nil {
			return written, err
		}
		b = b[n:]
		written += n
	}
	return written, nil
}

// CloseWrite tells the other side that nothing follows.
func (w *window) CloseWrite() error { return w.frame(frameEnd, 0, nil) }

// frame writes one. It waits for the network alone: the other side takes all that it has given credit for.
func (w *window) frame(kind byte, n int, data []byte) error {
	w.writing <- struct{}{}
	defer func() { <-w.writing }()
	binary.BigEndian.PutUint32(w.header[:], uint32(n))
	w.header[0] = kind
	if _, err := w.Stream.Write(w.header[:]); err != nil || len(data) == 0 {
		return err
	}
	_, err := w.Stream.Write(data)
	return err
}

// Close ends the stream, after both directions have.
func (w *window) Close() error {
	err := w.Stream.Close()
	w.release()
	return err
}

// Reset gives up both directions.
func (w *window) Reset() {
	w.Stream.Reset()
	w.release()
}

// release waits until nothing more is received, and gives back what the window has grown by.
func (w *window) release() {
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	w.budget.taken.Add(int64(firstWindow - w.size))
	w.size = firstWindow
	w.waiting, w.read = nil, 0
}
