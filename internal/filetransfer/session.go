package filetransfer

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Session is what a Sender does for one receiver, also over breaks.
type Session struct {
	s        *Sender
	progress Progress
	accepted chan struct{} // closed once the receiver has said that it wants the files

	mu      sync.Mutex
	control *control // the stream files that counts
	blocks  map[Stream]struct{}
	ended   bool // the receiver has said that all is safe
	failed  int  // at the end
	skipped int
	told    map[int]string // files of which the receiver was told why they failed
}

// control is a stream files.
type control struct {
	stream Stream
	out    *lineWriter
	ctx    context.Context
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when its goroutine has ended
	ready  bool          // the receiver knows the plan, or is about to. Guarded by Session.mu
}

// Session begins with one more receiver.
func (s *Sender) Session() *Session {
	x := &Session{s: s, accepted: make(chan struct{}), blocks: map[Stream]struct{}{}, told: map[int]string{}}
	x.progress.Total.Store(s.bytes)
	return x
}

// Progress tells how far the receiver is. It may be read at any time.
func (x *Session) Progress() *Progress { return &x.progress }

// Accepted is closed once the receiver wants the files.
func (x *Session) Accepted() <-chan struct{} { return x.accepted }

// Left returns how many files failed, and how many the receiver's user did not want, when Serve has returned nil.
func (x *Session) Left() (failed, skipped int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.failed, x.skipped
}

func (x *Session) hasEnded() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ended
}

// maxHandlers is how many streams of a receiver are served or being refused at once.
const maxHandlers = 2*maxStreams + 4

// errEnded ends Serve: the receiver has all.
var errEnded = errors.New("the transfer has ended")

// Serve answers the receiver's streams. It returns nil when the receiver has said that all it takes is on its disk, ErrDeclined, a
// *RemoteError or a *ProtocolError, or what Accept or ctx says. Streams that break do not end it.
func (x *Session) Serve(ctx context.Context, from Acceptor) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var handlers sync.WaitGroup
	places := make(chan struct{}, maxHandlers)
	for {
		name, stream, err := from.Accept(ctx)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			cancel(err)
			handlers.Wait()
			if x.hasEnded() { // its receiver may have left right after that
				return nil
			}
			return err
		}
		select {
		case places <- struct{}{}:
		default:
			stream.Reset() // more than any receiver needs
			continue
		}
		handlers.Go(func() {
			defer func() { <-places }()
			if err := x.serve(ctx, name, stream); err != nil {
				cancel(err)
			}
		})
	}
}

// serve handles a stream. Its error ends the session.
func (x *Session) serve(ctx context.Context, name string, stream Stream) error {
	number, blocks := strings.CutPrefix(name, StreamBlocks)
	_, bad := strconv.ParseUint(number, 10, 32)
	switch {
	case name == StreamFiles:
		return x.serveFiles(ctx, stream)
	case blocks && bad == nil:
		return x.serveBlocks(ctx, stream)
	}
	refuse(stream, "there are no such streams here")
	return nil
}

// refuse says why a stream is not wanted.
func refuse(stream Stream, why string) {
	_ = stream.SetDeadline(time.Now().Add(5 * time.Second)) // nobody may hold up the session with a stream that is not wanted
	_, _ = io.WriteString(stream, streamRefused+cut(why, maxText-len(streamRefused)-1)+"\n")
	_ = stream.Close()
}

