package client_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
	"example.org/turnpike/client/internal/signaling"
	"example.org/turnpike/signal"
	"example.org/turnpike/signal/wire"
)

// host is a raw client of signaling with host powers: it lets others in, and throws them out.
type host struct {
	*signaling.Signaling
	world  *world
	knocks chan wire.Peer
	joined chan wire.Peer
}

func (w *world) host(room string, join wire.Join) *host {
	w.t.Helper()
	h := &host{world: w, knocks: make(chan wire.Peer, 10), joined: make(chan wire.Peer, 10)}
	h.Signaling = signaling.New(signaling.Config{Dial: w.dialer("host"), Handler: h,
		Ticket: func(context.Context, bool) (string, error) { return ticket("host", auth.RoleMember), nil }})
	if err := h.Open(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { h.Close() })
	join.Room, join.Create = room, true
	h.do(&join)
	return h
}

func (h *host) do(m wire.ClientMessage) {
	h.world.t.Helper()
	if _, err := h.Request(h.world.t.Context(), m); err != nil {
		h.world.t.Fatal(err)
	}
}

func (h *host) Welcome(*wire.Welcome, signaling.How) {}
func (h *host) Online(signaling.How)                 {}
func (h *host) Lost(*signaling.Error)                {}
func (h *host) Needed() bool                         { return false }
func (h *host) Dropped()                             {}
func (h *host) Expiring(time.Duration)               {}

func (h *host) Message(m wire.Message) {
	switch m := m.(type) {
	case *wire.Knock:
		h.knocks <- m.Peer
	case *wire.PeerJoined:
		h.joined <- m.Peer
	}
}

// TestWaitingRoom: Join waits until somebody lets us in, also over a lost session, and ends with what became of it.
func TestWaitingRoom(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		h := w.host("club", wire.Join{Size: 4, Waiting: true})
		ann := w.member("ann")
		type result struct {
			room *client.Room
			err  error
		}
		join := func(ctx context.Context) chan result {
			c := make(chan result, 1)
			go func() {
				r, err := ann.Join(ctx, "club", client.JoinOptions{})
				c <- result{r, err}
			}()
			return c
		}
		refused := join(t.Context())
		h.do(&wire.Refuse{Room: "club", Session: (<-h.knocks).Session})
		if r := <-refused; r.room != nil || client.CodeOf(r.err) != "refused" {
			t.Errorf("%+v", r)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		given := join(ctx)
		<-h.knocks
		if r := <-given; !errors.Is(r.err, context.DeadlineExceeded) {
			t.Errorf("%+v", r)
		}
		synctest.Wait()

		admitted := join(t.Context())
		<-h.knocks
		w.lose("ann", true)
		time.Sleep(3 * window)
		w.lose("ann", false)
		knock := <-h.knocks // of the session that followed
		if knock.Session != ann.ID() {
			t.Errorf("%s knocks", knock.Session)
		}
		h.do(&wire.Admit{Room: "club", Session: knock.Session})
		if r := <-admitted; r.err != nil || r.room.ID() != "club" {
			t.Errorf("%+v", r)
		}

		h.do(&wire.Kick{Room: "club", Session: ann.ID()})
		if e := expect[client.RoomLeft](ann); e.Reason != "kicked" || ann.Room("club") != nil {
			t.Errorf("%+v", e)
		}
		if _, err := ann.Join(t.Context(), "club", client.JoinOptions{}); client.CodeOf(err) != "kicked" {
			t.Errorf("after a kick: %v", err)
		}
	})
}

