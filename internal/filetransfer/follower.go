package filetransfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
)

func sumOf(b []byte) [hashSize]byte { return sha256.Sum256(b) }

// chunks lends buffers for reading and hashing.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// follower hashes a whole file from its beginning beside those who send or write it: never farther than they are, so that what it reads
// is still in memory.
type follower struct {
	stop context.CancelFunc
	wake chan struct{}
	done chan struct{}
	sum  [hashSize]byte // before done is closed, as err
	err  error

	mu    sync.Mutex
	limit int64
	end   bool // limit is the end of the file
}

// openFile opens a file for reading a part of it. The function that it returns ends that, and says whether the file was still the same.
type openFile func() (io.ReaderAt, func() error, error)

// follow begins. It reads until the end is known and reached, or ctx ends, and calls closed then.
func follow(ctx context.Context, open openFile, closed func(*follower)) *follower {
	ctx, stop := context.WithCancel(ctx)
	f := &follower{stop: stop, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer stop()
		f.err = f.run(ctx, open)
		close(f.done)
		if closed != nil {
			closed(f)
		}
	}()
	return f
}

// allow lets it read up to limit. With end, the file ends there.
func (f *follower) allow(limit int64, end bool) {
	f.mu.Lock()
	f.limit = max(f.limit, limit)
	f.end = f.end || end
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *follower) allowed() (int64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.limit, f.end
}

func (f *follower) run(ctx context.Context, open openFile) error {
	hash := sha256.New()
	for at := int64(0); ; {
		limit, end := f.allowed()
		if at == limit && end {
			hash.Sum(f.sum[:0])
			return nil
		}
		if at == limit {
			select {
			case <-f.wake:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		r, done, err := open()
		if err != nil {
			return err
		}
		if err = errors.Join(hashRange(ctx, hash, r, at, limit-at), done()); err != nil {
			return err
		}
		at = limit
	}
}

// wait returns the sum.
func (f *follower) wait(ctx context.Context) ([hashSize]byte, error) {
	select {
	case <-f.done:
		return f.sum, f.err
	case <-ctx.Done():
		return [hashSize]byte{}, context.Cause(ctx)
	}
}

// hashRange writes n bytes of a file to a hash.
func hashRange(ctx context.Context, hash io.Writer, r io.ReaderAt, at, n int64) error {
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		some := chunk[:min(n, chunkSize)]
		if err := readFull(r, some, at); err != nil {
			return err
		}
		_, _ = hash.Write(some)
		at += int64(len(some))
		n -= int64(len(some))
	}
	return nil
}

// readFull reads all of b at an offset. A file that ends before has become shorter.
func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = fmt.Errorf("it ends after %d bytes", at+int64(n))
	}
	return err
}
