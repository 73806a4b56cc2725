package signal

import (
	"hash/maphash"

	"example.org/turnpike/signal/wire"
)

const (
	maxAnswers    = 64 // kept: the last that the client has not acknowledged
	maxUnanswered = 64 // remembered: the last requests that have no answer
)

// requests remembers a session's requests. After a lost connection the client sends some of them again: then they are
// answered again, and not done again. Guarded by session.turn.
type requests struct {
	answer     []byte // of the request whose turn it is; nil: none yet
	last       string // id of the last request
	answered   []answeredRequest
	unanswered *[maxUnanswered]uint64 // hashes of ids, by turns
	next       int                    // of unanswered
	unacked    int                    // how many unanswered requests were handled since the client was told
}

type answeredRequest struct {
	id     string
	answer []byte
	seq    uint64
}

// done reports whether a request was handled before, and its answer if it has one. It forgets answers that the client
// has acknowledged.
func (q *requests) done(id string, acknowledged uint64) (done bool, answer []byte) {
	q.answer = nil
	keep := q.answered[:0]
	for _, a := range q.answered {
		if a.id == id {
			done, answer = true, a.answer
		}
		if a.seq > acknowledged {
			keep = append(keep, a)
		}
	}
	clear(q.answered[len(keep):])
	if q.answered = keep; len(keep) == 0 {
		q.answered = nil
	}
	if done || q.unanswered == nil {
		return done, answer
	}
	hash := idHash(id)
	for _, h := range q.unanswered {
		if h == hash {
			return true, nil
		}
	}
	return false, nil
}

// handled remembers the request whose turn is over. seq is the number of the session's last message. It reports whether
// it is time to tell the client.
func (q *requests) handled(id string, seq uint64) (tell bool) {
	q.last = id
	if q.answer != nil {
		if len(q.answered) >= maxAnswers {
			q.answered = append(q.answered[:0], q.answered[1:]...)
		}
		q.answered = append(q.answered, answeredRequest{id, q.answer, seq})
		q.answer = nil
		return false
	}
	if q.unanswered == nil {
		q.unanswered = new([maxUnanswered]uint64)
	}
	q.unanswered[q.next] = idHash(id)
	q.next = (q.next + 1) % maxUnanswered
	if q.unacked++; q.unacked >= wire.AckEvery {
		q.unacked = 0
		return true
	}
	return false
}

// hashSeed never changes: a client that finds collisions only hides its own requests from itself.
var hashSeed = maphash.MakeSeed()

// idHash hashes a request's id. It is never zero, which stands for no request.
func idHash(id string) uint64 { return maphash.String(hashSeed, id) | 1 }
