package signalload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	inFlight     = 64               // sessions that take a step at the same time
	patience     = 10 * time.Second // for one session's step
	pollInterval = 50 * time.Microsecond
	readSize     = 256 << 10
)

// stepper takes sessions from one stage to another, several at a time. It polls as the workers do, because the server's
// core would have to wake a thread that sleeps on a socket.
type stepper struct {
	g     *Generator
	goal  stage
	start func(*session) error

	open       map[*session]time.Time // since when
	handshakes int                    // under way
	secured    chan *session
	failed     chan error
	buf        []byte
}

// step starts a step for every session. It returns when all have reached the goal or one has failed.
func (g *Generator) step(ctx context.Context, goal stage, start func(*session) error) error {
	st := &stepper{
		g: g, goal: goal, start: start, open: map[*session]time.Time{},
		secured: make(chan *session, inFlight), failed: make(chan error, inFlight), buf: make([]byte, readSize),
	}
	defer st.awaitHandshakes()
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
			st.removeDone(s)
		}
		busy, err := st.poll()
		if err != nil {
			return err
		}
		if !busy {
			if err := st.findOverdue(); err != nil {
				return err
			}
			nap(pollInterval)
		}
	}
	return nil
}

// awaitHandshakes waits for the handshakes under way, because the caller closes their sockets next.
func (st *stepper) awaitHandshakes() {
	for ; st.handshakes > 0; st.handshakes-- {
		select {
		case <-st.secured:
		case <-st.failed:
		}
	}
}

// removeDone removes a session that has reached the goal.
func (st *stepper) removeDone(s *session) {
	if s.stage >= st.goal {
		delete(st.open, s)
	}
}

// findOverdue returns an error if a session has waited for too long.
func (st *stepper) findOverdue() error {
	for s, since := range st.open {
		if time.Since(since) > patience && s.stage != stageHandshake { // a handshake has a deadline of its own
			return fmt.Errorf("session %d waited %v for an answer; is this the right kind of server, and the right URL?", s.number, patience)
		}
	}
	return nil
}

// poll handles everything that has come, once. It reports whether there was anything.
func (st *stepper) poll() (busy bool, err error) {
	select {
	case s := <-st.secured:
		busy = true
		st.handshakes--
		if err = s.upgrade(); err == nil {
			err = s.read(st.buf, st.handle)
		}
	case err = <-st.failed:
		st.handshakes--
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
			s.stage = stageHandshake
			st.handshakes++
			go st.handshake(s)
			return nil
		}
		return s.upgrade()
	}
	if err := s.flush(); err != nil {
		return s.lost(err)
	}
	return s.read(st.buf, st.handle)
}

func (st *stepper) handshake(s *session) {
	conn, err := s.sock.handshake(s.cfg.TLS)
	if err != nil {
		st.failed <- err
		return
	}
	s.tls = conn
	st.secured <- s
}

// handle handles a message that comes during a step.
func (st *stepper) handle(s *session, message []byte) error {
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
	st.removeDone(s)
	s.keepToken(message)
	return s.sendReceipt(message)
}

// sendReceipt sends the receipt that is due after a message, if any.
func (s *session) sendReceipt(message []byte) error {
	s.came++
	if text := s.cfg.Dialect.receipt(message, s.came); text != "" {
		return s.say(text)
	}
	return nil
}

// connect opens a session's socket.
func (g *Generator) connect(s *session) error {
	var err error
	if s.sock, err = openSocket(g.cfg.Server); err != nil {
		return err
	}
	return g.poller.add(s.sock, s.number)
}

// enter makes a session reachable for its mate.
func (s *session) enter() error {
	text := s.cfg.Dialect.entering(s.number)
	if text == "" {
		s.stage = stageEntered
		return nil
	}
	s.stage = stageEntering
	return s.say(text)
}

// leave sends the farewell of each session, if the dialect has one. It waits until the server has closed them, at most
// leaveTime.
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

// leaveTime bounds the wait of leave.
const leaveTime = 2 * time.Second