// TestJoinsOfOneRoom: what ends one Join of a room ends no other one.
func TestJoinsOfOneRoom(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		h := w.host("club", wire.Join{Size: 4, Waiting: true})
		ann := w.member("ann")
		join := func(ctx context.Context) chan error {
			c := make(chan error, 1)
			go func() {
				_, err := ann.Join(ctx, "club", client.JoinOptions{})
				c <- err
			}()
			synctest.Wait()
			return c
		}
		short, cancel := context.WithCancel(t.Context())
		first, second := join(short), join(t.Context())
		if e := expect[client.Waiting](ann); e.Room != "club" {
			t.Errorf("%+v", e)
		}
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the one whose context has ended: %v", err)
		}
		synctest.Wait()
		select {
		case err := <-second:
			t.Fatalf("the other one has ended, too: %v", err)
		default:
		}

		// One gives up without a connection. Its answer comes when the other one has got the room.
		w.lose("ann", true)
		short, cancel = context.WithCancel(t.Context())
		third := join(short)
		cancel()
		<-third
		w.lose("ann", false)
		expect[client.Reconnected](ann)
		h.do(&wire.Admit{Room: "club", Session: ann.ID()})
		if err := <-second; err != nil {
			t.Errorf("the one that was let in: %v", err)
		}
		synctest.Wait()
		if r := ann.Room("club"); r == nil {
			t.Error("the Join that gave up has left the room of the other one")
		}
		if _, members, _ := w.srv.FindRoom("club"); len(members) != 2 {
			t.Errorf("%d are in the room", len(members))
		}
	})
}

// TestJoinFails: what keeps us out has its code, and a join that nobody waits for any more leaves nobody in.
func TestJoinFails(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		h := w.host("small", wire.Join{Size: 2})
		ann, bob := w.member("ann"), w.member("bob")
		if _, err := ann.Join(t.Context(), "nowhere", client.JoinOptions{}); client.CodeOf(err) != "not-existing" {
			t.Errorf("a room that is not there: %v", err)
		}
		if _, err := ann.Join(t.Context(), "-", client.JoinOptions{Create: true}); client.CodeOf(err) != "bad-message" {
			t.Errorf("no name of a room: %v", err)
		}
		room := bob.join("small", client.JoinOptions{})
		<-h.joined
		if _, err := ann.Join(t.Context(), "small", client.JoinOptions{}); client.CodeOf(err) != "full" {
			t.Errorf("a full room: %v", err)
		}
		w.lose("bob", true) // the server gives up the seat of bob, who is away
		time.Sleep(5 * time.Second)
		if _, err := ann.Join(t.Context(), "small", client.JoinOptions{}); err != nil {
			t.Errorf("a room with somebody who is gone: %v", err)
		}
		w.lose("bob", false)
		if e := expect[client.RoomLeft](bob); e.Room != room || e.Reason != "full" {
			t.Errorf("%+v", e)
		}
		if _, err := room.Accept(t.Context()); client.CodeOf(err) != client.CodeLeft {
			t.Errorf("a stream of a room that was left: %v", err)
		}
		<-h.joined

		w.lose("ann", true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := ann.Join(ctx, "late", client.JoinOptions{Create: true}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a connection: %v", err)
		}
		w.lose("ann", false)
		expect[client.Reconnected](ann)
		synctest.Wait()
		if _, members, _ := w.srv.FindRoom("late"); len(members) > 0 || ann.Room("late") != nil {
			t.Error("it is in a room that nobody waited for")
		}
		small := ann.Room("small")
		if err := small.Leave(t.Context()); err != nil || small.Leave(t.Context()) != nil {
			t.Error(err)
		}
		if _, err := small.WaitPeer(t.Context(), nil); client.CodeOf(err) != client.CodeLeft {
			t.Errorf("a peer of a room that was left: %v", err)
		}
	})
}

// TestSay: what is said by way of the server reaches those for whom it is meant, and those alone.
func TestSay(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		p := w.pair()
		cleo := w.member("cleo", func(_ *client.Config, with *client.With) { with.QUIC = nil })
		cleo.join("lobby", client.JoinOptions{})
		toCleo, err := p.room.WaitPeer(t.Context(), func(p *client.Peer) bool { return p.Name() == "cleo" })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := toCleo.Open(t.Context(), "x"); client.CodeOf(err) != client.CodeNoTransport {
			t.Errorf("a stream to a peer that has no transport: %v", err)
		}
		if err := p.room.SayTopic(t.Context(), "game", []any{"e4", nil}, toCleo); err != nil {
			t.Fatal(err)
		}
		if err := p.room.Say(t.Context(), "to all"); err != nil {
			t.Fatal(err)
		}
		if e := expect[client.Data](cleo); e.Topic != "game" || string(e.Data) != `["e4",null]` || e.Peer.ID() != p.ann.ID() {
			t.Errorf("%+v", e)
		}
		for _, q := range []*person{cleo, p.bob} {
			if e := expect[client.Data](q); e.Topic != "" || string(e.Data) != `"to all"` {
				t.Errorf("%+v", e)
			}
		}
		if err := p.room.Say(t.Context(), make(chan int)); err == nil {
			t.Error("a Go channel is no JSON")
		}
		if err := p.room.Say(t.Context(), make([]int, 10000)); client.CodeOf(err) != client.CodeTooLong {
			t.Errorf("much data: %v", err)
		}
		cleo.Close()
		<-toCleo.Gone()
		if err := p.room.Say(t.Context(), "too late", toCleo); client.CodeOf(err) != client.CodeMissed {
			t.Errorf("to one who has left: %v", err)
		}
		p.close()
	})
}

