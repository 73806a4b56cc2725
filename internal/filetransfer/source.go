package filetransfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	maxFollowers = 16          // files that are hashed at once for all receivers
	checkEvery   = time.Second // how often a file that is being sent is looked at for changes
)

// errChanged says that a file is not what was announced.
var errChanged = errors.New("it has changed since it was listed")

// sent is an open file of the list. One goroutine owns it.
type sent struct {
	*os.File
	entry   Entry
	checked time.Time
}

// open opens a file of the list. It must still be what it was.
func (s *Sender) open(id int) (*sent, error) {
	// Without O_NONBLOCK, opening a named pipe that has taken the file's place would wait for somebody who writes.
	const flags = os.O_RDONLY | syscall.O_NONBLOCK
	var f *os.File
	var err error
	if top := s.tops[id]; top < 0 {
		f, err = os.OpenFile(s.locals[id], flags, 0)
	} else {
		var root *os.Root
		if root, err = os.OpenRoot(s.locals[top]); err == nil {
			f, err = root.OpenFile(s.locals[id], flags, 0)
			_ = root.Close()
		}
	}
	if err != nil {
		return nil, errors.New(reason(err))
	}
	o := &sent{File: f, entry: s.entries[id]}
	if err := o.check(time.Now()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return o, nil
}

// check makes sure that the file has not changed.
func (o *sent) check(now time.Time) error {
	o.checked = now
	info, err := o.Stat()
	switch {
	case err != nil:
		return errors.New(reason(err))
	case !info.Mode().IsRegular(), info.Size() != o.entry.Size, !info.ModTime().Equal(o.entry.ModTime):
		return errChanged
	}
	return nil
}

// checkSometimes is check, if it was not done for a while.
func (o *sent) checkSometimes() error {
	if now := time.Now(); now.Sub(o.checked) >= checkEvery {
		return o.check(now)
	}
	return nil
}

// isFile returns the entry if it is a file that a receiver may ask about.
func (s *Sender) isFile(file int64) (int, error) {
	if file < 0 || file >= int64(len(s.entries)) || s.entries[file].Folder {
		return 0, violation("there is no file %d", file)
	}
	return int(file), nil
}

// isLive reports whether an entry is standard input.
func (s *Sender) isLive(id int) bool { return s.entries[id].Size == unknownSize }

// served tells that a file has been read up to an offset, so that it is hashed as far.
func (s *Sender) served(id int, end int64) {
	if e := s.entries[id]; e.Size > blockSize {
		if f := s.follower(id, false); f != nil {
			f.allow(end, false)
		}
	}
}

// follower returns what hashes a file, and begins with it if there is room for one more, or in any case with must.
func (s *Sender) follower(id int, must bool) *follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.sums[id]; f != nil || (s.active >= maxFollowers && !must) || s.ctx.Err() != nil {
		return f
	}
	s.active++
	f := follow(s.ctx, s.opener(id), func(f *follower) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.active--
		if f.err != nil {
			delete(s.sums, id) // the next one who asks hears why by itself
		}
	})
	s.sums[id] = f
	return f
}

// sum returns the SHA-256 of a whole file, which is read once for all receivers.
func (s *Sender) sum(ctx context.Context, id int) ([hashSize]byte, error) {
	if s.isLive(id) {
		return s.live.sum(ctx)
	}
	f := s.follower(id, true)
	if f == nil {
		return [hashSize]byte{}, context.Cause(s.ctx)
	}
	f.allow(s.entries[id].Size, true)
	return f.wait(ctx)
}

// opener opens a file of the list for a follower. It is open while something is read only, because a receiver may never come back
// for the rest. Few are read at once: a receiver that begins anew again and again may ask for the sums of all files.
func (s *Sender) opener(id int) openFile {
	return func() (io.ReaderAt, func() error, error) {
		select {
		case s.hashing <- struct{}{}:
		case <-s.ctx.Done():
			return nil, nil, context.Cause(s.ctx)
		}
		f, err := s.open(id)
		if err != nil {
			<-s.hashing
			return nil, nil, err
		}
		return f, func() error {
			defer func() { <-s.hashing }()
			defer f.Close()
			return f.check(time.Now())
		}, nil
	}
}

// comparePieces tells which pieces of a file have the given hashes: a 1 or 0 for each.
func (s *Sender) comparePieces(ctx context.Context, id int, offset, piece int64, hashes []byte) (string, error) {
	n := len(hashes) / hashSize
	same := make([]byte, n)
	if s.isLive(id) {
		for i := range n {
			same[i] = digit(piece == blockSize && s.live.has(offset/blockSize+int64(i), hashes[i*hashSize:][:hashSize]))
		}
		return string(same), nil
	}
	f, err := s.open(id)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	var sum [hashSize]byte
	for i := range n {
		at := offset + int64(i)*piece
		hash.Reset()
		if err := hashRange(ctx, hash, f, at, min(piece, f.entry.Size-at)); err != nil {
			return "", err
		}
		same[i] = digit(string(hash.Sum(sum[:0])) == string(hashes[i*hashSize:][:hashSize]))
	}
	return string(same), f.check(time.Now())
}

func digit(yes bool) byte {
	if yes {
		return '1'
	}
	return '0'
}

// failure is the text of a failed line.
func (s *Sender) failure(id int, err error) string {
	return cut(fmt.Sprintf("%s: %s", s.entries[id].Path, reason(err)), maxText)
}
