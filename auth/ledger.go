package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrInviteUsed and ErrInviteRevoked wrap ErrUnauthorized. The one who holds a
// good invite may be told.
var (
	ErrInviteUsed    error = inviteError("this invite has been used")
	ErrInviteRevoked error = inviteError("this invite was revoked")
)

type inviteError string

func (e inviteError) Error() string { return "unauthorized: " + string(e) }
func (e inviteError) Unwrap() error { return ErrUnauthorized }

const (
	maxLedgerLine = 4 << 10 // What is read for one event.

	ledgerPatience = 5 * time.Second // How long another process may have the file locked.
	ledgerPause    = 5 * time.Millisecond
)

// Ledger remembers, in a file, which invites were made, used and revoked. Each
// event is a line of JSON at the file's end, written while the file is locked
// and on the disk before it counts; processes read each other's lines, so that
// an invite for one use has one, however many processes, restarts and
// requests at a time there are.
//
// A line that a crash cut short did not count yet, and is skipped. Expired
// invites need no memory: Prune drops them.
type Ledger struct {
	path string
	now  func() time.Time
	log  *slog.Logger

	turn chan struct{} // Of room for one: who has put something in may use the file.

	// Owned by whose turn it is.
	file   *os.File
	offset int64 // Where the first line begins that was not read yet.
	size   int64 // Of the file when it was read: more than offset after a line that was cut short.

	mu      sync.Mutex
	invites map[string]*LedgerEntry // Guarded by mu, by ID.
	news    []string                // Guarded by mu: revoked, and not told by Poll yet.
}

// errLedgerBusy is for a process that was stopped while it had the file locked.
var errLedgerBusy = errors.New("another process has had the file locked for too long")

// LedgerEntry is what a ledger knows of an invite. Room, Role and Uses are
// empty if it was made before there was a ledger.
type LedgerEntry struct {
	Invite
	Used    int
	Revoked bool
}

// ledgerEvent is a line of the file.
type ledgerEvent struct {
	Event   string    `json:"event"`
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"` // Of the invite.
	Room    string    `json:"room,omitempty"`
	Role    Role      `json:"role,omitempty"`
	Uses    int       `json:"uses,omitempty"`
}

const (
	eventMade    = "made"
	eventUsed    = "used"
	eventRevoked = "revoked"
)

// OpenLedger reads the ledger at path, and makes it, mode 0600, if there is none.
func OpenLedger(path string, now func() time.Time, log *slog.Logger) (*Ledger, error) {
	l := &Ledger{path: path, now: now, log: log, turn: make(chan struct{}, 1), invites: map[string]*LedgerEntry{}}
	if err := l.locked(func() error { return nil }); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.news = nil // Nobody had a session yet.
	return l, nil
}

// Close closes the file. Nothing may be called after it.
func (l *Ledger) Close() error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}

// Made records an invite that was issued, so that it can be listed.
func (l *Ledger) Made(inv Invite) error {
	return l.locked(func() error {
		return l.append(ledgerEvent{eventMade, inv.ID, inv.Expires, inv.Room, inv.Role, inv.Uses})
	})
}

// Use takes one of the uses of an invite that was verified. It returns
// ErrInviteUsed if there was none left, and ErrInviteRevoked; with any other
// error the use may be lost, but was not taken twice.
func (l *Ledger) Use(inv Invite) error {
	if inv.Uses == 0 { // Nothing to count: what Poll has read is enough.
		if l.Revoked(inv.ID) {
			return ErrInviteRevoked
		}
		return nil
	}
	return l.locked(func() error {
		entry := l.entry(inv.ID)
		switch {
		case entry.Revoked:
			return ErrInviteRevoked
		case entry.Used >= inv.Uses:
			return ErrInviteUsed
		}
		return l.append(ledgerEvent{Event: eventUsed, ID: inv.ID, Expires: inv.Expires})
	})
}

// Revoke ends an invite, and the tickets that were made from it.
func (l *Ledger) Revoke(id string, expires time.Time) error {
	return l.locked(func() error {
		if l.entry(id).Revoked {
			return nil
		}
		return l.append(ledgerEvent{Event: eventRevoked, ID: id, Expires: expires})
	})
}

