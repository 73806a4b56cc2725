package signal

import (
	"slices"

	"turnpike/signal/wire"
)

// takesMedia reports whether a client wants to take part in WebRTC in the room that it joins.
func takesMedia(m *wire.Join) bool { return m.Media == nil || *m.Media }

// hasMedia reports whether a session takes part in WebRTC in a room. The caller holds mu.
func (s *session) hasMedia(r *room) bool { return !slices.Contains(s.noMedia, r) }

func (s *session) setMedia(r *room, media bool) {
	switch {
	case media == s.hasMedia(r):
	case media:
		s.noMedia = slices.DeleteFunc(s.noMedia, func(other *room) bool { return other == r })
	default:
		s.noMedia = append(s.noMedia, r)
	}
}
