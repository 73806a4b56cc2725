package client

import (
	"context"
	"slices"
	"time"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// JoinOptions say how to join a room.
type JoinOptions struct {
	// Create makes the room if it is not there.
	Create bool
	// Size is how many may be in a room that this makes, 2 to 16. Default: 2.
	Size int
	// Waiting gives a room that this makes a waiting room.
	Waiting bool
}

const (
	fullTries = 12 // the server gives up the seat of somebody who has lost the connection after half a minute
	fullPause = 3 * time.Second
)

// Join joins a room. Without an id, the server makes one up, and the room. If the room has a waiting room, Join waits until somebody
// lets us in, or until ctx ends. If the room is full because of somebody who has lost the connection, Join waits for a while.
func (s *Session) Join(ctx context.Context, room string, o JoinOptions) (*Room, error) {
	m := s.joinMessage(roomID(room), o)
	for tries := 1; ; tries++ {
		r, err := s.join(ctx, m)
		e := (*Error)(nil)
		mayGo := asPublic(err, &e) && e.Code == string(wire.CodeFull) && e.Retryable
		if !mayGo || tries == fullTries {
			return r, err
		}
		if !pause(ctx, fullPause) {
			return nil, ctx.Err()
		}
	}
}

// joinMessage says with what this session reaches others.
func (s *Session) joinMessage(room string, o JoinOptions) *wire.Join {
	m := &wire.Join{Room: room, Create: o.Create, Size: o.Size, Waiting: o.Waiting}
	m.Media, m.Transports = s.part()
	return m
}

// part is what the server tells others of how they reach us.
func (s *Session) part() (media *bool, transports []string) {
	if s.setup.quic != nil {
		transports = []string{link.QUIC}
	}
	if s.setup.webrtc == nil {
		media = new(bool)
	}
	return media, transports
}

func (s *Session) join(ctx context.Context, m *wire.Join) (*Room, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	wasIn := s.Room(m.Room) != nil
	pending, err := s.signaling.Ask(m)
	if err != nil {
		return nil, publicError(err)
	}
	answer, err := pending.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		if !wasIn {
			s.goBackground(func() { s.leaveAfter(pending.Wait(s.life)) })
		}
		return nil, err
	}
	switch answer := answer.(type) {
	case *wire.Joined:
		return s.enteredRoom(answer.Room)
	case *wire.Waiting:
		return s.waitIn(ctx, answer.Room)
	}
	return nil, publicError(err)
}

// leaveAfter leaves a room that nobody wanted any more when the answer came.
func (s *Session) leaveAfter(answer wire.Message, _ error) {
	switch answer := answer.(type) {
	case *wire.Joined:
		if r := s.Room(answer.Room); r != nil {
			_ = r.Leave(s.life) // or the session is over
		}
	case *wire.Waiting:
		s.giveUp(answer.Room)
	}
}

func (s *Session) enteredRoom(id string) (*Room, error) {
	if r := s.Room(id); r != nil {
		return r, nil
	}
	return nil, errLeft(wire.ReasonLeave)
}

// wait is for being let into a room.
type wait struct {
	done chan struct{}
	err  error // good once done is closed
}

func newWait() *wait { return &wait{done: make(chan struct{})} }

// settle is called once, by the one that took the wait out of Session.waits.
func (w *wait) settle(err error) {
	w.err = err
	close(w.done)
}

func waitEnded(reason string) error {
	switch reason {
	case wire.ReasonRefused:
		return &Error{Code: reason, Message: "We were not let in."}
	case wire.ReasonClosed:
		return &Error{Code: string(wire.CodeNotExisting), Message: "The room closed before anybody let us in."}
	}
	return &Error{Code: reason, Message: "We wait no more: " + reason + "."}
}

func (s *Session) waitIn(ctx context.Context, room string) (*Room, error) {
	s.mu.Lock()
	w, refused := s.waits[room], s.refusals[room]
	s.mu.Unlock()
	switch {
	case w == nil && refused != nil:
		return nil, refused
	case w == nil: // we were let in already
		return s.enteredRoom(room)
	}
	select {
	case <-w.done:
		if w.err != nil {
			return nil, w.err
		}
		return s.enteredRoom(room)
	case <-ctx.Done():
		s.giveUp(room)
		return nil, ctx.Err()
	}
}

// giveUp waits no more to be let into a room.
func (s *Session) giveUp(room string) {
	s.mu.Lock()
	w := s.waits[room]
	delete(s.waits, room)
	if w != nil {
		s.tell(&wire.Leave{Room: room})
	}
	s.mu.Unlock()
	if w != nil {
		w.settle(context.Canceled)
		return
	}
	if r := s.Room(room); r != nil { // we were let in at the same moment
		s.goBackground(func() { _ = r.Leave(s.life) })
	}
}

// askAgain asks again to be let in where we wait: the session that waited is gone, or the server has forgotten that it waited.
// The caller holds mu.
func (s *Session) askAgain() {
	for room, w := range s.waits {
		pending, err := s.signaling.Ask(s.joinMessage(room, JoinOptions{}))
		s.goLocked(func() {
			if err == nil {
				_, err = pending.Wait(s.life)
			}
			if err != nil {
				s.failWait(room, w, publicError(err))
			}
		})
	}
}

func (s *Session) failWait(room string, w *wait, err error) {
	s.mu.Lock()
	is := s.waits[room] == w
	if is {
		delete(s.waits, room)
	}
	s.mu.Unlock()
	if is {
		w.settle(err)
	}
}

// transport is the one by which we reach a peer, empty if there is none.
func (s *Session) transport(p wire.Peer) string {
	switch {
	case s.setup.quic != nil && slices.Contains(p.Transports, link.QUIC):
		return link.QUIC
	case s.setup.webrtc != nil && (p.Media == nil || *p.Media):
		return link.WebRTC
	}
	return ""
}
