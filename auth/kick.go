package auth

import (
	"fmt"
	"slices"
	"time"
)

// ErrNoWalkIns refuses a ticket, or a resume token, of a user who was let in
// without an invite, because nobody is any more. It wraps ErrUnauthorized.
var ErrNoWalkIns error = noWalkInsError{}

type noWalkInsError struct{}

func (noWalkInsError) Error() string {
	return "unauthorized: the user was let in without an invite, and auth.guests admits nobody so any more"
}
func (noWalkInsError) Unwrap() error { return ErrUnauthorized }

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

	// KickKeep is how long a kick holds. A ticket of before that lives longer is
	// good again then.
	KickKeep = 30 * 24 * time.Hour

	// kickUndated is how long a kick holds against tickets that do not say when
	// they were issued: nobody can tell if they are of before. Resume tokens of
	// before have expired by then.
	kickUndated = ResumeTTL

	// maxKicks bounds the users that a ledger remembers as thrown out; it forgets
	// the oldest first.
	maxKicks = 1 << 16
)

// Kick is somebody thrown out.
type Kick struct {
	User string // In User's wire form.
	Room string // Empty: out of everything.
}

// kicks has when users were last thrown out. Guarded by Ledger.mu.
type kicks struct {
	at    map[Kick]time.Time
	order []kick // Oldest first, with those that a later one of the same user has replaced.
	news  []Kick // Not returned by PollKicks yet.

	coming map[Kick]int // Are being written: what is issued meanwhile would be of after them.
}

// begin notes that a kick is about to be written; ends is called afterwards.
func (k *kicks) begin(who Kick) {
	if k.coming == nil {
		k.coming = map[Kick]int{}
	}
	k.coming[who]++
}

func (k *kicks) ends(who Kick) {
	if k.coming[who]--; k.coming[who] == 0 {
		delete(k.coming, who)
	}
}

type kick struct {
	Kick
	at time.Time
}

// add remembers a kick, unless a later one is known.
func (k *kicks) add(who Kick, at time.Time) {
	if !at.After(k.at[who]) {
		return
	}
	if k.at == nil {
		k.at = map[Kick]time.Time{}
	}
	k.at[who] = at
	k.order = append(k.order, kick{who, at})
	k.news = append(k.news, who)
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
func (k *kicks) has(this kick) bool { return k.at[this.Kick].Equal(this.at) && !this.at.IsZero() }

func (k *kicks) dropFirst() {
	if k.has(k.order[0]) {
		delete(k.at, k.order[0].Kick)
	}
	k.order = k.order[1:]
}

// expire forgets the kicks that hold no more.
func (k *kicks) expire(now time.Time) {
	for len(k.order) > 0 && !now.Before(k.order[0].at.Add(KickKeep)) {
		k.dropFirst()
	}
}

// Kick throws a user out, of one room or of everything: from now on, no ticket and
// no resume token admits the user there that was issued before. The invites that
// the user has made, of that room or of all, are revoked.
func (l *Ledger) Kick(who Kick) error {
	if who.User == "" || len(who.User)+len(who.Room) > maxLedgerLine/8 { // JSON may write a byte as six.
		return fmt.Errorf("invites: %.40q is no user", who.User)
	}
	l.mu.Lock()
	l.kicks.begin(who)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.kicks.ends(who)
	}()
	return l.withLock(func() error {
		at := l.now().UTC().Truncate(time.Microsecond)  // As exact as tickets are.
		if before := l.Kicked(who); !at.After(before) { // A clock may be set back.
			at = before.Add(time.Microsecond)
		}
		if err := l.append(ledgerEvent{Event: eventKicked, ID: who.User, Room: who.Room, At: at, Expires: at.Add(KickKeep)}); err != nil {
			return err
		}
		return l.revoke(l.madeBy(who)...)
	})
}

// Kicked returns when somebody was last thrown out; zero: never. It does not read
// the file.
func (l *Ledger) Kicked(who Kick) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kicks.at[who]
}

// KicksSince returns who was thrown out after a time, in that order. It does not
// read the file.
func (l *Ledger) KicksSince(after time.Time) (all []Kick) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.kicks.order {
		if k.at.After(after) && l.kicks.has(k) {
			all = append(all, k.Kick)
		}
	}
	return all
}

// Refuses returns why a ticket that verifies does not admit its user any more,
// ErrInviteRevoked or ErrKicked; nil: it does. It does not read the file.
func (l *Ledger) Refuses(t Ticket) error {
	if t.Invite != "" && l.Revoked(t.Invite) {
		return ErrInviteRevoked
	}
	if l.isBefore(t, Kick{User: t.User.String()}) {
		return ErrKicked
	}
	return nil
}

// RefusesRoom reports whether a ticket does not open a room any more, because its
// user was thrown out of it. It does not read the file.
func (l *Ledger) RefusesRoom(t Ticket, room string) bool {
	return l.isBefore(t, Kick{t.User.String(), room})
}

// isBefore reports whether a ticket was issued before somebody was thrown out, or is about to be.
func (l *Ledger) isBefore(t Ticket, who Kick) bool {
	l.mu.Lock()
	at, coming := l.kicks.at[who], l.kicks.coming[who] > 0
	l.mu.Unlock()
	if coming {
		return true
	}
	if at.IsZero() || t.Issued.IsZero() && l.now().After(at.Add(kickUndated)) {
		return false
	}
	return !t.Issued.After(at)
}

// PollKicks returns who was thrown out since the last call, in lines that Poll or
// another method has read.
func (l *Ledger) PollKicks() []Kick {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := l.kicks.news
	l.kicks.news = nil
	return news
}
