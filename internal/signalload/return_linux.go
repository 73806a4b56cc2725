package signalload

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"example.org/turnpike/internal/turnload"
)

// resumer is a dialect whose sessions come back after their sockets are lost.
type resumer interface {
	// token finds in a message what a session comes back with.
	token(message []byte) (string, bool)
	// resuming is the greeting of a session that comes back.
	resuming(address, token string) (string, error)
	// forgotten reports whether a refusal says that there is nothing to come back to: then the session says its first greeting.
	forgotten(refused *RefusedError) bool
	// sentAway finds in a message after how long the session may come back.
	sentAway(message []byte) (time.Duration, bool)
	// resumed reports whether a session that was greeted is the one of before.
	resumed(message []byte) bool
}

const (
	// A session that is lost, or is refused, comes back after a pause that doubles with each try. Half of it is random. That
	// is how the JavaScript SDK does it.
	firstPause = 500 * time.Millisecond
	mostPause  = 15 * time.Second
)

// returner brings the sessions back after a restart of the server.
type returner struct {
	g       *Generator
	dialect resumer
	buf     []byte

	waiting returns // sessions that are lost, by the time at which they come back
	away    int     // sessions that are lost, or on their way back
	begin   time.Time
	last    time.Time
	Returned
}

// Returned holds the figures of a return.
type Returned struct {
	Took    time.Duration // from the first lost session to the last welcome
	Resumed int           // sessions that are what they were; the others are new ones
	Tries   int           // to connect
	Login   turnload.Histogram
}

// Return waits until the server sends its sessions away, or loses them, and measures how long it takes until all are
// back.
func (g *Generator) Return(ctx context.Context) (*Returned, error) {
	d, ok := g.cfg.Dialect.(resumer)
	if !ok || !g.cfg.Return {
		return nil, errors.New("the sessions do not come back")
	}
	r := &returner{g: g, dialect: d, buf: make([]byte, readSize)}
	for r.begin.IsZero() || r.away > 0 {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%d of %d sessions are not back: %w", r.away, len(g.sessions), err)
		}
		busy := r.reconnect()
		for _, e := range g.poller.ready() {
			busy = true
			if err := r.event(g.sessions[e.Fd], e.Events); err != nil {
				return nil, err
			}
		}
		if !busy {
			nap(pollInterval)
		}
	}
	r.Took = r.last.Sub(r.begin)
	return &r.Returned, nil
}

// reconnect begins to connect the sessions whose time has come.
func (r *returner) reconnect() (busy bool) {
	for len(r.waiting) > 0 && time.Now().After(r.waiting[0].at) {
		s := heap.Pop(&r.waiting).(pendingReturn).session
		busy = true
		r.Tries++
		s.since = time.Now()
		s.stage = stageConnecting
		if err := r.g.connect(s); err != nil {
			r.lose(s)
		}
	}
	return busy
}

// lose closes a session's socket and has it come back later.
func (r *returner) lose(s *session) {
	if r.begin.IsZero() {
		r.begin = time.Now()
	}
	if s.sock != nil {
		s.sock.close()
	}
	if s.stage >= stageGreeted && s.stage != stageEnded {
		r.away++
	}
	s.sock, s.tls, s.rest, s.unsent, s.stage = nil, nil, nil, nil, stageEnded
	pause := min(firstPause<<min(s.tries, 10), mostPause)
	pause = pause/2 + time.Duration(rand.Float64()*float64(pause/2))
	s.tries++
	at := time.Now()
	if s.returnAt.After(at) {
		at = s.returnAt
	}
	heap.Push(&r.waiting, pendingReturn{s, at.Add(pause)})
}

// event handles what has come for a session. A session that is lost comes back; only a refusal for good is an error.
func (r *returner) event(s *session, events uint32) error {
	err := r.advance(s, events)
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok && refused.final() {
		return refused
	}
	r.lose(s)
	return nil
}

// final reports whether it would be of no use to try again.
func (e *RefusedError) final() bool {
	return e.Code == "unauthorized" || e.Status == 400 || e.Status == 403
}

func (r *returner) advance(s *session, events uint32) error {
	switch s.stage {
	case stageHandshake, stageEnded:
		return nil
	case stageConnecting:
		if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
			return nil
		}
		if err := s.sock.connected(); err != nil {
			return err
		}
		if s.cfg.TLS != nil {
			conn, err := s.sock.handshake(s.cfg.TLS)
			if err != nil {
				return err
			}
			s.tls = conn
		}
		return s.upgrade()
	}
	if err := s.flush(); err != nil {
		return s.lost(err)
	}
	return s.read(r.buf, r.handle)
}

func (r *returner) handle(s *session, message []byte) error {
	if wait, ok := r.dialect.sentAway(message); ok {
		s.returnAt = time.Now().Add(wait)
		return nil
	}
	if refused := s.cfg.Dialect.refusal(message); refused != nil {
		return r.refused(s, refused)
	}
	if s.stage == stageGreeting {
		if address, ok := s.cfg.Dialect.greeted(s.number, message); ok {
			r.welcomed(s, address, message)
		}
	}
	s.keepToken(message)
	return s.sendReceipt(message)
}

func (r *returner) refused(s *session, refused *RefusedError) error {
	if s.token == "" || !r.dialect.forgotten(refused) {
		return refused
	}
	s.token = ""
	text, err := s.greeting()
	if err != nil {
		return err
	}
	return s.say(text)
}

func (r *returner) welcomed(s *session, address string, message []byte) {
	r.last = time.Now()
	r.Login.Add(r.last.Sub(s.since))
	r.away--
	if r.dialect.resumed(message) {
		r.Resumed++
	}
	s.address, s.stage, s.tries, s.returnAt = address, stageEntered, 0, time.Time{}
}

// keepToken notes what the session comes back with.
func (s *session) keepToken(message []byte) {
	if d, ok := s.cfg.Dialect.(resumer); ok && s.cfg.Return {
		if token, ok := d.token(message); ok {
			s.token, s.entitled = token, s.stage == stageEntered
		}
	}
}

// awaitTokens waits until all sessions have what brings them back into their rooms.
func (g *Generator) awaitTokens(ctx context.Context) error {
	st := &stepper{g: g, open: map[*session]time.Time{}, buf: make([]byte, readSize)}
	for rest := g.sessions; len(rest) > 0; {
		if rest[0].entitled {
			rest = rest[1:]
			continue
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%d sessions have nothing to come back with yet: %w", len(rest), err)
		}
		busy, err := st.poll()
		if err != nil {
			return err
		}
		if !busy {
			nap(pollInterval)
		}
	}
	return nil
}

// greeting is what the session says first.
func (s *session) greeting() (string, error) {
	if d, ok := s.cfg.Dialect.(resumer); ok && s.token != "" {
		return d.resuming(s.address, s.token)
	}
	return s.cfg.Dialect.greeting(s.number)
}

// returns is a heap of sessions that wait to come back.
type returns []pendingReturn

type pendingReturn struct {
	session *session
	at      time.Time
}

func (h returns) Len() int           { return len(h) }
func (h returns) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h returns) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *returns) Push(x any)        { *h = append(*h, x.(pendingReturn)) }
func (h *returns) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