// Revoked reports whether an invite was revoked, as far as was read. It is
// memory only.
func (l *Ledger) Revoked(id string) bool { return l.entry(id).Revoked }

// Find returns what is known of an invite.
func (l *Ledger) Find(id string) (LedgerEntry, bool) {
	entry := l.entry(id)
	return entry, entry.ID != ""
}

// List returns the invites that have not expired, in the order of their expiry.
func (l *Ledger) List() []LedgerEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []LedgerEntry
	for _, entry := range l.invites {
		if entry.Expires.After(l.now()) {
			out = append(out, *entry)
		}
	}
	slices.SortFunc(out, func(a, b LedgerEntry) int {
		if c := a.Expires.Compare(b.Expires); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// entry returns the zero LedgerEntry for an unknown ID.
func (l *Ledger) entry(id string) LedgerEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if entry := l.invites[id]; entry != nil {
		return *entry
	}
	return LedgerEntry{}
}

// Poll reads what other processes wrote, and returns the invites that were
// revoked since the last call. It is cheap if there is nothing new.
func (l *Ledger) Poll() (revoked []string, err error) {
	if l.changed() {
		err = l.locked(func() error { return nil })
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	revoked, l.news = l.news, nil
	return revoked, err
}

// changed reports whether the file is another, or longer, than was read.
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

// Prune writes the file anew without the invites that expired longer ago than
// keep, for as long as tickets may live that were made from them, and forgets
// these.
func (l *Ledger) Prune(keep time.Duration) error {
	return l.locked(func() error {
		l.forget(keep)
		data, err := io.ReadAll(io.NewSectionReader(l.file, 0, l.offset))
		if err != nil {
			return fmt.Errorf("invites: %w", err)
		}
		var kept bytes.Buffer
		for line := range bytes.Lines(data) {
			if ev, err := parseEvent(line); err == nil && ev.Expires.Add(keep).After(l.now()) {
				kept.Write(line)
			}
		}
		if kept.Len() == len(data) {
			return nil
		}
		if err := l.replace(kept.Bytes()); err != nil {
			return fmt.Errorf("invites: prune: %w", err)
		}
		return nil
	})
}

func (l *Ledger) forget(keep time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.invites, func(_ string, entry *LedgerEntry) bool { return !entry.Expires.Add(keep).After(l.now()) })
}

// replace puts another file in the place of the locked one. Who waits for the
// lock finds that the file is no longer the one at its path.
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

// locked runs do while no other process writes, with all that was written read.
// It waits for ledgerPatience at most.
func (l *Ledger) locked(do func() error) error {
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
		_ = unlockFile(l.file) // It was replaced while we waited.
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

// lockBefore tries until it has the lock: to wait for it inside the system would
// take a thread, and might be for ever.
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

// open opens the file if it is not open. It needs the turn.
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

// rewind lets everything be read again. What was revoked stays so.
func (l *Ledger) rewind() {
	l.offset, l.size = 0, 0
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range l.invites {
		entry.Used = 0
	}
}

// append writes a line to the disk and reads it back. It needs the lock.
func (l *Ledger) append(ev ledgerEvent) error {
	line, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("invites: %w", err)
	}
	line = append(line, '\n')
	if info, err := l.file.Stat(); err == nil && info.Size() > l.offset {
		line = append([]byte("\n"), line...) // After a line that was cut short.
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

// readNew applies the lines that were not read yet. It needs the lock.
func (l *Ledger) readNew() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < l.size { // Somebody emptied it, or put an older one there.
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
	default:
		return ev, fmt.Errorf("event %q", ev.Event)
	}
	if ev.ID == "" {
		return ev, errors.New("no ID")
	}
	return ev, nil
}

func (l *Ledger) apply(ev ledgerEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := l.invites[ev.ID]
	if entry == nil {
		entry = &LedgerEntry{Invite: Invite{ID: ev.ID, Expires: ev.Expires.UTC()}}
		l.invites[ev.ID] = entry
	}
	switch ev.Event {
	case eventMade:
		entry.Room, entry.Role, entry.Uses = ev.Room, ev.Role, ev.Uses
	case eventUsed:
		entry.Used++
	case eventRevoked:
		if !entry.Revoked {
			entry.Revoked = true
			l.news = append(l.news, ev.ID)
		}
	}
}
