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
	e := s.enter(m.Room)
	pending, err := s.signaling.Ask(m)
	if err != nil {
		s.exit(e)
		return nil, publicError(err)
	}
	answer, err := pending.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		s.exit(e)
		s.goBackground(func() { s.abandonAfter(pending.Wait(s.life)) })
		return nil, ctx.Err()
	}
	switch answer := answer.(type) {
	case *wire.Joined:
		return s.result(answer.Room, e)
	case *wire.Waiting:
		return s.waitIn(ctx, answer.Room, e)
	}
	s.exit(e)
	return nil, publicError(err)
}

// waitIn waits to be let in.
func (s *Session) waitIn(ctx context.Context, room string, e *entry) (*Room, error) {
	ended := locked(s, &e.ended)
	if ended == nil {
		return s.result(room, e)
	}
	select {
	case <-ended:
		return s.result(room, e)
	case <-ctx.Done():
		s.exit(e)
		s.abandon(room)
		return nil, ctx.Err()
	}
}

// abandonAfter leaves a room that its Join did not want any more when the answer came.
func (s *Session) abandonAfter(answer wire.Message, _ error) {
	switch answer := answer.(type) {
	case *wire.Joined:
		s.abandon(answer.Room)
	case *wire.Waiting:
		s.abandon(answer.Room)
	}
}

// abandon leaves a room, or waits no more for it, unless another Join has led to it or may do so.
func (s *Session) abandon(room string) {
	var fx effects
	s.mu.Lock()
	switch r := s.rooms[room]; {
	case s.entries[room] != nil:
	case r == nil:
		s.tell(&wire.Leave{Room: room})
	case !r.wanted:
		_, _ = r.leave(&fx) // or the session is over
	}
	s.mu.Unlock()
	fx.run()
}

// entry is what the Joins of one room share, from before the first one asks until the last one returns.
type entry struct {
	id string // of the room; empty: the server makes one

	// Guarded by Session.mu.
	joins int
	room  *Room         // the last that they have led to, also if it was left since
	ended chan struct{} // nil: we never waited to be let in; closed when that is over
	err   error         // how the last wait has ended
}

// enter begins a Join.
func (s *Session) enter(id string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil {
		e = &entry{id: id}
		s.entries[id] = e
	}
	e.joins++
	return e
}

// exit ends a Join.
func (s *Session) exit(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exitLocked(e)
}

func (s *Session) exitLocked(e *entry) {
	if e.joins--; e.joins == 0 {
		delete(s.entries, e.id)
	}
}

// result ends a Join that the server has answered.
func (s *Session) result(room string, e *entry) (*Room, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exitLocked(e)
	r := s.rooms[room]
	switch {
	case r != nil:
		r.wanted = true
		return r, nil
	case e.err != nil:
		return nil, e.err
	case e.room != nil:
		return nil, errLeft(e.room.reason)
	}
	return nil, errLeft(wire.ReasonLeave)
}

// The methods below need Session.mu.

// led notes that the server has put us into the room.
func (e *entry) led(r *Room) {
	e.settle(nil)
	e.room, e.err = r, nil
}

// wait notes that we wait to be let in. It reports false if we did so already.
func (e *entry) wait() bool {
	if e.waits() {
		return false
	}
	e.room, e.ended, e.err = nil, make(chan struct{}), nil
	return true
}

func (e *entry) waits() bool {
	if e.ended == nil {
		return false
	}
	select {
	case <-e.ended:
		return false
	default:
		return true
	}
}

// settle ends the wait, if there is one.
func (e *entry) settle(err error) {
	if e.waits() {
		e.err = err
		close(e.ended)
	}
}

// askAgain asks again to be let in where we wait: the session that waited is gone, or the server has forgotten that it waited.
func (s *Session) askAgain() {
	for room, e := range s.entries {
		if !e.waits() {
			continue
		}
		ended := e.ended
		pending, err := s.signaling.Ask(s.joinMessage(room, JoinOptions{}))
		s.goLocked(func() {
			if err == nil {
				_, err = pending.Wait(s.life)
			}
			if err == nil {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if e.ended == ended {
				e.settle(publicError(err))
			}
		})
	}
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