// serveFiles speaks with the receiver until the stream breaks, which is no error, or the transfer ends.
func (x *Session) serveFiles(ctx context.Context, stream Stream) error {
	c := &control{stream: stream, out: newLineWriter(stream), ended: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	defer c.cancel(errEnded)
	x.take(c)
	defer close(c.ended)
	stop := context.AfterFunc(c.ctx, func() { _ = stream.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var sums sync.WaitGroup
	err := c.out.raw(c.ctx, []byte(streamAccepted))
	if err == nil {
		err = x.converse(c, &sums)
	}
	x.drop(c)
	if c.ctx.Err() != nil && err != errEnded {
		err = context.Cause(c.ctx)
	}
	c.cancel(err)
	sums.Wait()
	var last any
	_, isBroken := errors.AsType[*brokenError](err)
	switch {
	case isBroken, errors.Is(err, errSuperseded):
		stream.Reset()
		_ = c.out.finish()
		return nil
	case err == errEnded:
		last = endLine{Type: "end"}
	case !errors.As(err, new(*RemoteError)) && err != ErrDeclined:
		last = errorLine(err)
	}
	c.out.leave(stream, last)
	_ = stream.Close()
	return err
}

var errSuperseded = errors.New("the receiver has begun anew")

// take makes c the stream that counts. The one before ends first, with its streams of blocks.
func (x *Session) take(c *control) {
	x.mu.Lock()
	before := x.control
	x.control = c
	blocks := slices.Collect(maps.Keys(x.blocks))
	x.mu.Unlock()
	for _, stream := range blocks {
		stream.Reset()
	}
	if before != nil {
		before.cancel(errSuperseded)
		<-before.ended
	}
}

// drop makes c count no more.
func (x *Session) drop(c *control) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.control == c {
		x.control = nil
	}
}

// converse reads the receiver's lines and answers them.
func (x *Session) converse(c *control, sums *sync.WaitGroup) error {
	in := newLineReader(c.stream)
	first, err := in.next()
	if err != nil {
		return err
	}
	if first.Type != "hello" || first.Version < 1 {
		return violation("it does not begin with hello")
	}
	if err := x.introduce(c, first.Session); err != nil {
		return err
	}
	waiting := make(chan struct{}, maxSums)
	for {
		m, err := in.next()
		if err != nil {
			return err
		}
		if m.Type == "sum" {
			if err := x.sum(c, m, waiting, sums); err != nil {
				return err
			}
			continue
		}
		if err := x.answer(c, m); err != nil {
			return err
		}
	}
}

// introduce says hello, and the list to a receiver that does not have it.
func (x *Session) introduce(c *control, known string) error {
	again := known == x.s.session
	if again {
		x.setReady(c)
	}
	if err := c.out.say(c.ctx, helloLine{"hello", version, x.s.session}); err != nil {
		return err
	}
	if !again {
		for i := range x.s.entries {
			if err := c.out.say(c.ctx, x.s.entries[i].line()); err != nil {
				return err
			}
		}
		x.setReady(c)
		if err := c.out.say(c.ctx, planLine{"plan", len(x.s.entries), x.s.bytes}); err != nil {
			return err
		}
	}
	x.mu.Lock()
	failed := maps.Clone(x.told)
	x.mu.Unlock()
	for id, why := range failed { // what was said before a break may be lost
		if err := c.out.say(c.ctx, fileLine{Type: "failed", File: int64(id), Error: why}); err != nil {
			return err
		}
	}
	return nil
}

// setReady lets streams of blocks in. It comes before the line that lets the receiver open them, which may be faster than this goroutine.
func (x *Session) setReady(c *control) {
	x.mu.Lock()
	defer x.mu.Unlock()
	c.ready = true
}

// line describes an entry.
func (e *Entry) line() entryLine {
	l := entryLine{Type: "entry", Path: e.Path, Folder: e.Folder}
	if !e.Folder && e.Size != unknownSize {
		l.Size = &e.Size
	}
	if e.hasMode {
		mode := uint32(e.Mode.Perm())
		l.Mode = &mode
	}
	if y := e.ModTime.Year(); !e.ModTime.IsZero() && y >= 1 && y <= 9999 { // RFC 3339 has no others
		l.MTime = &e.ModTime
	}
	return l
}

// answer acts on a line.
func (x *Session) answer(c *control, m *message) error {
	switch m.Type {
	case "accept":
		x.progress.Total.Store(m.Bytes)
		x.mu.Lock()
		select {
		case <-x.accepted:
		default:
			close(x.accepted)
		}
		x.mu.Unlock()
	case "progress":
		x.progress.Verified.Store(m.Bytes)
	case "done":
		x.progress.Files.Add(1)
	case "have":
		return x.compare(c, m)
	case "end":
		x.mu.Lock()
		x.ended, x.failed, x.skipped = true, int(m.Failed), int(m.Skipped)
		x.mu.Unlock()
		return errEnded
	case "error":
		return m.remoteError()
	}
	return nil
}

// compare tells what is right of what the receiver has.
func (x *Session) compare(c *control, m *message) error {
	if m.File == nil {
		return violation("have names no file")
	}
	id, err := x.s.isFile(*m.File)
	if err != nil {
		return err
	}
	hashes, err := hash64.DecodeString(m.Hashes)
	n := int64(len(hashes) / hashSize)
	size := x.s.entries[id].Size
	switch {
	case err != nil, n == 0, n > maxHashes, len(hashes)%hashSize != 0:
		return violation("have has no hashes that can be read")
	case m.Piece != blockSize && m.Piece != pieceSize, m.Offset%m.Piece != 0:
		return violation("have is about pieces that there are not")
	case size != unknownSize && m.Offset+(n-1)*m.Piece >= size:
		return violation("have goes beyond the end of a file")
	}
	same, err := x.s.comparePieces(c.ctx, id, m.Offset, m.Piece, hashes)
	if err != nil {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		if err := x.fail(c, id, err); err != nil {
			return err
		}
		same = strings.Repeat("0", int(n))
	}
	return c.out.say(c.ctx, sameLine{"same", *m.File, m.Offset, same})
}

// sum answers with the SHA-256 of a whole file, once there is one.
func (x *Session) sum(c *control, m *message, waiting chan struct{}, sums *sync.WaitGroup) error {
	if m.File == nil {
		return violation("sum names no file")
	}
	id, err := x.s.isFile(*m.File)
	if err != nil {
		return err
	}
	select {
	case waiting <- struct{}{}:
	default:
		return violation("more than %d sums are asked for at once", maxSums)
	}
	sums.Go(func() {
		defer func() { <-waiting }()
		sum, err := x.s.sum(c.ctx, id)
		switch {
		case err == nil:
			_ = c.out.say(c.ctx, fileLine{Type: "sum", File: int64(id), SHA256: hash64.EncodeToString(sum[:])})
		case c.ctx.Err() == nil:
			_ = x.fail(c, id, err)
		}
	})
	return nil
}

// fail tells the receiver that a file will not be complete, once.
func (x *Session) fail(c *control, id int, err error) error {
	x.mu.Lock()
	why, before := x.told[id]
	if !before {
		why = x.s.failure(id, err)
		x.told[id] = why
	}
	x.mu.Unlock()
	if before {
		return nil
	}
	return c.out.say(c.ctx, fileLine{Type: "failed", File: int64(id), Error: why})
}

// Progress counts what has been done. All of it may be read at any time.
type Progress struct {
	Total    atomic.Int64 // bytes that are expected, of the files whose sizes are known
	Bytes    atomic.Int64 // bytes that went over streams, with those that were there before
	Verified atomic.Int64 // bytes of which the receiver knows that they are right
	Files    atomic.Int64 // files that are complete under their final names
}
