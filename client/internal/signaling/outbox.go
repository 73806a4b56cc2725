package signaling

import (
	"slices"
	"strconv"
	"time"

	"example.org/turnpike/signal/wire"
)

const (
	maxWaiting = 256                   // requests, and likewise messages without an answer
	maxBytes   = wire.MaxMessage - 200 // there must be room for id and received
	// The pace stays well within the server's limits. A network may hold messages back and deliver them all at once.
	atOnce    = 100
	perSecond = 30
)

type answer struct {
	message wire.Message
	err     error
}

// entry is a message that the server may not have handled yet.
type entry struct {
	id      uint64
	message wire.ClientMessage
	text    []byte // of wire.Encode, without id
	sent    bool   // on the present socket, or its answer is on the way
	answer  chan answer
}

// asks reports whether the message has an answer. Others draw an error at most.
func (e *entry) asks() bool { return e.answer != nil }

// outbox has the session's messages to the server, in order. Each stays until the server is known to have handled it. Without
// a socket it waits. After a lost socket it is sent again under the same id, by which the server recognizes it.
type outbox struct {
	entries   []*entry // by id
	held      []*entry // those of before, while a welcome is applied that puts others before them
	last      uint64
	allowance float64 // how many messages may be sent at this moment
	allowedAt time.Time
}

func (o *outbox) init() { o.allowance, o.allowedAt = atOnce, time.Now() }

// full reports whether so many of a kind wait that one more must not: of requests, or of messages without an answer. Neither takes
// the place of the other: dropping what has no answer always makes room for what follows.
func (o *outbox) full(asks bool) bool {
	n := 0
	for _, list := range [2][]*entry{o.entries, o.held} {
		for _, e := range list {
			if e.asks() == asks {
				n++
			}
		}
	}
	return n >= maxWaiting
}

func (o *outbox) add(m wire.ClientMessage, text []byte, to chan answer) {
	o.last++
	o.entries = append(o.entries, &entry{id: o.last, message: m, text: text, answer: to})
}

// next returns the messages that were not sent on the present socket, as far as the pace allows. more means that it does
// not allow all of them.
func (o *outbox) next() (out []*entry, more bool) {
	for _, e := range o.entries {
		if e.sent {
			continue
		}
		if !o.allow() {
			return out, true
		}
		e.sent = true
		out = append(out, e)
	}
	return out, false
}

func (o *outbox) allow() bool {
	now := time.Now()
	o.allowance = min(atOnce, o.allowance+now.Sub(o.allowedAt).Seconds()*perSecond)
	o.allowedAt = now
	if o.allowance < 1 {
		return false
	}
	o.allowance--
	return true
}

// lost notes that the socket is lost: its messages may or may not have arrived.
func (o *outbox) lost() {
	for _, e := range o.entries {
		e.sent = false
	}
}

// replayed notes that the session goes on with nothing lost. What the server has handled is not sent again: its answers are
// on their way, and what has no answer is done.
func (o *outbox) replayed(handled string) {
	last, _ := strconv.ParseUint(handled, 10, 64)
	o.keep(func(e *entry) bool {
		if e.id > last {
			return true
		}
		e.sent = true
		return e.asks()
	})
}

// restored drops what has no answer: another process answers from now on, and the peers negotiate anew. Requests are sent
// again.
func (o *outbox) restored() { o.keep((*entry).asks) }

// hold puts all entries aside, until release appends them again, under new ids: another process of the server knows none.
func (o *outbox) hold() { o.held, o.entries = o.entries, nil }

func (o *outbox) release() {
	for _, e := range o.held {
		o.last++
		e.id = o.last
		o.entries = append(o.entries, e)
	}
	o.held = nil
}

