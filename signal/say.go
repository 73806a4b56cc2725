package signal

import (
	"slices"
	"time"

	"example.org/turnpike/signal/wire"
)

// dataShare is the part of a stream that data may fill: a quarter. The rest is for messages whose loss would break something,
// so that nobody ends as slow for what others say.
const dataShare = 4

// say takes data to room mates. It counts as a message to each of them.
func (s *session) say(m *wire.Say) *wire.Error {
	srv := s.srv
	text := share(wire.EncodeData(m.Room, s.id, m.Topic, m.Data))
	srv.mu.Lock()
	defer srv.mu.Unlock()
	at := slices.IndexFunc(s.rooms, func(r *room) bool { return r.id == m.Room })
	if at < 0 {
		return notInRoom()
	}
	var missed []string
	receivers := s.receivers(s.rooms[at], m.To)
	for _, to := range m.To {
		if !slices.ContainsFunc(receivers, func(mate *session) bool { return mate.id == to }) {
			missed = append(missed, to)
		}
	}
	for _, mate := range receivers {
		if mate.stream.takesData(len(text.data), &srv.cfg.Limits) {
			mate.tellShared(text)
		} else {
			missed = append(missed, mate.id)
		}
	}
	if more := len(receivers) - 1; more > 0 {
		now, limits := time.Now(), &srv.cfg.Limits
		s.reader.messages.spend(now, limits.Messages, more)
		s.user.use.spendMessages(now, limits.UserMessages, more)
	}
	s.reply(&wire.Said{Ref: m.ID, Room: m.Room, Missed: missed})
	return nil
}

// receivers returns the room mates among some sessions; nil: all of them.
func (s *session) receivers(r *room, to []string) (mates []*session) {
	for _, mate := range r.members {
		if mate != s && (to == nil || slices.Contains(to, mate.id)) {
			mates = append(mates, mate)
		}
	}
	return mates
}

// takesData reports whether so many bytes of data may wait for the session, besides what waits already.
func (st *stream) takesData(bytes int, limits *Limits) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return !st.ended && len(st.messages) < max(1, limits.QueueMessages/dataShare) && st.bytes+bytes <= st.share(limits)/dataShare
}
