package client

import (
	"strings"
	"time"

	"example.org/turnpike/client/internal/signaling"
	"example.org/turnpike/signal/wire"
)

// handler hears of a session from signaling. Its methods run in signaling's loop, but for Expiring.
type handler Session

// Welcome implements [signaling.Handler].
func (h *handler) Welcome(w *wire.Welcome, how signaling.How) {
	s := (*Session)(h)
	s.mu.Lock()
	isOther := s.user != "" && s.user != w.User
	s.id, s.user, s.name = w.Session, w.User, w.Name
	s.window = time.Duration(w.ResumeWindow) * time.Second
	if w.Online != nil {
		s.postOnline(s.people.list(w.Online, w.OnlineMore, false))
	}
	var fx effects
	s.setICEServers(w.ICEServers, &fx)
	if how != signaling.Replayed {
		s.askAgain()
		s.endRinging()
	}
	switch how {
	case signaling.Anew:
		clear(s.unwanted)
		for _, r := range s.rooms {
			if isOther { // mates recognize us by our user
				r.dropPeers("gone", &fx)
			}
			s.rejoin(r, 0)
		}
	case signaling.Restored:
		s.restoreRooms(w.Rooms, &fx)
	}
	s.mu.Unlock()
	fx.run()
}

// restoreRooms applies the rooms that another process of the server has put us into. The caller holds mu.
func (s *Session) restoreRooms(states []wire.Joined, fx *effects) {
	known := map[string]bool{}
	changing := s.signaling.Waiting(func(m wire.ClientMessage) bool {
		switch m.(type) {
		case *wire.Join, *wire.Leave, *wire.Accept:
			return true
		}
		return false
	})
	for i := range states {
		state := &states[i]
		known[state.Room] = true
		if r := s.rooms[state.Room]; r != nil {
			r.restored(state, fx)
		} else if !changing { // we left, and it did not learn of it in time
			s.tell(&wire.Leave{Room: state.Room})
		}
	}
	for _, r := range s.rooms {
		if !known[r.id] {
			s.rejoin(r, s.window)
		}
	}
}

// Online implements [signaling.Handler].
func (h *handler) Online(how signaling.How) {
	s := (*Session)(h)
	if how != signaling.First {
		s.events.post(Reconnected{Replayed: how == signaling.Replayed})
	}
	if s.networkChanged.Swap(false) {
		s.restartLinks()
	}
}

// Lost implements [signaling.Handler].
func (h *handler) Lost(err *signaling.Error) { (*Session)(h).events.post(Disconnected{(*Error)(err)}) }

// Dropped implements [signaling.Handler].
func (h *handler) Dropped() { (*Session)(h).restartLinks() }

// Needed implements [signaling.Handler]: a link that works is worth going on for.
func (h *handler) Needed() bool {
	s := (*Session)(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links() {
		if l.hasPath() {
			return true
		}
	}
	return false
}

// Expiring implements [signaling.Handler].
func (h *handler) Expiring(in time.Duration) { (*Session)(h).events.post(Expiring{in}) }

// Message implements [signaling.Handler].
func (h *handler) Message(m wire.Message) {
	s := (*Session)(h)
	var fx effects
	s.mu.Lock()
	if !s.hearRoom(m, &fx) && !s.hearCall(m, &fx) {
		s.hear(m, &fx)
	}
	s.mu.Unlock()
	fx.run()
	s.events.wait(s.hearing)
}

// hear applies what concerns neither rooms nor calls.
func (s *Session) hear(m wire.Message, fx *effects) {
	switch m := m.(type) {
	case *wire.Online:
		if m.Ref == "" {
			s.postOnline(s.people.change(m.Users, nil))
		} else {
			s.postOnline(s.people.list(m.Users, m.More, true))
		}
	case *wire.Offline:
		s.postOnline(s.people.change(nil, m.Users))
	case *wire.NewICEServers:
		s.setICEServers(m.ICEServers, fx)
	case *wire.Renamed:
		if s.name != m.Name {
			s.name = m.Name
			s.signaling.SetName(m.Name) // for the sessions after this one
			s.events.post(Renamed{Name: m.Name})
		}
	case *wire.Refreshed:
		s.name = m.Name
		if m.Online != nil {
			s.postOnline(s.people.list(m.Online, m.OnlineMore, false))
		}
	case *wire.GoingAway:
		fx.add(func() { s.log.Info("the server is going away", "retryAfter", m.RetryAfter) })
	}
}

// hearRoom applies what concerns rooms. It reports false if the message does not.
func (s *Session) hearRoom(m wire.Message, fx *effects) bool {
	switch m := m.(type) {
	case *wire.Joined:
		s.joined(m, fx)
	case *wire.Waiting:
		if e := s.entries[m.Room]; e != nil && e.wait() {
			s.events.post(Waiting{m.Room})
		}
	case *wire.Left:
		s.left(m.Room, m.Reason, fx)
	case *wire.PeerJoined:
		s.inRoom(m.Room, func(r *Room) { r.add(m.Peer, false, fx) })
	case *wire.PeerLeft:
		s.inRoom(m.Room, func(r *Room) { r.remove(m.Session, m.Reason, fx) })
	case *wire.PeerAway:
		s.inRoom(m.Room, func(r *Room) { r.away(m.Session) })
	case *wire.PeerBack:
		s.inRoom(m.Room, func(r *Room) { r.back(m.Session, m.Fresh, fx) })
	case *wire.PeerRenamed:
		s.inRoom(m.Room, func(r *Room) {
			if p := r.peers[m.Session]; p != nil {
				p.rename(m.Name)
			}
		})
	case *wire.Forward:
		s.inRoom(m.Room, func(r *Room) {
			if p := r.peers[m.From]; p != nil {
				p.receive(m.Payload, fx)
			}
		})
	case *wire.Data:
		s.inRoom(m.Room, func(r *Room) {
			if p := r.peers[m.From]; p != nil {
				s.events.post(Data{p, m.Topic, m.Data, nil})
			}
		})
	default:
		return false
	}
	return true
}

func (s *Session) inRoom(id string, do func(*Room)) {
	if r := s.rooms[id]; r != nil {
		do(r)
	}
}

// setICEServers replaces those of all links. The caller holds mu.
func (s *Session) setICEServers(servers []wire.ICEServer, fx *effects) {
	s.iceServers = servers
	for _, l := range s.links() {
		fx.add(func() { l.setICEServers(servers) })
	}
}

// leaving reports whether we are leaving a room, or must leave it. The caller holds mu.
func (s *Session) leaving(room string) bool {
	return s.unwanted[room] || s.signaling.Waiting(func(m wire.ClientMessage) bool {
		leave, ok := m.(*wire.Leave)
		return ok && leave.Room == room
	})
}

// roomID is the id that the server knows a room by.
func roomID(room string) string { return strings.ToLower(strings.TrimSpace(room)) }
