package filetransfer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
)

// liveAhead is how many blocks are read before somebody asks for them.
const liveAhead = 2

// live is a file without a size: standard input. It is read once. The latest blocks stay in memory for a receiver that asks again after a
// break, or all of them in a file, if there are several receivers.
type live struct {
	in     io.Reader
	spool  *os.File // nil: memory
	closed context.Context

	mu     sync.Mutex
	news   chan struct{} // closed and replaced when something below has changed
	blocks [liveWindow + liveAhead][]byte
	sums   [][hashSize]byte // one a block
	asked  int64            // the highest block that was asked for, and one
	size   int64            // what was read
	ended  bool
	whole  [hashSize]byte // of all, once ended
	err    error
}

func newLive(ctx context.Context, o SenderOptions) (*live, error) {
	l := &live{in: o.Stdin, news: make(chan struct{}), closed: ctx}
	if o.Receivers > 1 {
		f, err := os.CreateTemp(o.TempDir, "turnpike-send-*")
		if err != nil {
			return nil, fmt.Errorf("standard input for several receivers needs a file: %w", err)
		}
		_ = os.Remove(f.Name()) // where that works, nothing is left even after a kill
		l.spool = f
	}
	go l.read() // ends with the reader, or as soon as that returns once the sender is closed
	return l, nil
}

func (l *live) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && !l.ended {
		l.err = context.Cause(l.closed)
	}
	l.tell()
	if l.spool == nil {
		return nil
	}
	err := l.spool.Close()
	_ = os.Remove(l.spool.Name())
	return err
}

// tell wakes all who wait. The caller holds mu.
func (l *live) tell() {
	close(l.news)
	l.news = make(chan struct{})
}

// read reads block after block until the end.
func (l *live) read() {
	all := sha256.New()
	spare := make([]byte, blockSize)
	for l.wanted() {
		n, err := io.ReadFull(l.in, spare)
		block := spare[:n]
		_, _ = all.Write(block)
		sum := sumOf(block)
		if l.spool != nil && l.closed.Err() == nil {
			if _, werr := l.spool.WriteAt(block, int64(len(l.sums))*blockSize); werr != nil {
				err = fmt.Errorf("cannot be kept for several receivers: %w", werr)
			}
		}
		if !l.took(block, sum, err, all, &spare) {
			return
		}
	}
}

// took puts a block that was read where it can be asked for, and reports whether there may be more.
func (l *live) took(block []byte, sum [hashSize]byte, err error, whole hash.Hash, spare *[]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.tell()
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		l.err = err
		return false
	}
	if l.spool == nil {
		slot := &l.blocks[len(l.sums)%len(l.blocks)]
		*slot, *spare = block, *slot
		if *spare == nil {
			*spare = make([]byte, blockSize)
		}
		*spare = (*spare)[:blockSize]
	}
	l.sums = append(l.sums, sum)
	l.size += int64(len(block))
	if err != nil {
		l.ended = true
		whole.Sum(l.whole[:0])
	}
	return err == nil
}

// wanted waits until the next block may be read: in memory, it must not push out one that may still be asked for.
func (l *live) wanted() bool {
	for {
		l.mu.Lock()
		news, ready := l.news, l.spool != nil || int64(len(l.sums)) < l.asked+liveAhead
		l.mu.Unlock()
		if l.closed.Err() != nil {
			return false
		}
		if ready {
			return true
		}
		select {
		case <-news:
		case <-l.closed.Done():
			return false
		}
	}
}

// block waits for a block, and returns how long it is and its SHA-256. After the last one there is nothing: false.
func (l *live) block(ctx context.Context, index int64) (n int, sum [hashSize]byte, there bool, err error) {
	for {
		l.mu.Lock()
		if index >= l.asked && index < int64(len(l.sums))+liveWindow {
			l.asked = index + 1
			l.tell()
		}
		read, news := int64(len(l.sums)), l.news
		switch {
		case index < read:
			n, sum = blockSize, l.sums[index]
			if index == read-1 && l.ended {
				n = int(l.size - index*blockSize)
			}
			gone := l.spool == nil && index < read-int64(len(l.blocks))
			l.mu.Unlock()
			if gone {
				return 0, sum, false, fmt.Errorf("what came %d MiB ago is gone; run the command again", read-index)
			}
			return n, sum, true, nil
		case l.ended, l.err != nil, index >= read+liveWindow:
			err = l.err
			l.mu.Unlock()
			return 0, sum, false, err
		}
		l.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return 0, sum, false, context.Cause(ctx)
		}
	}
}

// copy copies bytes of a block that block has found.
func (l *live) copy(b []byte, index int64, at int) error {
	if l.spool != nil {
		return readFull(l.spool, b, index*blockSize+int64(at))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if index < int64(len(l.sums))-int64(len(l.blocks)) {
		return fmt.Errorf("what came %d MiB ago is gone; run the command again", int64(len(l.sums))-index)
	}
	copy(b, l.blocks[index%int64(len(l.blocks))][at:])
	return nil
}

// has reports whether a block that was read has a hash.
func (l *live) has(index int64, sum []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return index < int64(len(l.sums)) && string(l.sums[index][:]) == string(sum)
}

// sum waits for the end, and returns the SHA-256 of all.
func (l *live) sum(ctx context.Context) ([hashSize]byte, error) {
	for {
		l.mu.Lock()
		ended, err, news, whole := l.ended, l.err, l.news, l.whole
		l.mu.Unlock()
		if ended || err != nil {
			return whole, err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return whole, context.Cause(ctx)
		}
	}
}