// TestRefresh: a session that may not become older gets a fresh ticket in time. One without GetTicket learns that it ends, and goes on
// as another session if its ticket still admits it.
func TestRefresh(t *testing.T) {
	age := func(cfg *signal.Config) { cfg.MaxSession = map[string]time.Duration{auth.Issuer: time.Hour} }
	inTheBubble(t, age, func(t *testing.T, w *world) {
		var gets atomic.Int32
		ann := w.member("ann", func(c *client.Config, _ *client.With) {
			text := c.Ticket
			c.Ticket, c.GetTicket = "", func(context.Context) (string, error) {
				if gets.Add(1)%3 == 0 {
					return "", errors.New("the backend is down")
				}
				return text, nil
			}
		})
		id := ann.ID()
		bob := w.member("bob")
		time.Sleep(50 * time.Minute)
		if e := expect[client.Expiring](bob); e.In != 15*time.Minute {
			t.Errorf("%+v", e)
		}
		time.Sleep(5 * time.Hour)
		if ann.ID() != id || ann.Err() != nil || gets.Load() < 6 {
			t.Errorf("ann is another session, after %d tickets", gets.Load())
		}
		if e := expect[client.Reconnected](bob); e.Replayed {
			t.Errorf("%+v", e)
		}
	})
}

// TestEnded: a session that the server ends for good does not come back, and says why. A user who is let in no more ends too, unless a
// link still works.
func TestEnded(t *testing.T) {
	var revoked atomic.Bool
	inTheBubble(t, func(cfg *signal.Config) {
		cfg.Revoked = func(auth.Ticket) bool { return revoked.Load() }
		cfg.VerifyTicket = func(token string) (auth.Ticket, error) {
			if revoked.Load() {
				return auth.Ticket{}, auth.ErrUnauthorized
			}
			return verifyTicket(token)
		}
	}, func(t *testing.T, w *world) {
		p := w.pair()
		cleo := w.member("cleo")
		cleo.join("alone", client.JoinOptions{Create: true})
		w.srv.EndUser("turnpike:cleo", func(auth.Ticket) bool { return true })
		if e := expect[client.Ended](cleo); client.CodeOf(e.Err) != client.CodeEnded || client.CodeOf(cleo.Err()) != client.CodeEnded {
			t.Errorf("%v", e.Err)
		}
		<-cleo.Done()
		if _, err := cleo.Join(t.Context(), "x", client.JoinOptions{}); client.CodeOf(err) != client.CodeEnded {
			t.Errorf("after the end: %v", err)
		}
		if err := cleo.Close(); err != nil {
			t.Error(err)
		}

		dora := w.member("dora")
		w.lose("ann", true)
		w.lose("dora", true)
		time.Sleep(3 * window)
		revoked.Store(true)
		w.lose("ann", false)
		w.lose("dora", false)
		if e := expect[client.Ended](dora); client.CodeOf(e.Err) != "unauthorized" {
			t.Errorf("%v", e.Err)
		}
		time.Sleep(5 * time.Minute)
		p.flows() // ann has a link that works
		revoked.Store(false)
		if e := expect[client.Reconnected](p.ann); e.Replayed {
			t.Errorf("%+v", e)
		}
		p.flows()
		p.close()
	})
}
