package signal

import (
	"maps"
	"slices"
	"sync"
)

// actor is a client that keeps state from the messages it gets, as a page does.
type actor struct {
	*client
	mu sync.Mutex
	// Guarded by mu.
	calls  []string // heard of
	rooms  map[string]*actorRoom
	online map[string]string // names by user; of members only
	heard  map[string]bool   // types of messages
}

// actorRoom is a room as one of its members knows it.
type actorRoom struct {
	host    string
	locked  bool
	peers   []string // sessions
	waiting []string // sessions, if the actor has host powers
}

func newActor(h *harness, ticket string) *actor {
	h.t.Helper()
	a := &actor{rooms: map[string]*actorRoom{}, online: map[string]string{}, heard: map[string]bool{}}
	a.client = h.dial()
	a.client.send(msg{"type": "hello", "ticket": ticket})
	w := a.client.expect("welcome")
	a.session, a.user = w["session"].(string), w["user"].(string)
	a.hear(w)
	return a
}

// listen reads until the connection ends.
func (a *actor) listen() {
	for {
		m, err := a.client.read()
		if err != nil {
			return
		}
		a.mu.Lock()
		a.hear(m)
		a.mu.Unlock()
	}
}

func (a *actor) hear(m msg) {
	a.heard[m["type"].(string)] = true
	if id, ok := m["call"].(string); ok {
		a.calls = append(a.calls, id)
	}
	id, _ := m["room"].(string)
	session, _ := m["session"].(string)
	r := a.rooms[id]
	if r == nil {
		r = new(actorRoom) // forgotten afterwards
	}
	without := func(list []string) []string {
		return slices.DeleteFunc(list, func(s string) bool { return s == session })
	}
	switch m["type"] {
	case "welcome", "online":
		a.hearPresence(m, true)
	case "offline":
		a.hearPresence(m, false)
	case "joined":
		r = &actorRoom{peers: sessionsIn(m["peers"]), waiting: sessionsIn(m["knocks"]), locked: m["locked"] == true}
		r.host, _ = m["host"].(string)
		a.rooms[id] = r
	case "left":
		delete(a.rooms, id)
	case "hangup":
		delete(a.rooms, id)
	case "peer-joined":
		r.peers = append(r.peers, sessionsIn([]any{m["peer"]})...)
	case "peer-left":
		r.peers = without(r.peers)
	case "host":
		r.host = session
	case "locked", "unlocked":
		r.locked = m["type"] == "locked"
	case "knock":
		r.waiting = append(r.waiting, sessionsIn([]any{m["peer"]})...)
	case "knock-over", "admitted", "refused":
		r.waiting = without(r.waiting)
	}
}

func (a *actor) hearPresence(m msg, online bool) {
	users, _ := m["users"].([]any)
	if m["type"] == "welcome" {
		users, _ = m["online"].([]any)
	}
	for _, u := range users {
		u := u.(map[string]any)
		if online {
			a.online[u["user"].(string)] = u["name"].(string)
		} else {
			delete(a.online, u["user"].(string))
		}
	}
}

func sessionsIn(list any) (sessions []string) {
	peers, _ := list.([]any)
	for _, p := range peers {
		sessions = append(sessions, p.(map[string]any)["session"].(string))
	}
	return sessions
}

func (a *actor) lastCall() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.calls) == 0 {
		return "none"
	}
	return a.calls[len(a.calls)-1]
}

// aKnock picks a knock that the actor may answer.
func (a *actor) aKnock(n int) (room, session string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(a.rooms)) {
		if waiting := a.rooms[id].waiting; len(waiting) > 0 {
			return id, waiting[n%len(waiting)]
		}
	}
	return "room0", "nobody"
}

// aMate picks a session in a room of the actor's.
func (a *actor) aMate(n int) (room, session string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(a.rooms)) {
		if peers := a.rooms[id].peers; len(peers) > 0 {
			return id, peers[n%len(peers)]
		}
	}
	return "room0", "nobody"
}

// check holds that the actor knows the state of the server, and notes what it has seen.
func (a *actor) check(srv *Server, did map[string]bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := srv.sessions[a.session]
	if s == nil {
		return
	}
	for typ := range a.heard {
		did[typ] = true
	}
	if len(a.rooms) != len(s.rooms) {
		a.t.Errorf("%s is in %d rooms and believes in %d", s.id, len(s.rooms), len(a.rooms))
	}
	for _, r := range s.rooms {
		knows := a.rooms[r.id]
		if knows == nil {
			a.t.Errorf("%s does not know that it is in %s", s.id, r.id)
			continue
		}
		host := ""
		if r.host() != nil {
			host = r.host().id
		}
		if knows.host != host || knows.locked != r.locked {
			a.t.Errorf("%s knows %+v of %s; its host is %s, locked: %v", s.id, knows, r.id, host, r.locked)
		}
		if want := idsOf(r.members, s); !slices.Equal(slices.Sorted(slices.Values(knows.peers)), want) {
			a.t.Errorf("%s knows of %v in %s, want %v", s.id, knows.peers, r.id, want)
		}
		if want := idsOf(r.waiting, nil); r.hasPowers(s) && !slices.Equal(slices.Sorted(slices.Values(knows.waiting)), want) {
			a.t.Errorf("%s knows that %v wait for %s, want %v", s.id, knows.waiting, r.id, want)
		}
		did["knocks"] = did["knocks"] || r.hasPowers(s) && len(r.waiting) > 0
	}
	for id, u := range srv.users {
		if s.sight == PresenceAll && u != s.user && a.online[id] != u.name {
			a.t.Errorf("%s does not know that %s is online", s.id, u.name)
		}
	}
	if want := len(srv.users) - 1; s.sight == PresenceAll && len(a.online) != want {
		a.t.Errorf("%s believes that %d are online, want %d", s.id, len(a.online), want)
	}
}

func idsOf(sessions []*session, but *session) (ids []string) {
	for _, s := range sessions {
		if s != but {
			ids = append(ids, s.id)
		}
	}
	return slices.Sorted(slices.Values(ids))
}
