package rtclink

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"example.org/turnpike/client/internal/link"
)

// The texts on a stream's channel. All else is binary, and the stream's bytes.
const (
	endMark  = "end"  // nothing follows
	readMark = "read" // the application has read the other side's end
)

const (
	// writtenMessage is the length of the messages that carry what is written, and maxMessage that of those that are read.
	writtenMessage = 16 << 10
	maxMessage     = 64 << 10
	// A writer waits while more than highWater bytes are on their way, until there are only lowWater.
	highWater = 1 << 20
	lowWater  = 1 << 19
)

// errReset is what a stream ends with that the other side gave up, or whose connection is over.
var errReset = fmt.Errorf("the other side has given up the stream, or its connection is over: %w", syscall.ECONNRESET)

// Stream is a data channel. It has no half-close of its own: closing it loses what is on its way back. So each direction ends
// by a text, and the channel is closed once both ends were read.
type Stream struct {
	// Static after newStream.
	carrier  *carrier
	name     string
	raw      rawChannel
	peer     [32]byte // the SHA-256 of the other side's certificate
	ours     bool     // we have opened it, and so we tell the SDK that it is closed
	incoming chan []byte
	taken    chan int
	low      chan struct{} // there may be room for more
	ended    chan struct{} // closed when nothing more comes in
	gone     chan struct{} // closed when the channel is
	closed   chan struct{} // closed by Close and Reset
	wasRead  chan struct{} // closed when the other side has read our end
	readBy   *deadline
	writeBy  *deadline

	writing sync.Mutex // one message after the other

	mu       sync.Mutex
	readErr  error // valid once ended is closed
	sentEnd  bool
	gotEnd   bool // the other side's
	sentRead bool
	gotRead  bool
	isReset  bool // by us
}

var _ link.Stream = (*Stream)(nil)

func newStream(c *carrier, name string, raw rawChannel, ours bool) *Stream {
	s := &Stream{
		carrier: c, name: name, raw: raw, ours: ours,
		incoming: make(chan []byte), taken: make(chan int), low: make(chan struct{}, 1),
		ended: make(chan struct{}), gone: make(chan struct{}), closed: make(chan struct{}), wasRead: make(chan struct{}),
		readBy: newDeadline(), writeBy: newDeadline(),
	}
	raw.SetBufferedAmountLowThreshold(lowWater)
	raw.OnBufferedAmountLow(func() {
		select {
		case s.low <- struct{}{}:
		default:
		}
	})
	return s
}

// Name is the label of the channel.
func (s *Stream) Name() string { return s.name }

// ChannelBinding is of the fingerprints of both certificates: DTLS has an exporter, but browsers do not show it.
func (s *Stream) ChannelBinding() ([]byte, error) {
	return fingerprintBinding(s.carrier.link.identity.fingerprint, s.peer), nil
}

// PeerCertificate returns the SHA-256 of the certificate that the other side has shown.
func (s *Stream) PeerCertificate() [32]byte { return s.peer }

// Read reads what the other side wrote.
func (s *Stream) Read(p []byte) (int, error) {
	switch {
	case isClosed(s.closed):
		return 0, net.ErrClosed
	case s.readBy.isOver():
		return 0, os.ErrDeadlineExceeded
	case len(p) == 0:
		return 0, nil
	}
	select {
	case message := <-s.incoming:
		n := copy(p, message)
		s.taken <- n
		return n, nil
	case <-s.ended:
		s.mu.Lock()
		err := s.readErr
		s.mu.Unlock()
		if err == io.EOF {
			s.sayRead()
		}
		return 0, err
	case <-s.closed:
		return 0, net.ErrClosed
	case <-s.readBy.wait():
		return 0, os.ErrDeadlineExceeded
	}
}

// Write writes, and waits while too much is on its way.
func (s *Stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	written := 0
	for {
		if err := s.room(); err != nil {
			return written, err
		}
		if len(p) == 0 {
			return written, nil
		}
		message := p[:min(len(p), writtenMessage)]
		if _, err := s.raw.WriteDataChannel(message, false); err != nil {
			return written, fmt.Errorf("%w: %w", errReset, err)
		}
		written += len(message)
		p = p[len(message):]
	}
}

// room waits until something may be written. The caller holds writing.
func (s *Stream) room() error {
	for {
		s.mu.Lock()
		sentEnd := s.sentEnd
		s.mu.Unlock()
		switch {
		case isClosed(s.closed) || sentEnd:
			return net.ErrClosed
		case isClosed(s.gone) || isClosed(s.carrier.over):
			return errReset
		case s.writeBy.isOver():
			return os.ErrDeadlineExceeded
		case s.raw.BufferedAmount() <= highWater:
			return nil
		}
		select {
		case <-s.low:
		case <-s.closed:
		case <-s.gone:
		case <-s.carrier.over:
		case <-s.writeBy.wait():
		}
	}
}

// CloseWrite tells the other side that nothing follows.
func (s *Stream) CloseWrite() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	sent := s.sentEnd
	s.sentEnd = true
	s.mu.Unlock()
	if sent {
		return nil
	}
	if isClosed(s.gone) {
		return errReset
	}
	if _, err := s.raw.WriteDataChannel([]byte(endMark), true); err != nil {
		return fmt.Errorf("%w: %w", errReset, err)
	}
	return nil
}

