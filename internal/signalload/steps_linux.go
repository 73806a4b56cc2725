package signalload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	inFlight     = 64               // sessions that take a step at a time
	patience     = 10 * time.Second // for one session's step
	pollInterval = 50 * time.Microsecond
	readSize     = 256 << 10
)

// stepper takes sessions from one stage to another, several at a time. It polls as the workers do: a thread that sleeps on a
// socket would have to be woken by the server's core.
type stepper struct {
	g     *Generator
	goal  stage
	start func(*session) error

	open    map[*session]time.Time // since when
	shaking int                    // handshakes that are under way
	shaken  chan *session
	failed  chan error
	buf     []byte
}

// step returns when all sessions have reached the goal, or one has failed.
func (g *Generator) step(ctx context.Context, goal stage, start func(*session) error) error {
	st := &stepper{
		g: g, goal: goal, start: start, open: map[*session]time.Time{},
		shaken: make(chan *session, inFlight), failed: make(chan error, inFlight), buf: make([]byte, readSize),
	}
	defer st.join()
	for todo := g.sessions; len(todo) > 0 || len(st.open) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		for len(todo) > 0 && len(st.open) < inFlight {
			s := todo[0]
			todo = todo[1:]
			st.open[s] = time.Now()
			if err := start(s); err != nil {
				return err
			}
			st.look(s)
		}
		busy, err := st.poll()
		if err != nil {
			return err
		}
		if !busy {
			if err := st.late(); err != nil {
				return err
			}
			nap(pollInterval)
		}
	}
	return nil
}

// join waits for the handshakes that are under way: they use the sockets, which are closed next.
func (st *stepper) join() {
	for ; st.shaking > 0; st.shaking-- {
		select {
		case <-st.shaken:
		case <-st.failed:
		}
	}
}

// look takes a session that has arrived off the list.
func (st *stepper) look(s *session) {
	if s.stage >= st.goal {
		delete(st.open, s)
	}
}

// late finds a session that has waited for too long.
func (st *stepper) late() error {
	for s, since := range st.open {
		if time.Since(since) > patience && s.stage != stageShaking { // which has a deadline of its own
			return fmt.Errorf("session %d waited %v for an answer; is it such a server, and does the URL lead to it?", s.number, patience)
		}
	}
	return nil
}

// poll looks once for what has come. It reports whether there was anything.
func (st *stepper) poll() (busy bool, err error) {
	select {
	case s := <-st.shaken:
		busy = true
		st.shaking--
		if err = s.upgrade(); err == nil {
			err = s.read(st.buf, st.take)
		}
	case err = <-st.failed:
		st.shaking--
	default:
	}
	if err != nil {
		return busy, err
	}
	for _, e := range st.g.poller.ready() {
		busy = true
		if err := st.event(st.g.sessions[e.Fd], e.Events); err != nil {
			return busy, err
		}
	}
	return busy, nil
}

func (st *stepper) event(s *session, events uint32) error {
	switch s.stage {
	case stageShaking, stageEnded:
		return nil
	case stageConnecting:
		if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
			return nil
		}
		if err := s.sock.connected(); err != nil {
			return err
		}
		if s.cfg.TLS != nil {
			s.stage = stageShaking
			st.shaking++
			go st.shake(s)
			return nil
		}
		return s.upgrade()
	}
	if err := s.flush(); err != nil {
		return s.lost(err)
	}
	return s.read(st.buf, st.take)
}

func (st *stepper) shake(s *session) {
	conn, err := s.sock.shake(s.cfg.TLS)
	if err != nil {
		st.failed <- err
		return
	}
	s.tls = conn
	st.shaken <- s
}

// take is what a session hears while it takes steps.
func (st *stepper) take(s *session, message []byte) error {
	d := s.cfg.Dialect
	if refused := d.refusal(message); refused != nil {
		return refused
	}
	switch s.stage {
	case stageGreeting:
		if address, ok := d.greeted(s.number, message); ok {
			s.address, s.stage = address, stageGreeted
		}
	case stageEntering:
		if d.entered(message) {
			s.stage = stageEntered
		}
	}
	st.look(s)
	return s.receipt(message)
}

// receipt says what is due after a message.
func (s *session) receipt(message []byte) error {
	s.came++
	if text := s.cfg.Dialect.receipt(message, s.came); text != "" {
		return s.say(text)
	}
	return nil
}

// connect begins a session.
func (g *Generator) connect(s *session) error {
	var err error
	if s.sock, err = openSocket(g.cfg.Server); err != nil {
		return err
	}
	return g.poller.add(s.sock, s.number)
}

// enter makes a session reachable.
func (s *session) enter() error {
	text := s.cfg.Dialect.entering(s.number)
	if text == "" {
		s.stage = stageEntered
		return nil
	}
	s.stage = stageEntering
	return s.say(text)
}

// leave says farewell to all servers that want one, and waits until they have heard it, but not for ever.
func (g *Generator) leave() {
	text := g.cfg.Dialect.farewell()
	buf := make([]byte, readSize)
	left := 0
	for _, s := range g.sessions {
		if text == "" || s.stage < stageGreeted {
			continue
		}
		if s.say(text) == nil {
			left++
		}
	}
	ignore := func(*session, []byte) error { return nil }
	for begin := time.Now(); left > 0 && time.Since(begin) < leaveTime; nap(pollInterval) {
		for _, e := range g.poller.ready() {
			s := g.sessions[e.Fd]
			if s.stage < stageGreeted || s.stage == stageEnded {
				continue
			}
			if err := errors.Join(s.flush(), s.read(buf, ignore)); err != nil {
				s.stage = stageEnded
				left--
			}
		}
	}
}

// leaveTime bounds the wait for the server at the end.
const leaveTime = 2 * time.Second
