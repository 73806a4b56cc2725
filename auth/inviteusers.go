package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Users make invites too. What they make depends on them: an invite is revoked
// with the one by which its maker came, and when its maker is thrown out.
//
// An account pays for the invites of a user and of all who came by them, so that a
// user gets no more of them by inviting other users.

// Errors of invites that users make and revoke. Clients may see them.
var (
	ErrTooManyInvites = errors.New("this user has made as many invites as it may")
	ErrInvitesFull    = errors.New("users have made as many invites as this server keeps")
	ErrNoSuchInvite   = errors.New("this user has made no such invite")
)

const (
	// keptInvites times as many invites of a user are remembered as may be good at
	// a time: those that were revoked, and those that have expired in the last day.
	keptInvites = 4

	// accountInvites times as many invites are remembered of one account.
	accountInvites = 64

	// maxMadeByUsers bounds the invites of all users: about 25 MB.
	maxMadeByUsers = 1 << 16
)

// madeByUsers finds the invites that users have made. Guarded by Ledger.mu.
type madeByUsers struct {
	count   int
	by      map[string][]string        // Their IDs, by the user; the oldest first.
	below   map[string]map[string]bool // Their IDs, by the invite by which the user had come.
	account map[string]string          // Who pays for an invite, by its ID.
	paid    map[string]int             // How many an account pays for.
}

func (m *madeByUsers) add(entry *LedgerEntry) {
	if m.by == nil {
		m.by, m.below, m.account, m.paid = map[string][]string{}, map[string]map[string]bool{}, map[string]string{}, map[string]int{}
	}
	m.count++
	m.by[entry.By] = append(m.by[entry.By], entry.ID)
	if entry.Parent != "" {
		if m.below[entry.Parent] == nil {
			m.below[entry.Parent] = map[string]bool{}
		}
		m.below[entry.Parent][entry.ID] = true
	}
	account := m.accountOf(entry.By, entry.Parent)
	m.account[entry.ID] = account
	m.paid[account]++
}

func (m *madeByUsers) forget(entry *LedgerEntry) {
	if entry.By == "" {
		return
	}
	m.count--
	if m.by[entry.By] = slices.DeleteFunc(m.by[entry.By], func(id string) bool { return id == entry.ID }); len(m.by[entry.By]) == 0 {
		delete(m.by, entry.By)
	}
	if delete(m.below[entry.Parent], entry.ID); len(m.below[entry.Parent]) == 0 {
		delete(m.below, entry.Parent)
	}
	account := m.account[entry.ID]
	delete(m.account, entry.ID)
	if m.paid[account]--; m.paid[account] == 0 {
		delete(m.paid, account)
	}
}

// accountOf returns who pays for the invites of a user who came by parent, which may
// be empty.
func (m *madeByUsers) accountOf(user, parent string) string {
	switch account, made := m.account[parent]; {
	case made:
		return account
	case parent != "":
		return parent // An invite of the operator.
	}
	return user
}

// RecordOwn adds an issued invite that the user of a ticket has made. It returns
// ErrTooManyInvites if atOnce of the user's invites are good already, or if too
// many are remembered, and ErrInvitesFull if that is so for all users together. It
// returns what Refuses would if the ticket admits nobody any more, also to the room.
func (l *Ledger) RecordOwn(inv Invite, by Ticket, atOnce int) error {
	user := by.User.String()
	return l.withLock(func() error {
		if err := l.Refuses(by); err != nil {
			return err
		}
		if l.RefusesRoom(by, inv.Room) {
			return ErrKicked
		}
		if err := l.mayMake(user, by.Invite, atOnce); err != nil {
			return err
		}
		return l.appendMade(inv, user, by.Invite)
	})
}

func (l *Ledger) mayMake(user, parent string, atOnce int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.made
	switch {
	case m.count >= maxMadeByUsers:
		return ErrInvitesFull
	case len(m.by[user]) >= keptInvites*atOnce, m.paid[m.accountOf(user, parent)] >= accountInvites*atOnce, len(l.goodOf(user)) >= atOnce:
		return ErrTooManyInvites
	}
	return nil
}

// ListOwn returns a user's invites that are good, in the order of their making. It
// does not read the file.
func (l *Ledger) ListOwn(user string) []LedgerEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.goodOf(user)
}

// goodOf does ListOwn. The caller holds mu.
func (l *Ledger) goodOf(user string) (good []LedgerEntry) {
	for _, id := range l.made.by[user] {
		if entry := l.invites[id]; !entry.Revoked && entry.Expires.After(l.now()) {
			good = append(good, *entry)
		}
	}
	return good
}

// RevokeOwn is Revoke for an invite that this user has made; ErrNoSuchInvite: there
// is no such one.
func (l *Ledger) RevokeOwn(id, user string) error {
	return l.withLock(func() error {
		entry := l.entry(id)
		if entry.By != user || user == "" {
			return ErrNoSuchInvite
		}
		return l.revoke(entry.Invite)
	})
}

// madeBy returns the invites that somebody who is thrown out has made for there.
func (l *Ledger) madeBy(who Kick) (out []Invite) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.made.by[who.User] {
		if entry := l.invites[id]; who.Room == "" || entry.Room == who.Room {
			out = append(out, entry.Invite)
		}
	}
	return out
}

// revoke revokes invites and all below them. The caller holds the file's lock.
func (l *Ledger) revoke(invites ...Invite) error {
	var lines []byte
	for _, inv := range l.withBelow(invites) {
		line, err := json.Marshal(ledgerEvent{Event: eventRevoked, ID: inv.ID, Expires: inv.Expires})
		if err != nil {
			return fmt.Errorf("invites: %w", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	if len(lines) == 0 {
		return nil
	}
	return l.journal.append(lines) // At once: each append waits for the disk.
}

// withBelow returns those of invites that are not revoked yet, and of the invites
// that users have made who came by them.
func (l *Ledger) withBelow(invites []Invite) (out []Invite) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	for invites = slices.Clone(invites); len(invites) > 0; {
		inv := invites[0]
		invites = invites[1:]
		if seen[inv.ID] {
			continue
		}
		seen[inv.ID] = true
		for id := range l.made.below[inv.ID] {
			invites = append(invites, l.invites[id].Invite)
		}
		if entry := l.invites[inv.ID]; entry == nil || !entry.Revoked {
			out = append(out, inv)
		}
	}
	return out
}
