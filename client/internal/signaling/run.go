package signaling

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

// run is the loop.
func (s *Signaling) run() {
	var why error
	for attempt := 0; ; attempt++ {
		began := time.Now()
		sock, err := s.enter()
		wasOnline := err == nil
		if wasOnline {
			err = s.serve(sock)
			if time.Since(began) > stable {
				attempt = 0
			}
		}
		if sock != nil {
			sock.close()
		}
		if s.isClosing() || s.life.Err() != nil {
			break
		}
		if final, ok := errors.AsType[*finalError](err); ok {
			why = final.err
			break
		}
		failure := asError(err)
		s.lostSocket()
		if wasOnline {
			s.cfg.Handler.Lost(failure)
		} else {
			s.cfg.Logger.Info("an attempt to reach the server has failed", "err", err)
			if !s.welcomed {
				why = failure
				break
			}
			if !failure.Retryable {
				if !s.cfg.Handler.Needed() {
					why = failure
					break
				}
				s.cfg.Logger.Warn("the server lets the session in no more; what works goes on", "err", failure)
				s.askedFor(refusedPause)
			}
			s.askedFor(failure.RetryAfter)
		}
		if !s.pause(attempt) {
			break
		}
	}
	s.finish(why)
}

// finalError ends the session: trying again would not help.
type finalError struct{ err *Error }

func (e *finalError) Error() string { return e.err.Error() }

// askedFor notes that the server wants to be left alone for a while.
func (s *Signaling) askedFor(d time.Duration) {
	if at := time.Now().Add(min(d, maxAsked)); d > 0 && at.After(s.returnAt) {
		s.returnAt = at
	}
}

func (s *Signaling) lostSocket() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outbox.lost()
	s.doubted = false
}

// pause waits before the next attempt. It ends early when the network has changed, and reports false when the session has
// been closed.
func (s *Signaling) pause(attempt int) bool {
	wait := max(0, time.Until(s.returnAt)) + backoff(attempt, s.cfg.Random)
	if s.hurry {
		wait = 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for waiting := wait > 0 && !s.isWoken(); waiting; {
		select {
		case <-timer.C:
			waiting = false
		case <-s.life.Done():
			return false
		case <-s.news:
			waiting = !s.isWoken()
		}
	}
	s.hurry, s.returnAt = false, time.Time{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.woken = false
	return !s.closing
}

// isWoken reports whether the loop must not wait any longer.
func (s *Signaling) isWoken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.woken || s.closing
}

// enter returns a socket on which the server has answered hello with a welcome, which it has applied.
func (s *Signaling) enter() (sock *socket, err error) {
	ctx, cancel := context.WithCancel(s.life)
	defer cancel()
	s.mu.Lock()
	s.interrupt = cancel
	closing := s.closing
	s.mu.Unlock()
	if closing {
		return nil, closedError()
	}
	var ticket string
	resume := s.resume
	for tries := 1; ; tries++ {
		hello := &wire.Hello{Request: wire.Request{ID: fmt.Sprint("hello-", tries)}}
		if resume != nil {
			hello.Resume = &wire.Resume{Session: resume.session, Token: resume.token, Received: s.inbox.received}
		} else {
			if ticket == "" {
				if ticket, err = s.cfg.Ticket(ctx, s.refused); err != nil {
					return sock, s.interrupted(ctx, err)
				}
			}
			hello.Ticket, hello.Name = ticket, s.name
		}
		if sock == nil || sock.isEnded() {
			if sock != nil {
				sock.close()
			}
			if sock, err = open(ctx, s.cfg.Dial); err != nil {
				return nil, s.interrupted(ctx, err)
			}
		}
		welcome, err := s.ask(ctx, sock, hello)
		switch {
		case err == nil:
			s.refused = false
			return sock, s.welcome(sock, welcome)
		case ctx.Err() != nil:
			return sock, s.interrupted(ctx, err)
		case resume != nil && !retryable(err):
			resume = nil // the session is over, or cannot go on
		case tries < maxTries && s.cfg.Again && !s.refused && asError(err).Code == string(wire.CodeUnauthorized):
			s.refused, ticket = true, ""
		default:
			return sock, err
		}
	}
}

// interrupted returns err, unless the attempt was interrupted because the network has changed.
func (s *Signaling) interrupted(ctx context.Context, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil && s.life.Err() == nil {
		return &Error{Code: CodeOffline, Message: "The network has changed.", Retryable: true}
	}
	return err
}

// ask sends a hello and waits for its answer. Nothing else comes before that.
func (s *Signaling) ask(ctx context.Context, sock *socket, hello *wire.Hello) (*wire.Welcome, error) {
	text, err := wire.Encode(hello)
	if err != nil {
		return nil, err
	}
	sock.send(text)
	late := time.NewTimer(welcomeTimeout)
	defer late.Stop()
	for {
		select {
		case data := <-sock.in:
			m, _, err := s.read(data)
			if err != nil {
				return nil, &Error{Code: CodeNotTurnpike, Message: "The server does not speak turnpike's protocol.", Err: err}
			}
			if m == nil || refOf(m) != hello.ID {
				continue
			}
			switch m := m.(type) {
			case *wire.Welcome:
				return m, nil
			case *wire.Error:
				return nil, serverError(m)
			}
		case <-sock.ended:
			return nil, s.closedBecause(sock.err)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
			return nil, &Error{Code: CodeTimeout, Message: "The server did not answer in time.", Retryable: true}
		}
	}
}

// closedBecause takes the consequences of a socket's end, and says why it was. A socket that was replaced is none: a hello of before,
// which had been on its way for long, has taken the session over, and the token takes it back.
func (s *Signaling) closedBecause(err error) error {
	closed, ok := errors.AsType[*websocket.CloseError](err)
	if !ok {
		return &Error{Code: CodeOffline, Message: "The connection to the server is lost.", Retryable: true, Err: err}
	}
	word := wire.CloseReason(closed.Code)
	switch closed.Code {
	case wire.CloseUnauthorized:
		s.refused = true
	case wire.CloseExpired:
		s.resume, s.refused = nil, true
	case wire.CloseEnded:
		return &finalError{&Error{Code: CodeEnded, Message: "The server has ended the session.", Err: err,
			Hint: "The invite was taken back, or the user was thrown out."}}
	case wire.CloseBadMessage:
		return &finalError{&Error{Code: CodeBadMessage, Message: "The server ended the session, as it understood too little of it.", Err: err,
			Hint: "The library or the server is too old."}}
	}
	if word == "" {
		word = printable(closed.Text)
	}
	return &Error{Code: CodeOffline, Retryable: true, Err: err,
		Message: fmt.Sprintf("The connection to the server is lost: it was closed with %d %s.", closed.Code, word)}
}
