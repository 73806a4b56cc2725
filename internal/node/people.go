package node

import (
	"sync"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/httpapi"
	"example.org/turnpike/signal"
)

// people is what signaling and relaying know of users together.
type people struct {
	*Node
	out kickedOut
}

// Users implements httpapi.People.
func (p *people) Users() []httpapi.User {
	bySession, byUser := p.countRelays()
	users := []httpapi.User{}
	for _, s := range p.signal.SessionList() { // sorted by user
		if len(users) == 0 || users[len(users)-1].User != s.User {
			u := httpapi.User{User: s.User}
			for _, pseudonym := range p.credentials.RelayOnlyUsers(s.User) {
				u.Relays += byUser[pseudonym]
			}
			users = append(users, u)
		}
		u := &users[len(users)-1]
		u.Name = s.Name
		session := sessionOf(s)
		session.Rooms, session.Relays = s.Rooms, bySession[s.Session]
		u.Relays += session.Relays
		u.Sessions = append(u.Sessions, session)
	}
	return users
}

func sessionOf(s signal.SessionInfo) httpapi.Session {
	return httpapi.Session{Session: s.Session, Role: s.Role, Since: s.Since.UTC().Truncate(time.Second), Address: s.Address, Away: s.Away}
}

// Rooms implements httpapi.People.
func (p *people) Rooms() []httpapi.Room {
	bySession, _ := p.countRelays()
	sessions := map[string]signal.SessionInfo{}
	for _, s := range p.signal.SessionList() {
		sessions[s.Session] = s
	}
	rooms := []httpapi.Room{}
	for _, r := range p.signal.RoomList() {
		var in []signal.SessionInfo
		for _, id := range r.Sessions {
			if s, ok := sessions[id]; ok { // otherwise it came after the list of sessions
				in = append(in, s)
			}
		}
		rooms = append(rooms, roomOf(r, in, func(session string) int { return bySession[session] }))
	}
	return rooms
}

// Room implements httpapi.People.
func (p *people) Room(name string) (httpapi.Room, bool) {
	r, in, found := p.signal.FindRoom(name)
	if !found {
		return httpapi.Room{}, false
	}
	return roomOf(r, in, p.turn.CountSession), true
}

func roomOf(r signal.RoomInfo, in []signal.SessionInfo, relays func(session string) int) httpapi.Room {
	room := httpapi.Room{Room: r.Room, Size: r.Size, Host: r.Host, Locked: r.Locked, Waiting: r.Waiting, Sessions: []httpapi.Session{}}
	for _, s := range in {
		session := sessionOf(s)
		session.User, session.Name, session.Relays = s.User, s.Name, relays(s.Session)
		room.Sessions = append(room.Sessions, session)
	}
	return room
}

// countRelays counts the relays of each session, and of each user of credentials that belong to no session.
func (p *people) countRelays() (bySession, byUser map[string]int) {
	bySession, byUser = map[string]int{}, map[string]int{}
	for _, a := range p.turn.Snapshot() {
		if a.Session != "" {
			bySession[a.Session]++
		} else {
			byUser[a.User]++
		}
	}
	return bySession, byUser
}

// Kick implements httpapi.People. The ledger remembers it before anything ends, so that it holds over a crash too.
func (p *people) Kick(who auth.Kick) (sessions int, err error) {
	if err := p.ledger.Kick(who); err != nil {
		return 0, err
	}
	sessions = p.carryOut(who)
	if who.Room == "" {
		p.turn.EndUser(who.User) // relays by credentials that the user's own app has minted for this name
	}
	p.log.Info("user thrown out", "user", who.User, "room", who.Room, "sessions", sessions)
	return sessions, nil
}

// carryOut ends what a kick of the ledger ends. It may be called again: it ends nothing that is of later.
func (p *people) carryOut(who auth.Kick) (sessions int) {
	if who.Room != "" {
		return p.signal.KickUser(who.User, who.Room)
	}
	sessions = p.signal.EndUser(who.User, func(t auth.Ticket) bool { return p.ledger.Refuses(t) != nil })
	for _, pseudonym := range p.voidCredentials(who.User) {
		p.turn.EndGrants(pseudonym, p.out.voids)
	}
	return sessions
}

// voidCredentials has no relays made with credentials of before the user was thrown out that belong to no session.
func (p *people) voidCredentials(user string) (pseudonyms []string) {
	pseudonyms = p.credentials.RelayOnlyUsers(user)
	at := p.ledger.Kicked(auth.Kick{User: user})
	for _, pseudonym := range pseudonyms {
		p.out.add(pseudonym, at, time.Now())
	}
	return pseudonyms
}

// remember does voidCredentials for those who were thrown out before this process began.
func (p *people) remember() {
	for _, who := range p.ledger.KicksSince(time.Now().Add(-auth.KickKeep)) {
		if who.Room == "" {
			p.voidCredentials(who.User)
		}
	}
}

// callers finds the sessions that ask something over HTTP.
type callers struct{ signal *signal.Server }

// Caller implements httpapi.Sessions.
func (c callers) Caller(token string) (httpapi.Caller, bool, error) {
	s, found, err := c.signal.Caller(token)
	return httpapi.Caller{Ticket: s.Ticket, Rooms: s.Rooms, Hosts: s.Hosts, SeesAll: s.SeesAll}, found, err
}

// KeptOut implements httpapi.Sessions.
func (c callers) KeptOut(user, room string) bool { return c.signal.KeptOut(user, room) }

// kickedOut has the users who were thrown out while credentials of before, which belong to no session, may be good.
type kickedOut struct {
	ttl time.Duration // static: the life of credentials that do not say when they were minted

	mu sync.Mutex
	// Guarded by mu.
	at    map[string]time.Time // by pseudonym: credentials that were minted until then are void
	order []voidUntil          // the oldest first, with those that a later kick has replaced
}

type voidUntil struct {
	pseudonym string
	at        time.Time
}

// maxKickedOut bounds the users that are remembered; the oldest are forgotten first.
const maxKickedOut = 1 << 16

// add remembers a user for as long as a kick holds. The life of a credential at the time when it was minted is not known before
// somebody presents it: the configuration may have had another.
func (k *kickedOut) add(pseudonym string, at, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at == nil {
		k.at = map[string]time.Time{}
	}
	expired := now.Add(-auth.KickKeep)
	if at.After(k.at[pseudonym]) && at.After(expired) {
		k.at[pseudonym] = at
		k.order = append(k.order, voidUntil{pseudonym, at})
	}
	for len(k.order) > maxKickedOut || len(k.order) > 0 && !k.order[0].at.After(expired) {
		if first := k.order[0]; k.at[first.pseudonym].Equal(first.at) {
			delete(k.at, first.pseudonym)
		}
		k.order = k.order[1:]
	}
}

// voids reports whether a credential is of before its user was thrown out.
func (k *kickedOut) voids(g *auth.Grant) bool {
	if g.Kind != auth.GrantRelayOnly {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	at, found := k.at[g.User]
	issued := g.Issued
	if issued.IsZero() {
		issued = g.Expires.Add(-k.ttl)
	}
	return found && !issued.After(at)
}
