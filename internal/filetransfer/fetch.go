package filetransfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"strconv"
	"sync"
	"time"
)

const maxBarrenStreams = 5 // in a row, of one fetcher

// streamLives are how long the first streams of a fetcher are used. A connection that was made after a stream was opened carries none of
// its bytes, so the stream gives way to another one when all connections are there.
var streamLives = [...]time.Duration{time.Second, 4 * time.Second}

// fetcher asks for bytes on one stream after the other, and writes them. One goroutine owns it.
type fetcher struct {
	a     *attempt
	lane  lane
	hash  hash.Hash
	sum   [hashSize]byte
	head  [frameSize]byte
	chunk []byte
	used  int  // streams that have lived as long as they may
	over  bool // the stream at hand has. Written by ask, read when that has ended
}

// fetch brings bytes until there are no more to ask for.
func (a *attempt) fetch(ctx context.Context) error {
	f := &fetcher{a: a, hash: sha256.New(), lane: newLane(streamWindow), chunk: make([]byte, chunkSize)}
	if a.r.dir == nil || a.r.plan.Unknown {
		f.lane = newLane(narrowWindow)
	}
	for barren := 0; a.r.awaitWork(ctx); {
		name := StreamBlocks + strconv.FormatInt(a.r.number.Add(1), 10)
		stream, err := a.peer.Open(ctx, name)
		if err != nil {
			return broken(err) // the next attempt hears whether it is for good
		}
		f.a.r.begin(&f.lane)
		came, err := f.from(ctx, stream)
		if lost, ok := errors.AsType[*fileError](err); ok { // the rest of the answer is on the stream
			if err = a.leave(ctx, lost.f.id, reason(lost.err), false); err == nil {
				continue
			}
		}
		switch {
		case err == nil && f.over:
			f.used++
		case err == nil, ctx.Err() != nil:
			return err
		case !isBroken(err):
			return err
		case came:
			barren = 0
		default:
			if barren++; barren == maxBarrenStreams {
				return err
			}
		}
	}
	return nil
}

func isBroken(err error) bool {
	_, ok := errors.AsType[*brokenError](err)
	return ok
}

// from uses a stream until it breaks or all is there, and reports whether it has brought anything.
func (f *fetcher) from(ctx context.Context, stream Stream) (came bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { f.a.r.wake(); stream.Reset() })
	asked := make(chan piece, maxRequests-2)
	var asking sync.WaitGroup
	asking.Go(func() { f.ask(ctx, stream, asked) })
	defer asking.Wait()
	defer cancel()
	defer func() {
		if err != nil {
			cancel() // so that ask ends, and nothing more comes
			for p := range asked {
				f.a.r.untake(&f.lane, p, true)
			}
		}
	}()
	if err := expectOK(stream); err != nil {
		if errors.As(err, new(*RemoteError)) {
			err = broken(err) // the sender may have noticed a break first
		}
		return false, err
	}
	for p := range asked {
		again, err := f.piece(p, stream)
		f.a.r.untake(&f.lane, p, again)
		if err != nil {
			return came, err
		}
		came = true
	}
	if ctx.Err() != nil {
		return came, context.Cause(ctx)
	}
	stop()
	_ = stream.Close()
	return came, nil
}

// ask sends requests until there is nothing to ask for or the stream has ended.
func (f *fetcher) ask(ctx context.Context, stream Stream, asked chan<- piece) {
	defer close(asked)
	var b [frameSize]byte
	opened := time.Now()
	for {
		f.over = f.used < len(streamLives) && time.Since(opened) >= streamLives[f.used]
		p, ok := piece{}, false
		if !f.over {
			p, ok = f.a.r.take(ctx, &f.lane)
		}
		if !ok {
			_ = stream.CloseWrite()
			return
		}
		asked <- p // whose reader reads until asked is closed
		if _, err := stream.Write(frame{uint32(p.f.id), p.offset, uint32(p.length)}.append(b[:0])); err != nil {
			stream.Reset()
			return
		}
	}
}

