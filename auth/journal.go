package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

const (
	journalPatience = 5 * time.Second // How long another process may hold the lock.
	journalPause    = 5 * time.Millisecond
)

// errJournalBusy happens if another process was stopped while it held the lock.
var errJournalBusy = errors.New("another process has locked the file for too long")

// journal is a file of lines that several processes append to. A process appends
// under the file's lock, after it has read the lines of the others. A line that
// a crash cut short is skipped.
type journal struct {
	// Static after construction.
	name    string // What errors begin with.
	path    string
	maxLine int // Longer lines are damaged.
	log     *slog.Logger
	// apply takes a line of the file. It gets the same line again after a rewind.
	apply func(line []byte) error
	// rewound is told that all lines come again, from another file or from one that
	// got shorter.
	rewound func()

	turn chan struct{} // Holds one element while a goroutine uses the file.

	// Owned by the goroutine that holds the turn.
	file   *os.File
	offset int64 // Start of the first line that was not read yet.
	size   int64 // Of the file at the last reading: more than offset if its last line was cut short.
}

// take waits for the turn.
func (j *journal) take() error {
	select {
	case j.turn <- struct{}{}:
		return nil
	case <-time.After(journalPatience):
		return fmt.Errorf("%s: %s: %w", j.name, j.path, errJournalBusy)
	}
}

func (j *journal) give() { <-j.turn }

// close closes the file. No method may be called after it.
func (j *journal) close() error {
	j.turn <- struct{}{}
	defer j.give()
	if j.file == nil {
		return nil
	}
	file := j.file
	j.file = nil
	return file.Close()
}

// changed reports whether the file was replaced, or changed its size, since it
// was read.
func (j *journal) changed() (bool, error) {
	if err := j.take(); err != nil {
		return false, err
	}
	defer j.give()
	there, err := os.Stat(j.path)
	if err != nil || j.file == nil {
		return true, nil
	}
	ours, err := j.file.Stat()
	return err != nil || !os.SameFile(there, ours) || there.Size() != j.size, nil
}

// readOnly reads the file, and changes nothing. A missing file is an empty one.
func (j *journal) readOnly() error {
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", j.name, err)
	}
	defer f.Close()
	// The lock keeps a line that is being written out of sight.
	if err := lockBefore(time.Now().Add(journalPatience), f); err != nil {
		return fmt.Errorf("%s: lock %s: %w", j.name, j.path, err)
	}
	defer func() { _ = unlockFile(f) }()
	j.file = f
	err = j.readNew()
	j.file = nil
	return err
}

// withLock locks the file, reads it to its end, and runs do while no other process
// writes. It waits at most journalPatience for the lock.
func (j *journal) withLock(do func() error) error {
	deadline := time.Now().Add(journalPatience)
	if err := j.take(); err != nil {
		return err
	}
	defer j.give()
	for {
		if err := j.open(); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
		if err := lockBefore(deadline, j.file); err != nil {
			return fmt.Errorf("%s: lock %s: %w", j.name, j.path, err)
		}
		there, err := os.Stat(j.path)
		ours, err2 := j.file.Stat()
		if err == nil && err2 == nil && os.SameFile(there, ours) {
			break
		}
		_ = unlockFile(j.file) // Another process replaced it meanwhile.
		_ = j.file.Close()
		j.file = nil
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: open %s: %w", j.name, j.path, errors.Join(err, err2))
		}
	}
	file := j.file
	defer func() { _ = unlockFile(file) }()
	if err := j.readNew(); err != nil {
		return err
	}
	return do()
}

// LockFile keeps other processes that lock the same file waiting until unlock. It makes the file and its folder if they
// are not there, and waits at most five seconds. The end of a process ends its lock.
func LockFile(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockBefore(time.Now().Add(journalPatience), f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = errors.Join(unlockFile(f), f.Close()) }, nil
}

// lockBefore tries until it has the lock. Waiting inside the system call would
// block a thread, perhaps for ever.
func lockBefore(deadline time.Time, f *os.File) error {
	for {
		busy, err := tryLockFile(f)
		switch {
		case !busy:
			return err
		case time.Now().After(deadline):
			return errJournalBusy
		}
		time.Sleep(journalPause)
	}
}

// open opens the file if it is not open. The caller holds the turn.
func (j *journal) open() error {
	if j.file != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(j.path), 0o700); err != nil {
		return err
	}
	_, err := os.Stat(j.path)
	fresh := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|os.O_APPEND|noFollow, 0o600)
	if err != nil {
		return err
	}
	if fresh {
		if err := errors.Join(ownLikeDir(f), syncDir(j.path)); err != nil {
			_ = f.Close()
			return err
		}
	}
	j.file = f
	j.rewind()
	return nil
}

func (j *journal) rewind() {
	j.offset, j.size = 0, 0
	j.rewound()
}

// append writes whole lines to the disk and reads them back. The caller holds the
// lock.
func (j *journal) append(lines []byte) error {
	if info, err := j.file.Stat(); err == nil && info.Size() > j.offset {
		lines = append([]byte("\n"), lines...) // The last line was cut short: end it.
	}
	if _, err := j.file.Write(lines); err != nil {
		return fmt.Errorf("%s: %w", j.name, err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("%s: %w", j.name, err)
	}
	return j.readNew()
}

// read returns the whole lines of the file. The caller holds the lock.
func (j *journal) read() ([]byte, error) {
	data, err := io.ReadAll(io.NewSectionReader(j.file, 0, j.offset))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.name, err)
	}
	return data, nil
}

// replace puts another file in the place of the locked one. A process that waits
// for the lock then finds that its file is no longer the one at the path.
func (j *journal) replace(data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(j.path), filepath.Base(j.path)+".*.tmp") // Mode 0600.
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = errors.Join(ownLikeDir(f), f.Sync())
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // It replaces no file that is open.
		_ = j.file.Close()
		j.file = nil
	}
	if err = os.Rename(f.Name(), j.path); err != nil {
		return err
	}
	return syncDir(j.path)
}

// readNew applies the lines that were not read yet. The caller holds the lock.
func (j *journal) readNew() error {
	if err := j.applyNew(); err != nil {
		return fmt.Errorf("%s: read %s: %w", j.name, j.path, err)
	}
	return nil
}

func (j *journal) applyNew() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < j.size { // Somebody emptied the file, or put an older one there.
		j.log.Warn("the file is shorter than it was; what it has lost may hold no longer", "file", j.path)
		j.rewind()
	}
	if info.Size() == j.size {
		return nil
	}
	data, err := io.ReadAll(io.NewSectionReader(j.file, j.offset, info.Size()-j.offset))
	if err != nil {
		return err
	}
	j.size = info.Size()
	end := bytes.LastIndexByte(data, '\n') + 1
	if end < len(data) {
		j.log.Warn("the last line was cut short; it is skipped", "file", j.path, "bytes", len(data)-end)
	}
	for line := range bytes.Lines(data[:end]) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := j.applyLine(line); err != nil {
			j.log.Warn("a line is damaged; it is skipped", "file", j.path, "err", err)
		}
	}
	j.offset += int64(end)
	return nil
}

func (j *journal) applyLine(line []byte) error {
	if len(line) > j.maxLine {
		return fmt.Errorf("%d bytes", len(line))
	}
	return j.apply(line)
}
