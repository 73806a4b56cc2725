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

// ErrInviteUsed and ErrInviteRevoked wrap ErrUnauthorized. Clients may see them:
// they are only given for an invite that verifies.
var (
	ErrInviteUsed    error = inviteError("this invite has been used")
	ErrInviteRevoked error = inviteError("this invite was revoked")
)

type inviteError string

func (e inviteError) Error() string { return "unauthorized: " + string(e) }
func (e inviteError) Unwrap() error { return ErrUnauthorized }

const (
	maxLedgerLine = 4 << 10 // Longer lines are damaged.

	ledgerPatience = 5 * time.Second // How long another process may hold the lock.
	ledgerPause    = 5 * time.Millisecond
)

// Ledger remembers in a file which invites were made, used and revoked. Each
// event is a line of JSON at the end of the file. A process appends it under the
// file's lock, and it counts once it is on the disk. Processes read each other's
// lines, so an invite for one use has one use across processes, restarts and
// concurrent requests.
//
// A line that a crash cut short does not count, and is skipped. Prune drops
// expired invites.
type Ledger struct {
	path string
	now  func() time.Time
	log  *slog.Logger

	turn chan struct{} // Holds one element while a goroutine uses the file.

	// Owned by the goroutine that holds the turn.
	file   *os.File
	offset int64 // Start of the first line that was not read yet.
	size   int64 // Of the file at the last reading: more than offset if its last line was cut short.

	mu         sync.Mutex
	invites    map[string]*LedgerEntry // Guarded by mu, by ID.
	unreported []string                // Guarded by mu: revoked, and not returned by Poll yet.
}

// errLedgerBusy happens if another process was stopped while it held the lock.
var errLedgerBusy = errors.New("another process has locked the file for too long")

// LedgerEntry is a ledger's knowledge of an invite. Room, Role and Uses are empty
// if the ledger has no line of its making.
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

// OpenLedger reads the ledger at path. It creates a missing file, with mode 0600.
func OpenLedger(path string, now func() time.Time, log *slog.Logger) (*Ledger, error) {
	l := &Ledger{path: path, now: now, log: log, turn: make(chan struct{}, 1), invites: map[string]*LedgerEntry{}}
	if err := l.withLock(func() error { return nil }); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unreported = nil // No session exists yet that a revocation could end.
	return l, nil
}

// ReadLedger reads the ledger at path, and changes nothing. The ledger only
// answers what it has read: it is closed already. A missing file is an empty one.
func ReadLedger(path string, now func() time.Time, log *slog.Logger) (*Ledger, error) {
	l := &Ledger{path: path, now: now, log: log, turn: make(chan struct{}, 1), invites: map[string]*LedgerEntry{}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("invites: %w", err)
	}
	defer f.Close()
	// The lock keeps a line that is being written out of sight.
	if err := lockBefore(time.Now().Add(ledgerPatience), f); err != nil {
		return nil, fmt.Errorf("invites: lock %s: %w", path, err)
	}
	defer func() { _ = unlockFile(f) }()
	l.file = f
	err = l.readNew()
	l.file = nil
	if err != nil {
		return nil, fmt.Errorf("invites: read %s: %w", path, err)
	}
	return l, nil
}

// Close closes the file. No method may be called after it.
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

// Record adds an issued invite to those that List returns.
func (l *Ledger) Record(inv Invite) error {
	return l.withLock(func() error {
		return l.append(ledgerEvent{eventMade, inv.ID, inv.Expires, inv.Room, inv.Role, inv.Uses})
	})
}

// Use counts one use of a verified invite. It returns ErrInviteUsed if no use is
// left, and ErrInviteRevoked for a revoked invite. Any other error may cost the
// invite a use, but never gives it one too many.
func (l *Ledger) Use(inv Invite) error {
	if inv.Uses == 0 { // Nothing to count: the lines that Poll has read are enough.
		if l.Revoked(inv.ID) {
			return ErrInviteRevoked
		}
		return nil
	}
	return l.withLock(func() error {
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

// Revoke ends an invite and the tickets that were made from it.
func (l *Ledger) Revoke(id string, expires time.Time) error {
	return l.withLock(func() error {
		if l.entry(id).Revoked {
			return nil
		}
		return l.append(ledgerEvent{Event: eventRevoked, ID: id, Expires: expires})
	})
}

// Revoked reports whether a line that was read revokes the invite. It does not
// read the file.
func (l *Ledger) Revoked(id string) bool { return l.entry(id).Revoked }

// Find returns the ledger's knowledge of an invite. It does not read the file.
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

// Poll reads the lines that other processes wrote, and returns the invites that
// were revoked since the last call. It is cheap if there is nothing new.
func (l *Ledger) Poll() (revoked []string, err error) {
	if l.changed() {
		err = l.withLock(func() error { return nil })
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	revoked, l.unreported = l.unreported, nil
	return revoked, err
}

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

// Prune forgets the invites that expired longer ago than keep, and writes the
// file anew without them. A ticket must not outlive its invite by more than keep.
func (l *Ledger) Prune(keep time.Duration) error {
	return l.withLock(func() error {
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

// rewind makes readNew read the whole file again. Revoked invites stay revoked.
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
			l.unreported = append(l.unreported, ev.ID)
		}
	}
}