// anew notes that another session has begun. Requests about the former one fail, as the server has forgotten it, or will
// not say what became of them.
func (o *outbox) anew() {
	o.keep(func(e *entry) bool {
		switch e.message.(type) {
		case *wire.Join, *wire.ListOnline, *wire.Refresh, *wire.Rename:
			return e.asks()
		}
		e.reply(answer{err: &Error{Code: CodeOffline, Retryable: true,
			Message: "The session was lost before the server answered; nobody knows whether it has done what was asked."}})
		return false
	})
}

// settle settles what a message answers. An ack settles what has no answer, up to its id. It returns the server's error for a
// message without an answer; after rate-limited, that is queued again.
func (o *outbox) settle(m wire.Message) *Error {
	ref := refOf(m)
	last, err := strconv.ParseUint(ref, 10, 64)
	if err != nil {
		return nil // hello and ping belong to a socket, and say nothing about requests
	}
	_, isAck := m.(*wire.Handled)
	var answered *entry
	o.keep(func(e *entry) bool { // the server handles messages in order: an answer covers those before it
		if e.id == last && !isAck {
			answered = e
			return false
		}
		return e.asks() || e.id > last
	})
	failed, isError := m.(*wire.Error)
	if !isError {
		if answered != nil {
			answered.reply(answer{message: m})
		}
		return nil
	}
	refusal := serverError(failed)
	switch {
	case answered == nil:
	case answered.asks():
		answered.reply(answer{err: refusal})
		return nil
	case refusal.Code == string(wire.CodeRateLimited):
		o.add(answered.message, answered.text, nil) // under a new id: later messages were not refused
	}
	return refusal
}

// fail fails every request that waits.
func (o *outbox) fail(err error) {
	o.keep(func(e *entry) bool {
		e.reply(answer{err: err})
		return false
	})
}

func (o *outbox) has(fits func(wire.ClientMessage) bool) bool {
	waits := func(e *entry) bool { return fits(e.message) }
	return slices.ContainsFunc(o.entries, waits) || slices.ContainsFunc(o.held, waits)
}

func (o *outbox) keep(keeps func(*entry) bool) {
	kept := o.entries[:0]
	for _, e := range o.entries {
		if keeps(e) {
			kept = append(kept, e)
		}
	}
	clear(o.entries[len(kept):])
	o.entries = kept
}

// reply never blocks: there is one answer.
func (e *entry) reply(a answer) {
	if e.asks() {
		e.answer <- a
	}
}

// encode returns the message with its id, and with received unless that is zero.
func (e *entry) encode(received uint64) []byte {
	out := make([]byte, 0, len(e.text)+64)
	out = append(out, e.text[:len(e.text)-1]...)
	out = append(strconv.AppendUint(append(out, `,"id":"`...), e.id, 10), '"')
	if received > 0 {
		out = strconv.AppendUint(append(out, `,"received":`...), received, 10)
	}
	return append(out, '}')
}

// refOf returns the id of the request that a message answers, empty if it answers none.
func refOf(m wire.Message) string {
	switch m := m.(type) {
	case *wire.Welcome:
		return m.Ref
	case *wire.Error:
		return m.Ref
	case *wire.Joined:
		return m.Ref
	case *wire.Left:
		return m.Ref
	case *wire.Online:
		return m.Ref
	case *wire.Ringing:
		return m.Ref
	case *wire.Accepted:
		return m.Ref
	case *wire.Declined:
		return m.Ref
	case *wire.Cancelled:
		return m.Ref
	case *wire.HungUp:
		return m.Ref
	case *wire.Handled:
		return m.Ref
	case *wire.Pong:
		return m.Ref
	case *wire.Said:
		return m.Ref
	case *wire.Refreshed:
		return m.Ref
	case *wire.Renamed:
		return m.Ref
	case *wire.Locked:
		return m.Ref
	case *wire.Unlocked:
		return m.Ref
	case *wire.Kicked:
		return m.Ref
	case *wire.Waiting:
		return m.Ref
	case *wire.Admitted:
		return m.Ref
	case *wire.Refused:
		return m.Ref
	}
	return ""
}