// Close ends writing in order and gives up reading. What the other side still sends is thrown away.
func (s *Stream) Close() error {
	if !s.giveUp(false) {
		return nil
	}
	err := s.CloseWrite()
	if isClosed(s.ended) {
		s.sayRead()
	}
	if errors.Is(err, errReset) {
		return nil // The other side was faster.
	}
	return err
}

// Reset gives up both directions at once.
func (s *Stream) Reset() {
	s.giveUp(true)
	_ = s.raw.Close() // It fails where there is nothing to close any more.
}

// giveUp returns whether it is the first to do so.
func (s *Stream) giveUp(reset bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isReset = s.isReset || reset
	if isClosed(s.closed) {
		return false
	}
	close(s.closed)
	return true
}

// isEnded reports whether our direction was ended in order.
func (s *Stream) isEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sentEnd && !s.isReset
}

// sayRead tells the other side that its end was read.
func (s *Stream) sayRead() {
	s.mu.Lock()
	said := s.sentRead || !s.gotEnd
	s.sentRead = s.sentRead || s.gotEnd
	s.mu.Unlock()
	if said {
		return
	}
	_, _ = s.raw.WriteDataChannel([]byte(readMark), true) // A channel that is gone needs no mark.
	s.finish()
}

// finish closes the channel once both ends were read.
func (s *Stream) finish() {
	s.mu.Lock()
	complete := s.sentEnd && s.gotEnd && s.sentRead && s.gotRead
	s.mu.Unlock()
	if complete {
		_ = s.raw.Close()
	}
}

// receive reads the channel to its end, which comes when both sides have closed it.
func (s *Stream) receive() {
	defer s.carrier.forget(s)
	err := s.readMessages()
	_ = s.raw.Close()
	s.endReading(err)
	close(s.gone)
	wrong := !errors.Is(err, io.EOF)
	s.mu.Lock()
	tell := wrong || s.isReset || s.ours && s.gotRead
	s.mu.Unlock()
	if tell {
		s.carrier.sayClosed(s)
	}
	if wrong {
		s.carrier.link.logger.Debug("a stream ended", "name", s.name, "error", err)
		s.carrier.discard(s.raw)
	}
}

// readMessages returns io.EOF once the channel is closed, and another error for what may not be on a stream.
func (s *Stream) readMessages() error {
	buffer := make([]byte, writtenMessage)
	for {
		n, isText, err := s.raw.ReadDataChannel(buffer)
		switch {
		case errors.Is(err, io.ErrShortBuffer) && len(buffer) < maxMessage:
			buffer = make([]byte, maxMessage) // The message is still there.
			continue
		case errors.Is(err, io.ErrShortBuffer):
			s.carrier.abandon(fmt.Sprintf("a message on a stream is longer than %d bytes", maxMessage))
			return io.EOF
		case err != nil:
			return io.EOF
		case isText:
			err = s.marked(string(buffer[:n]))
		default:
			err = s.handOver(buffer[:n])
		}
		if err != nil {
			return err
		}
	}
}

// handOver waits until a message was read, or nobody reads.
func (s *Stream) handOver(message []byte) error {
	s.mu.Lock()
	afterEnd := s.gotEnd
	s.mu.Unlock()
	if afterEnd {
		return errors.New("bytes came after the end")
	}
	for len(message) > 0 {
		select {
		case s.incoming <- message:
			message = message[<-s.taken:]
		case <-s.closed:
			return nil
		case <-s.carrier.link.done: // What has arrived can be read when the connection is over, but not when the link is.
			return io.EOF
		}
	}
	return nil
}

// marked handles a text.
func (s *Stream) marked(text string) error {
	switch text {
	case endMark:
		s.mu.Lock()
		s.gotEnd = true
		s.mu.Unlock()
		s.endReading(io.EOF)
		if isClosed(s.closed) {
			s.sayRead()
		}
	case readMark:
		s.mu.Lock()
		again, early := s.gotRead, !s.sentEnd
		s.gotRead = true
		s.mu.Unlock()
		switch {
		case early:
			return errors.New("a mark says that an end was read that was not sent")
		case !again:
			close(s.wasRead)
			s.finish()
		}
	default:
		return fmt.Errorf("text is no part of a stream, except %q and %q: a page must send bytes", endMark, readMark)
	}
	return nil
}

// endReading has Read return an error from now on.
func (s *Stream) endReading(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isClosed(s.ended) {
		return
	}
	switch {
	case s.gotEnd:
		s.readErr = io.EOF
	case err == nil || errors.Is(err, io.EOF):
		s.readErr = errReset
	default:
		s.readErr = fmt.Errorf("%w: %w", errReset, err)
	}
	close(s.ended)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// LocalAddr and RemoteAddr name the stream; [link.Link.Path] has the addresses of the packets.
func (s *Stream) LocalAddr() net.Addr { return address(s.name) }

// RemoteAddr is the same.
func (s *Stream) RemoteAddr() net.Addr { return address(s.name) }

// SetDeadline sets both deadlines.
func (s *Stream) SetDeadline(t time.Time) error {
	s.readBy.set(t)
	s.writeBy.set(t)
	return nil
}

// SetReadDeadline ends a Read, also one that waits.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.readBy.set(t)
	return nil
}

// SetWriteDeadline ends a Write, also one that waits. What it has written is on its way.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.writeBy.set(t)
	return nil
}

type address string

func (a address) Network() string { return "webrtc" }
func (a address) String() string  { return string(a) }
