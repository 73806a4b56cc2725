package auth

// How a ledger reads and writes its file, together with other processes.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	maxLedgerLine = 4 << 10 // Longer lines are damaged.

	ledgerPatience = 5 * time.Second // How long another process may hold the lock.
	ledgerPause    = 5 * time.Millisecond
)

// errLedgerBusy happens if another process was stopped while it held the lock.
var errLedgerBusy = errors.New("another process has locked the file for too long")

// changed reports whether the file was replaced, or changed its size, since it
// was read.
func (l *Ledger) changed() bool {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	there, err := os.Stat(l.path)
	if err != nil || l.file == nil {
		return true
	}
	ours, err := l.file.Stat()
	return err != nil || !os.SameFile(there, ours) || there.Size() != l.size
}

// replace puts another file in the place of the locked one. A process that waits
// for the lock then finds that its file is no longer the one at the path.
func (l *Ledger) replace(data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(l.path), filepath.Base(l.path)+".*.tmp") // Mode 0600.
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
	if err = os.Rename(f.Name(), l.path); err != nil {
		return err
	}
	return syncDir(l.path)
}

// withLock locks the file, reads it to its end, and runs do while no other process
// writes. It waits at most ledgerPatience for the lock.
func (l *Ledger) withLock(do func() error) error {
	deadline := time.Now().Add(ledgerPatience)
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-time.After(ledgerPatience):
		return fmt.Errorf("invites: %s: %w", l.path, errLedgerBusy)
	}
	for {
		if err := l.open(); err != nil {
			return fmt.Errorf("invites: %w", err)
		}
		if err := lockBefore(deadline, l.file); err != nil {
			return fmt.Errorf("invites: lock %s: %w", l.path, err)
		}
		there, err := os.Stat(l.path)
		ours, err2 := l.file.Stat()
		if err == nil && err2 == nil && os.SameFile(there, ours) {
			break
		}
		_ = unlockFile(l.file) // Another process replaced it meanwhile.
		_ = l.file.Close()
		l.file = nil
	}
	file := l.file
	defer func() { _ = unlockFile(file) }()
	if err := l.readNew(); err != nil {
		return fmt.Errorf("invites: read %s: %w", l.path, err)
	}
	return do()
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
			return errLedgerBusy
		}
		time.Sleep(ledgerPause)
	}
}

// open opens the file if it is not open. The caller holds the turn.
func (l *Ledger) open() error {
	if l.file != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	_, err := os.Stat(l.path)
	fresh := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if fresh {
		if err := errors.Join(ownLikeDir(f), syncDir(l.path)); err != nil {
			_ = f.Close()
			return err
		}
	}
	l.file = f
	l.rewind()
	return nil
}

// rewind makes readNew read the whole file again. Revoked invites stay revoked,
// and users who were thrown out stay out.
func (l *Ledger) rewind() {
	l.offset, l.size = 0, 0
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range l.invites {
		entry.Used = 0
	}
}

// append writes a line to the disk and reads it back. The caller holds the lock.
func (l *Ledger) append(ev ledgerEvent) error {
	line, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("invites: %w", err)
	}
	line = append(line, '\n')
	if info, err := l.file.Stat(); err == nil && info.Size() > l.offset {
		line = append([]byte("\n"), line...) // The last line was cut short: end it.
	}
	if _, err := l.file.Write(line); err != nil {
		return fmt.Errorf("invites: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("invites: %w", err)
	}
	if err := l.readNew(); err != nil {
		return fmt.Errorf("invites: read %s: %w", l.path, err)
	}
	return nil
}

// readNew applies the lines that were not read yet. The caller holds the lock.
func (l *Ledger) readNew() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < l.size { // Somebody emptied the file, or put an older one there.
		l.log.Warn("the file is shorter than it was; used invites may be good again", "file", l.path)
		l.rewind()
	}
	if info.Size() == l.size {
		return nil
	}
	data, err := io.ReadAll(io.NewSectionReader(l.file, l.offset, info.Size()-l.offset))
	if err != nil {
		return err
	}
	l.size = info.Size()
	end := bytes.LastIndexByte(data, '\n') + 1
	if end < len(data) {
		l.log.Warn("the last line was cut short; it is skipped", "file", l.path, "bytes", len(data)-end)
	}
	for line := range bytes.Lines(data[:end]) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		ev, err := parseEvent(line)
		if err != nil {
			l.log.Warn("a line is damaged; it is skipped", "file", l.path, "err", err)
			continue
		}
		l.apply(ev)
	}
	l.offset += int64(end)
	return nil
}

func parseEvent(line []byte) (ledgerEvent, error) {
	var ev ledgerEvent
	if len(line) > maxLedgerLine {
		return ev, fmt.Errorf("%d bytes", len(line))
	}
	if err := json.Unmarshal(line, &ev); err != nil {
		return ev, err
	}
	switch ev.Event {
	case eventMade, eventUsed, eventRevoked:
	case eventKicked:
		if ev.At.IsZero() {
			return ev, errors.New("a kick without its time")
		}
	default:
		return ev, fmt.Errorf("event %q", ev.Event)
	}
	if ev.ID == "" {
		return ev, errors.New("no ID")
	}
	return ev, nil
}
