package filetransfer

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"time"
)

// server answers the requests of one stream of blocks. One goroutine owns it.
type server struct {
	x       *Session
	c       *control
	stream  Stream
	in      *bufio.Reader
	out     []byte // what is not yet written
	flushed bool   // a part of the answer at hand was written
	hash    hash.Hash
	open    *sent // the file of the last request
	id      int
}

// serveBuffer holds several small answers, or a chunk of a large one with all around it.
const serveBuffer = chunkSize + 2*(frameSize+hashSize)

// serveBlocks answers until the stream ends. Only a breach of the protocol is an error.
func (x *Session) serveBlocks(ctx context.Context, stream Stream) error {
	c, why := x.admit(stream)
	if c == nil {
		refuse(stream, why)
		return nil
	}
	defer x.dismiss(stream)
	stop := context.AfterFunc(c.ctx, stream.Reset)
	defer stop()
	v := &server{x: x, c: c, stream: stream, in: bufio.NewReaderSize(stream, 64*frameSize), out: make([]byte, 0, serveBuffer), hash: sha256.New()}
	v.out = append(v.out, streamAccepted...)
	err := v.run()
	if v.open != nil {
		_ = v.open.Close()
	}
	if err != nil {
		stream.Reset()
		if _, ok := err.(*ProtocolError); ok {
			return err
		}
		return nil
	}
	_ = stream.Close()
	return nil
}

// admit counts a stream of blocks, if it may be there.
func (x *Session) admit(stream Stream) (*control, string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.control == nil || !x.control.ready:
		return nil, "open the stream " + StreamFiles + " first"
	case len(x.blocks) >= maxStreams:
		return nil, fmt.Sprintf("%d streams are open, and no more are allowed", maxStreams)
	}
	x.blocks[stream] = struct{}{}
	return x.control, ""
}

func (x *Session) dismiss(stream Stream) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.blocks, stream)
}

// run answers requests until the receiver ends them.
func (v *server) run() error {
	for {
		if v.in.Buffered() < frameSize {
			if err := v.flush(); err != nil {
				return err
			}
		}
		header, err := v.in.Peek(frameSize)
		if err != nil {
			if len(header) == 0 {
				return nil
			}
			return broken(err)
		}
		f, err := parseFrame(header)
		if err != nil {
			return err
		}
		_, _ = v.in.Discard(frameSize)
		id, err := v.x.s.isFile(int64(f.file))
		if err != nil {
			return err
		}
		if err := f.checkRequest(v.x.s.entries[id].Size); err != nil {
			return err
		}
		if err := v.answer(id, f); err != nil {
			return err
		}
	}
}

// answer answers a request. A file that cannot be read is the receiver's affair only in that there is nothing.
func (v *server) answer(id int, f frame) error {
	if err := v.room(2*frameSize + hashSize); err != nil {
		return err
	}
	if v.x.s.isLive(id) {
		if err := v.flush(); err != nil { // the next block may take its time
			return err
		}
	}
	began := len(v.out)
	v.flushed = false
	err := v.bytes(id, f)
	if err == nil || v.stopped(err) {
		return err
	}
	if v.open != nil {
		_ = v.open.Close()
		v.open = nil
	}
	if err != errNothing {
		if err := v.x.fail(v.c, id, err); err != nil {
			return err
		}
	}
	if v.flushed {
		return err // in the middle of an answer
	}
	f.length = nothing
	v.out = f.append(v.out[:began])
	return nil
}

// errNothing says that standard input ended before.
var errNothing = errors.New("there is nothing")

// stopped reports whether an error is of the stream, not of the file.
func (v *server) stopped(err error) bool {
	_, isBroken := err.(*brokenError)
	return isBroken || v.c.ctx.Err() != nil
}

// bytes puts an answer into the buffer, and writes as often as that is full.
func (v *server) bytes(id int, f frame) error {
	if v.x.s.isLive(id) {
		return v.liveBytes(f)
	}
	if v.open == nil || v.id != id {
		if v.open != nil {
			_ = v.open.Close()
			v.open = nil
		}
		o, err := v.x.s.open(id)
		if err != nil {
			return err
		}
		v.open, v.id = o, id
	}
	v.out = f.append(v.out)
	v.hash.Reset()
	end := f.offset + int64(f.length)
	for at := f.offset; at < end; {
		some, err := v.space(end - at)
		if err != nil {
			return err
		}
		if err := readFull(v.open, some, at); err != nil {
			return fmt.Errorf("it cannot be read: %w", err)
		}
		v.put(some)
		at += int64(len(some))
	}
	check := v.open.checkSometimes
	if end == v.open.entry.Size {
		check = func() error { return v.open.check(time.Now()) }
	}
	if err := check(); err != nil {
		return err
	}
	v.x.s.served(id, end)
	return v.seal()
}

// liveBytes is bytes for standard input.
func (v *server) liveBytes(f frame) error {
	l := v.x.s.live
	index := f.offset / blockSize
	n, sum, there, err := l.block(v.c.ctx, index)
	if err == nil && !there {
		err = errNothing
	}
	if err != nil {
		return err
	}
	f.length = uint32(n)
	v.out = f.append(v.out)
	for at := 0; at < n; {
		some, err := v.space(int64(n - at))
		if err != nil {
			return err
		}
		if err := l.copy(some, index, at); err != nil {
			return err
		}
		v.out = v.out[:len(v.out)+len(some)]
		v.x.progress.Bytes.Add(int64(len(some)))
		at += len(some)
	}
	if err := v.room(hashSize); err != nil {
		return err
	}
	v.out = append(v.out, sum[:]...)
	return nil
}

// space returns a part of the buffer for at most n bytes.
func (v *server) space(n int64) ([]byte, error) {
	if err := v.room(int(min(n, 4<<10))); err != nil {
		return nil, err
	}
	free := v.out[len(v.out):cap(v.out)]
	return free[:min(int64(len(free)), n)], nil
}

// put takes bytes that were read into space.
func (v *server) put(b []byte) {
	_, _ = v.hash.Write(b)
	v.out = v.out[:len(v.out)+len(b)]
	v.x.progress.Bytes.Add(int64(len(b)))
}

// seal ends an answer with the hash.
func (v *server) seal() error {
	if err := v.room(hashSize); err != nil {
		return err
	}
	v.out = v.hash.Sum(v.out)
	return nil
}

// room makes room for n bytes.
func (v *server) room(n int) error {
	if cap(v.out)-len(v.out) >= n {
		return nil
	}
	v.flushed = true
	return v.flush()
}

func (v *server) flush() error {
	if len(v.out) == 0 {
		return nil
	}
	_, err := v.stream.Write(v.out)
	v.out = v.out[:0]
	if err != nil {
		return broken(err)
	}
	return nil
}
