package auth

import (
	"fmt"
	"slices"
	"time"
)

// ErrKicked refuses a ticket, or a resume token, of a user who was thrown out
// after it was issued. It wraps ErrUnauthorized.
var ErrKicked error = kickedError{}

type kickedError struct{}

func (kickedError) Error() string {
	return "unauthorized: the user was thrown out after this was issued"
}
func (kickedError) Unwrap() error { return ErrUnauthorized }

const (
	eventKicked = "kicked"

	// kickKeep is how long a kick holds. A ticket of before that lives longer is
	// good again then.
	kickKeep = 30 * 24 * time.Hour

	// kickUndated is how long a kick holds against tickets that do not say when
	// they were issued: nobody can tell if they are of before. Resume tokens of
	// before have expired by then.
	kickUndated = ResumeTTL

	// maxKicks bounds the users that a ledger remembers as thrown out; it forgets
	// the oldest first.
	maxKicks = 1 << 16
)

// kicks has when users were last thrown out. Guarded by Ledger.mu.
type kicks struct {
	at    map[string]time.Time
	order []kick   // Oldest first, with those that a later one of the same user has replaced.
	news  []string // Users, not returned by PollKicks yet.
}

type kick struct {
	user string
	at   time.Time
}

// add remembers a kick, unless a later one is known.
func (k *kicks) add(user string, at time.Time) {
	if !at.After(k.at[user]) {
		return
	}
	if k.at == nil {
		k.at = map[string]time.Time{}
	}
	k.at[user] = at
	k.order = append(k.order, kick{user, at})
	k.news = append(k.news, user)
	for len(k.at) > maxKicks {
		k.dropFirst()
	}
	if len(k.order) > 2*maxKicks {
		k.order = slices.DeleteFunc(k.order, func(old kick) bool { return !k.has(old) })
	}
	if len(k.news) > maxKicks {
		k.news = k.news[1:]
	}
}

// has reports whether no later kick has replaced this one.
func (k *kicks) has(this kick) bool { return k.at[this.user].Equal(this.at) && !this.at.IsZero() }

func (k *kicks) dropFirst() {
	if k.has(k.order[0]) {
		delete(k.at, k.order[0].user)
	}
	k.order = k.order[1:]
}

// expire forgets the kicks that hold no more.
func (k *kicks) expire(now time.Time) {
	for len(k.order) > 0 && !now.Before(k.order[0].at.Add(kickKeep)) {
		k.dropFirst()
	}
}

// Kick throws a user out: from now on, no ticket and no resume token admits the
// user that was issued before. user is in User's wire form.
func (l *Ledger) Kick(user string) error {
	if user == "" || len(user) > maxLedgerLine/8 { // JSON may write a byte as six.
		return fmt.Errorf("invites: %.40q is no user", user)
	}
	return l.withLock(func() error {
		at := l.now().UTC().Truncate(time.Microsecond) // As exact as tickets are.
		return l.append(ledgerEvent{Event: eventKicked, ID: user, At: at, Expires: at.Add(kickKeep)})
	})
}

// Kicked returns when a user was last thrown out; zero: never. It does not read
// the file.
func (l *Ledger) Kicked(user string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kicks.at[user]
}

// Refuses returns why a ticket that verifies does not admit its user any more,
// ErrInviteRevoked or ErrKicked; nil: it does. It does not read the file.
func (l *Ledger) Refuses(t Ticket) error {
	if t.Invite != "" && l.Revoked(t.Invite) {
		return ErrInviteRevoked
	}
	at := l.Kicked(t.User.String())
	switch {
	case at.IsZero():
		return nil
	case t.Issued.IsZero() && l.now().After(at.Add(kickUndated)):
		return nil
	case t.Issued.After(at):
		return nil
	}
	return ErrKicked
}

// PollKicks returns the users that were thrown out since the last call, in lines
// that Poll or another method has read.
func (l *Ledger) PollKicks() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := l.kicks.news
	l.kicks.news = nil
	return news
}
