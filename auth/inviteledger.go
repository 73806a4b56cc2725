package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

// Ledger remembers in a file which invites were made, used and revoked, and which
// users were thrown out. Each event is a line of JSON at the end of the file. A process appends it under the
// file's lock, and it counts once it is on the disk. Processes read each other's
// lines, so an invite for one use has one use across processes, restarts and
// concurrent requests.
//
// A line that a crash cut short does not count, and is skipped. Prune drops
// expired invites.
type Ledger struct {
	journal *journal
	now     func() time.Time

	mu         sync.Mutex
	invites    map[string]*LedgerEntry // Guarded by mu, by ID.
	made       madeByUsers             // Guarded by mu.
	unreported []string                // Guarded by mu: revoked, and not returned by Poll yet.
	kicks      kicks                   // Guarded by mu.
}

// LedgerEntry is a ledger's knowledge of an invite. Room, Role and Uses are empty
// if the ledger has no line of its making.
type LedgerEntry struct {
	Invite
	Used    int
	Revoked bool
	By      string // The user who made it, in User's wire form; empty: the operator or a backend.
	Parent  string // The invite by which that user had come; empty: none.
}

// ledgerEvent is a line of the file.
type ledgerEvent struct {
	Event   string    `json:"event"`
	ID      string    `json:"id"`      // Of the invite; or the user who was thrown out.
	Expires time.Time `json:"expires"` // Of the invite; or when the kick holds no more.
	Room    string    `json:"room,omitempty"`
	Role    Role      `json:"role,omitempty"`
	Uses    int       `json:"uses,omitempty"`
	By      string    `json:"by,omitempty"`
	Parent  string    `json:"parent,omitempty"`
	At      time.Time `json:"at,omitzero"` // Of a kick; or when the invite was made.
}

const maxLedgerLine = 64 << 10 // Longer lines are damaged. Every user of a token fits.

const (
	eventMade    = "made"
	eventUsed    = "used"
	eventRevoked = "revoked"
)

// OpenLedger reads the ledger at path. It creates a missing file, with mode 0600.
func OpenLedger(path string, now func() time.Time, log *slog.Logger) (*Ledger, error) {
	l := newLedger(path, now, log)
	if err := l.withLock(func() error { return nil }); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unreported, l.kicks.news = nil, nil // No session exists yet that they could end.
	return l, nil
}

// ReadLedger reads the ledger at path, and changes nothing. The ledger only
// answers what it has read: it is closed already. A missing file is an empty one.
func ReadLedger(path string, now func() time.Time, log *slog.Logger) (*Ledger, error) {
	l := newLedger(path, now, log)
	if err := l.journal.readOnly(); err != nil {
		return nil, err
	}
	return l, nil
}

func newLedger(path string, now func() time.Time, log *slog.Logger) *Ledger {
	l := &Ledger{now: now, invites: map[string]*LedgerEntry{}}
	l.journal = &journal{
		name: "invites", path: path, maxLine: maxLedgerLine, log: log, turn: make(chan struct{}, 1), apply: l.apply, rewound: l.rewound,
	}
	return l
}

// Close closes the file. No method may be called after it.
func (l *Ledger) Close() error { return l.journal.close() }

func (l *Ledger) withLock(do func() error) error { return l.journal.withLock(do) }

// append writes a line to the disk and reads it back. The caller holds the lock.
func (l *Ledger) append(ev ledgerEvent) error {
	line, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("invites: %w", err)
	}
	return l.journal.append(append(line, '\n'))
}

// Record adds an issued invite to those that List returns.
func (l *Ledger) Record(inv Invite) error {
	return l.withLock(func() error { return l.appendMade(inv, "", "") })
}

func (l *Ledger) appendMade(inv Invite, by, parent string) error {
	return l.append(ledgerEvent{
		Event: eventMade, ID: inv.ID, Expires: inv.Expires, Room: inv.Room, Role: inv.Role, Uses: inv.Uses, At: inv.Made, By: by, Parent: parent,
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

// Revoke ends an invite and the tickets that were made from it, and likewise the
// invites that users who came by it have made.
func (l *Ledger) Revoke(id string, expires time.Time) error {
	return l.withLock(func() error { return l.revoke(Invite{ID: id, Expires: expires}) })
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
	err = l.Refresh()
	l.mu.Lock()
	defer l.mu.Unlock()
	revoked, l.unreported = l.unreported, nil
	return revoked, err
}

// Refresh reads the lines that other processes wrote. It is cheap if there is
// nothing new.
func (l *Ledger) Refresh() error {
	changed, err := l.journal.changed()
	if changed {
		err = l.withLock(func() error { return nil })
	}
	return err
}

// Prune forgets the invites that expired longer ago than keep, and writes the
// file anew without them. A ticket must not outlive its invite by more than keep.
func (l *Ledger) Prune(keep time.Duration) error {
	return l.withLock(func() error {
		l.forget(keep)
		data, err := l.journal.read()
		if err != nil {
			return err
		}
		var kept bytes.Buffer
		for line := range bytes.Lines(data) {
			if ev, err := parseEvent(line); err == nil && l.keeps(ev, keep) {
				kept.Write(line)
			}
		}
		if kept.Len() == len(data) {
			return nil
		}
		if err := l.journal.replace(kept.Bytes()); err != nil {
			return fmt.Errorf("invites: prune: %w", err)
		}
		return nil
	})
}

// keeps reports whether an event still counts for something.
func (l *Ledger) keeps(ev ledgerEvent, keep time.Duration) bool {
	if ev.Event == eventKicked {
		return l.Kicked(Kick{ev.ID, ev.Room}).Equal(ev.At)
	}
	return ev.Expires.Add(keep).After(l.now())
}

func (l *Ledger) forget(keep time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kicks.expire(l.now())
	maps.DeleteFunc(l.invites, func(_ string, entry *LedgerEntry) bool {
		old := !entry.Expires.Add(keep).After(l.now())
		if old {
			l.made.forget(entry)
		}
		return old
	})
}

// rewound has no use counted twice. Revoked invites stay revoked, and users who were
// thrown out stay out.
func (l *Ledger) rewound() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range l.invites {
		entry.Used = 0
	}
}

func parseEvent(line []byte) (ledgerEvent, error) {
	var ev ledgerEvent
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

func (l *Ledger) apply(line []byte) error {
	ev, err := parseEvent(line)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ev.Event == eventKicked {
		l.kicks.add(Kick{ev.ID, ev.Room}, ev.At)
		return nil
	}
	entry := l.invites[ev.ID]
	if entry == nil {
		entry = &LedgerEntry{Invite: Invite{ID: ev.ID, Expires: ev.Expires.UTC()}}
		l.invites[ev.ID] = entry
	}
	switch ev.Event {
	case eventMade:
		entry.Room, entry.Role, entry.Uses, entry.Made = ev.Room, ev.Role, ev.Uses, ev.At.UTC()
		if ev.By != "" && entry.By == "" { // Not again after a rewind.
			entry.By, entry.Parent = ev.By, ev.Parent
			l.made.add(entry)
		}
	case eventUsed:
		entry.Used++
	case eventRevoked:
		if !entry.Revoked {
			entry.Revoked = true
			l.unreported = append(l.unreported, ev.ID)
		}
	}
	return nil
}
