package filetransfer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"
)

// sink writes the blocks of a file to Output in their order.
type sink struct {
	r   *receiver
	f   *file
	all hash.Hash // of what was written. Owned by the goroutine that writes

	mu      sync.Mutex
	writing bool // one of those that deliver writes for all
	next    int64
	ready   map[int64]delivery
	spare   [][]byte
	err     error
}

type delivery struct {
	p     piece
	block []byte
	n     int64
	sum   [hashSize]byte
}

func newSink(r *receiver, f *file) *sink {
	return &sink{r: r, f: f, all: sha256.New(), ready: map[int64]delivery{}}
}

// buffer lends room for a block. There are never more than file.pick lets be under way.
func (s *sink) buffer() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.spare); n > 0 {
		b := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return b
	}
	return make([]byte, blockSize)
}

func (s *sink) giveBack(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare = append(s.spare, b)
}

// deliver takes a verified block, and writes what has its turn unless somebody else is doing so.
func (s *sink) deliver(d delivery) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready[d.p.offset/blockSize] = d
	if s.writing {
		return s.err
	}
	s.writing = true
	for s.err == nil {
		d, there := s.ready[s.next]
		if !there {
			break
		}
		delete(s.ready, s.next)
		s.mu.Unlock()
		err := s.write(d)
		s.mu.Lock()
		s.err = err
		s.next++
		if err == nil { // else a Write that lasts may still read it
			s.spare = append(s.spare, d.block)
		}
	}
	s.writing = false
	return s.err
}

func (s *sink) write(d delivery) error {
	written := make(chan error, 1)
	go func() { // the program behind the output may read no more, and Receive must end all the same
		_, err := s.r.o.Output.Write(d.block[:d.n])
		written <- err
	}()
	select {
	case err := <-written:
		if err != nil {
			return &outputError{err}
		}
	case <-s.r.ctx.Done():
		return context.Cause(s.r.ctx)
	}
	_, _ = s.all.Write(d.block[:d.n])
	return s.r.got(d.p, d.n, d.sum)
}

// outputError is an error of Output.
type outputError struct{ err error }

func (e *outputError) Error() string { return fmt.Sprintf("the output: %v", e.err) }
func (e *outputError) Unwrap() error { return e.err }
