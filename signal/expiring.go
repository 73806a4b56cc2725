package signal

import "time"

// maxExpiring bounds an expiring map; the oldest entries go first.
const maxExpiring = 1 << 16

// expiring maps sessions that have ended to what is kept of them for a while. Guarded by Server.mu. The zero map is
// empty.
type expiring[V any] struct {
	values map[string]V
	order  []expiry // oldest first: all entries of one map are kept equally long
}

type expiry struct {
	session string
	until   time.Time
}

func (e *expiring[V]) has(session string) bool {
	_, ok := e.values[session]
	return ok
}

// keep keeps v until a time. If the session is there, the time stays as it was.
func (e *expiring[V]) keep(session string, v V, until time.Time) {
	if e.values == nil {
		e.values = make(map[string]V)
	}
	if !e.has(session) {
		if len(e.order) >= maxExpiring {
			e.dropFirst()
		}
		e.order = append(e.order, expiry{session, until})
	}
	e.values[session] = v
}

// expire drops what has expired, at most so many entries. more says that there are others.
func (e *expiring[V]) expire(now time.Time, most int) (more bool) {
	for ; len(e.order) > 0 && !now.Before(e.order[0].until); most-- {
		if most == 0 {
			return true
		}
		e.dropFirst()
	}
	return false
}

func (e *expiring[V]) dropFirst() {
	delete(e.values, e.order[0].session)
	e.order = e.order[1:]
}
