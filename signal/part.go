package signal

import "slices"

// part is how a session takes part in a room. The zero part is a browser's: by WebRTC alone.
type part struct {
	noMedia    bool     // without WebRTC
	transports []string // beside WebRTC
}

// roomPart is the part in one room.
type roomPart struct {
	room *room
	part
}

// partOf is the part that a client wants to take in the room that it joins, or in that of a call.
func partOf(media *bool, transports []string) part {
	return part{noMedia: media != nil && !*media, transports: transports}
}

func (p part) is(other part) bool {
	return p.noMedia == other.noMedia && slices.Equal(p.transports, other.transports)
}

// partIn is the part that a session takes in a room, or wants to take in one that it waits for. The caller holds mu.
func (s *session) partIn(r *room) part {
	for _, in := range s.parts {
		if in.room == r {
			return in.part
		}
	}
	return part{}
}

// setPart notes the part. With the zero part, nothing of the room is kept. The caller holds mu.
func (s *session) setPart(r *room, p part) {
	s.parts = slices.DeleteFunc(s.parts, func(in roomPart) bool { return in.room == r })
	if !p.is(part{}) {
		s.parts = append(s.parts, roomPart{r, p})
	}
}
