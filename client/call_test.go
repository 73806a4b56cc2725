package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
	"example.org/turnpike/signal"
	"example.org/turnpike/signal/wire"
)

// TestCall: a call rings, is answered, leads to a room of two with a stream, and ends for both.
func TestCall(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		ann, bob := w.member("ann"), w.member("bob")
		if e := expect[client.OnlineChanged](ann); len(e.Came) != 1 || e.Came[0].Name != "bob" {
			t.Errorf("%+v", e)
		}
		if users := ann.Online(); !slices.Contains(users, client.User{ID: "turnpike:bob", Name: "bob"}) {
			t.Errorf("%v are online", users)
		}
		call, err := ann.Call(t.Context(), "turnpike:bob", map[string]string{"subject": "The plan"})
		if err != nil || call.Incoming() || call.User().Name != "bob" {
			t.Fatal(call, err)
		}
		rings := expect[client.IncomingCall](bob).Call
		if rings.ID() != call.ID() || !rings.Incoming() || rings.User().ID != "turnpike:ann" || string(rings.Data()) != `{"subject":"The plan"}` {
			t.Errorf("%+v", rings)
		}
		there, err := rings.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		here, err := call.Answered(t.Context())
		if err != nil || here.ID() != there.ID() {
			t.Fatal(here, err)
		}
		out, err := peer(t, here).Open(t.Context(), "voice")
		if err != nil {
			t.Fatal(err)
		}
		in, err := there.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said(t, out, in, "hello")
		if err := call.Hangup(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*person{ann, bob} {
			if e := expect[client.CallEnded](p); e.Reason != "hangup" {
				t.Errorf("ended: %s", e.Reason)
			}
		}
		<-rings.Done()
		<-there.Gone()
		if err := call.Hangup(t.Context()); err != nil {
			t.Errorf("hanging up twice: %v", err)
		}
		if again, err := bob.Call(t.Context(), "turnpike:ann", nil); err != nil || again == nil {
			t.Errorf("nobody can be called any more: %v", err)
		}
	})
}

// TestCallLeadsToNothing: each way in which a call is not answered has its code, for both.
func TestCallLeadsToNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		do           func(call, rings *client.Call, w *world) error
		caller, them string
	}{
		"declined":   {func(_, rings *client.Call, w *world) error { return rings.Decline(w.t.Context(), "Later") }, "declined", "declined"},
		"taken back": {func(call, _ *client.Call, w *world) error { return call.Cancel(w.t.Context()) }, "cancelled", "cancelled"},
		"nobody answers": {func(_, _ *client.Call, _ *world) error {
			time.Sleep(2 * wire.RingTimeout)
			return nil
		}, "timeout", "timeout"},
		"the server restarts": {func(_, _ *client.Call, w *world) error {
			time.Sleep(5 * time.Second)
			w.restart()
			return nil
		}, "gone", "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			inTheBubble(t, nil, func(t *testing.T, w *world) {
				ann, bob := w.member("ann"), w.member("bob")
				call, err := ann.Call(t.Context(), bob.User(), nil)
				if err != nil {
					t.Fatal(err)
				}
				rings := expect[client.IncomingCall](bob).Call
				if err := tt.do(call, rings, w); err != nil {
					t.Error(err)
				}
				if _, err := call.Answered(t.Context()); client.CodeOf(err) != tt.caller {
					t.Errorf("the caller learns %v", err)
				}
				if _, err := rings.Answered(t.Context()); client.CodeOf(err) != tt.them {
					t.Errorf("the other side learns %v", err)
				}
				if e := expect[client.CallEnded](bob); e.Call != rings || e.Reason != tt.them {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}

// TestCallRefused: a user who is not there, who is in a call already, or who is the caller, cannot be called. A call that nobody
// waits for any more is taken back.
func TestCallRefused(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		ann, bob, cleo := w.member("ann"), w.member("bob"), w.member("cleo")
		for user, code := range map[string]string{"turnpike:nobody": "no-such-user", ann.User(): "forbidden"} {
			if _, err := ann.Call(t.Context(), user, nil); client.CodeOf(err) != code {
				t.Errorf("calling %s: %v", user, err)
			}
		}
		if _, err := ann.Call(t.Context(), bob.User(), make([]int, 4000)); client.CodeOf(err) != client.CodeTooLong {
			t.Errorf("much data: %v", err)
		}
		w.lose("ann", true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := ann.Call(ctx, bob.User(), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a connection: %v", err)
		}
		w.lose("ann", false)
		if e := expect[client.CallEnded](bob); e.Reason != "cancelled" {
			t.Errorf("%+v", e)
		}
		if _, err := ann.Call(t.Context(), bob.User(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := cleo.Call(t.Context(), bob.User(), nil); client.CodeOf(err) != "busy" {
			t.Errorf("in a call: %v", err)
		}
	})
}

// endsWithAnswer is a context that ends when an answer comes, and that the answer outruns.
type endsWithAnswer struct {
	context.Context
	asked bool
}

func (c *endsWithAnswer) Err() error {
	if !c.asked {
		c.asked = true
		return nil
	}
	return context.Canceled
}

// TestErrorAtTheEnd: where the error of the server and the end of the context coincide, nothing goes on waiting for another answer.
func TestErrorAtTheEnd(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		ann := w.member("ann")
		if _, err := ann.Call(&endsWithAnswer{Context: t.Context()}, "turnpike:nobody", nil); err == nil {
			t.Error("nobody was called")
		}
		if _, err := ann.Join(&endsWithAnswer{Context: t.Context()}, "nowhere", client.JoinOptions{}); err == nil {
			t.Error("a room that is not there was joined")
		}
		synctest.Wait()
		for stack := range strings.SplitSeq(leaked(), "\n\n") {
			if strings.Contains(stack, "Session).Call.") || strings.Contains(stack, "Session).join.") {
				t.Errorf("still waiting:\n%s", stack)
			}
		}
	})
}

// TestRename: a new name reaches room mates and those who see us online, and is kept over a new session.
func TestRename(t *testing.T) {
	inTheBubble(t, func(cfg *signal.Config) {
		cfg.VerifyTicket = func(token string) (auth.Ticket, error) {
			tk, err := verifyTicket(token)
			tk.Chosen = true
			return tk, err
		}
	}, func(t *testing.T, w *world) {
		p := w.pair()
		if name, err := p.ann.Rename(t.Context(), "Anna"); name != "Anna" || err != nil {
			t.Fatal(name, err)
		}
		if e := expect[client.Renamed](p.bob); e.Peer != p.toAnn || e.Name != "Anna" || p.toAnn.Name() != "Anna" {
			t.Errorf("%+v", e)
		}
		if e := expect[client.Renamed](p.ann); e.Peer != nil || e.Name != "Anna" {
			t.Errorf("%+v", e)
		}
		if _, err := p.ann.Rename(t.Context(), "bob"); client.CodeOf(err) != "name-taken" {
			t.Errorf("a name that somebody has: %v", err)
		}
		time.Sleep(5 * time.Second) // until the token knows the name
		w.lose("ann", true)
		time.Sleep(3 * window)
		w.lose("ann", false)
		expect[client.Reconnected](p.ann)
		synctest.Wait()
		if p.ann.Name() != "Anna" || p.toAnn.Name() != "Anna" {
			t.Errorf("called %s, and %s by others", p.ann.Name(), p.toAnn.Name())
		}
		p.close()
	})
}
