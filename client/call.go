package client

import (
	"context"
	"encoding/json"
	"fmt"

	"example.org/turnpike/signal/wire"
)

// Call is a ring from user to user, which leads to a room of two or to nothing.
type Call struct {
	// Static after construction.
	s        *Session
	id       string
	incoming bool
	user     User
	data     json.RawMessage
	answered chan struct{} // closed when both are in the room, or when the call is over before that
	over     chan struct{} // closed when the call is over

	// Guarded by Session.mu.
	room   string // the room that it led to
	in     *Room
	reason string // why it is over
}

// ID is the call's.
func (c *Call) ID() string { return c.id }

// User is the other side's.
func (c *Call) User() User { return c.user }

// Incoming reports whether the other side called.
func (c *Call) Incoming() bool { return c.incoming }

// Data is what the caller gave, nil if it gave nothing.
func (c *Call) Data() json.RawMessage { return c.data }

// Done is closed when the call is over, answered or not.
func (c *Call) Done() <-chan struct{} { return c.over }

// Call rings a user, in all of its sessions. It returns when that rings there; then wait for Answered. data is for the other side to
// see meanwhile: nil, or what JSON can say in 4 KiB.
func (s *Session) Call(ctx context.Context, user string, data any) (*Call, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := &wire.Call{To: user}
	m.Media, m.Transports = s.part()
	if data != nil {
		text, err := json.Marshal(data)
		if err != nil {
			return nil, fmt.Errorf("call: %w", err)
		}
		if m.Data = text; len(text) > wire.MaxCallData {
			return nil, &Error{Code: CodeTooLong, Message: fmt.Sprintf("A call's data may have %d bytes of JSON.", wire.MaxCallData)}
		}
	}
	pending, err := s.signaling.Ask(m)
	if err != nil {
		return nil, publicError(err)
	}
	answer, err := pending.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		s.goBackground(func() { // nobody wants it any more when it rings
			if answer, err := pending.Wait(s.life); err == nil {
				if c := s.ringingCall(answer); c != nil {
					_ = c.Cancel(s.life)
				}
			}
		})
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, publicError(err)
	}
	if c := s.ringingCall(answer); c != nil {
		return c, nil
	}
	return nil, &Error{Code: string(wire.CodeNoSuchCall), Message: "The call is over already."}
}

func (s *Session) ringingCall(answer wire.Message) *Call {
	ringing, ok := answer.(*wire.Ringing)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[ringing.Call]
}

// Answered waits until both are in the room of the call. Otherwise it fails with an [*Error] whose Code is declined, timeout,
// cancelled, answered-elsewhere or gone.
func (c *Call) Answered(ctx context.Context) (*Room, error) {
	select {
	case <-c.answered:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.in != nil {
		return c.in, nil
	}
	return nil, &Error{Code: c.reason, Message: "The call was not answered: " + c.reason + "."}
}

// Accept answers an incoming call, and returns the room that both are in.
func (c *Call) Accept(ctx context.Context) (*Room, error) {
	m := &wire.Accept{Call: c.id}
	m.Media, m.Transports = c.s.part()
	if _, err := c.s.request(ctx, m); err != nil {
		return nil, err
	}
	return c.Answered(ctx)
}

// Decline refuses an incoming call. reason is for people, and may be empty.
func (c *Call) Decline(ctx context.Context, reason string) error {
	return c.finish(ctx, &wire.Decline{Call: c.id, Reason: reason}, "declined")
}

// Cancel takes an outgoing call back that nobody has answered. If somebody does at the same moment, it is hung up.
func (c *Call) Cancel(ctx context.Context) error {
	return c.finish(ctx, &wire.Cancel{Call: c.id}, wire.CancelCancelled)
}

// Hangup ends an answered call: both are out of its room.
func (c *Call) Hangup(ctx context.Context) error {
	return c.finish(ctx, &wire.Hangup{Call: c.id}, wire.ReasonHangup)
}

// finish ends the call here at once, and tells the server.
func (c *Call) finish(ctx context.Context, m wire.ClientMessage, reason string) error {
	s := c.s
	s.mu.Lock()
	if c.reason != "" {
		s.mu.Unlock()
		return nil
	}
	var fx effects
	pending, err := s.signaling.Ask(m)
	room := c.room
	c.end(reason)
	if reason == wire.ReasonHangup && room != "" {
		s.unwanted[room] = true // until the server says that we are out
	}
	if r := s.rooms[room]; r != nil {
		r.end(reason, &fx)
	}
	s.mu.Unlock()
	fx.run()
	if err == nil {
		_, err = pending.Wait(ctx)
	}
	if CodeOf(err) == string(wire.CodeNoSuchCall) {
		if room != "" { // a server that has restarted knows of no calls, but of their rooms
			s.tell(&wire.Leave{Room: room})
		}
		return nil // it was over at the same moment
	}
	return publicError(err)
}

// The methods below need Session.mu.

// hearCall applies what concerns calls. It reports false if the message does not.
func (s *Session) hearCall(m wire.Message, fx *effects) bool {
	switch m := m.(type) {
	case *wire.Ring:
		if s.calls[m.Call] == nil { // or it rings again
			s.events.post(IncomingCall{s.addCall(m.Call, m.From, m.Data, true)})
		}
	case *wire.Ringing:
		s.addCall(m.Call, m.To, m.Data, false)
	case *wire.Accepted:
		s.acceptedCall(m)
	case *wire.Declined:
		s.endCall(m.Call, "declined")
	case *wire.Cancelled:
		s.endCall(m.Call, m.Reason)
	case *wire.HungUp:
		s.endCall(m.Call, wire.ReasonHangup)
		s.left(m.Room, wire.ReasonHangup, fx)
	default:
		return false
	}
	return true
}

func (s *Session) addCall(id string, user wire.User, data json.RawMessage, incoming bool) *Call {
	c := &Call{s: s, id: id, incoming: incoming, user: User{user.User, user.Name}, data: data,
		answered: make(chan struct{}), over: make(chan struct{})}
	s.calls[id] = c
	return c
}

func (s *Session) acceptedCall(m *wire.Accepted) {
	if c := s.calls[m.Call]; c != nil {
		c.room = m.Room
		return
	}
	s.unwanted[m.Room] = true // we ended the call at the same moment
	s.tell(&wire.Hangup{Call: m.Call})
}

// joined notes that we are in a room, perhaps in the call's.
func (c *Call) joined(r *Room) {
	if c.room == r.id && c.in == nil {
		c.in, r.wanted = r, true
		close(c.answered)
	}
}

func (s *Session) endCall(id, reason string) {
	if c := s.calls[id]; c != nil {
		c.end(reason)
	}
}

func (c *Call) end(reason string) {
	if c.reason != "" {
		return
	}
	c.reason = reason
	delete(c.s.calls, c.id)
	if c.in == nil {
		close(c.answered)
	}
	close(c.over)
	c.s.events.post(CallEnded{c, reason})
}

// endRinging ends the calls that nobody has answered: the server has forgotten them.
func (s *Session) endRinging() {
	for _, c := range s.calls {
		if c.in == nil {
			c.end(wire.CancelGone)
		}
	}
}