// expectOK reads what the side that accepts a stream says first.
func expectOK(stream Stream) error {
	_ = stream.SetReadDeadline(time.Now().Add(helloTimeout))
	var line [maxText]byte
	for i := range line {
		if _, err := io.ReadFull(stream, line[i:i+1]); err != nil {
			return broken(err)
		}
		if line[i] != '\n' {
			continue
		}
		_ = stream.SetReadDeadline(time.Time{})
		return judgeOK(string(line[:i+1]))
	}
	return violation("a stream does not begin with ok")
}

// piece reads the answer to a request. With again, it must be asked for once more.
func (f *fetcher) piece(p piece, stream Stream) (again bool, err error) {
	if _, err := io.ReadFull(stream, f.head[:]); err != nil {
		return true, broken(err)
	}
	got, err := parseFrame(f.head[:])
	if err != nil {
		return false, err
	}
	request := frame{uint32(p.f.id), p.offset, uint32(p.length)}
	if err := got.checkAnswer(request, p.f.entry.Size); err != nil {
		return false, err
	}
	if got.length == nothing {
		return false, f.a.r.none(p)
	}
	n := int64(got.length)
	if p.f.sink != nil {
		return f.toSink(p, n, stream)
	}
	if err := f.toPart(p, n, stream); err != nil {
		return true, err
	}
	return false, f.a.r.got(p, n, f.sum)
}

// toPart reads an answer into the part file, and checks its hash.
func (f *fetcher) toPart(p piece, n int64, stream Stream) error {
	f.hash.Reset()
	at := int64(0)
	for at < n {
		some := f.chunk[:min(n-at, chunkSize)]
		_, err := io.ReadFull(stream, some)
		if err != nil {
			err = broken(err)
		} else {
			err = f.a.r.write(p, some, p.offset+at)
		}
		if err != nil {
			f.a.r.now.Bytes.Add(-at) // they come again
			return err
		}
		_, _ = f.hash.Write(some)
		at += int64(len(some))
		f.a.r.now.Bytes.Add(int64(len(some)))
	}
	err := f.checkHash(stream)
	if err != nil {
		f.a.r.now.Bytes.Add(-at)
	}
	return err
}

// checkHash reads the hash of an answer.
func (f *fetcher) checkHash(stream Stream) error {
	theirs := f.chunk[:hashSize]
	if _, err := io.ReadFull(stream, theirs); err != nil {
		return broken(err)
	}
	if string(f.hash.Sum(f.sum[:0])) != string(theirs) {
		return violation("bytes do not have the SHA-256 that came with them")
	}
	return nil
}

// write writes bytes that have come into the part file. A file that is lost takes none.
func (r *receiver) write(p piece, b []byte, at int64) error {
	select {
	case <-p.f.gone:
		return nil
	default:
	}
	if _, err := p.f.part.WriteAt(b, at); err != nil {
		if isFatal(err) {
			return &diskError{p.f.entry.Path, err}
		}
		return &fileError{p.f, err}
	}
	return nil
}

// fileError is an error of writing that other files may not meet.
type fileError struct {
	f   *file
	err error
}

func (e *fileError) Error() string { return e.f.entry.Path + ": " + reason(e.err) }
func (e *fileError) Unwrap() error { return e.err }

// toSink reads an answer for Output, which takes only what was verified.
func (f *fetcher) toSink(p piece, n int64, stream Stream) (again bool, err error) {
	s := p.f.sink
	block := s.buffer()
	if _, err := io.ReadFull(stream, block[:n]); err != nil {
		s.giveBack(block)
		return true, broken(err)
	}
	f.a.r.now.Bytes.Add(n)
	f.hash.Reset()
	_, _ = f.hash.Write(block[:n])
	if err := f.checkHash(stream); err != nil {
		s.giveBack(block)
		return true, err
	}
	return false, s.deliver(delivery{p, block, n, f.sum})
}
