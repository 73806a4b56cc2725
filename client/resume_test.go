package client_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/client"
)

// pair is two members in a room, with a path and an open stream between them.
type pair struct {
	*world
	ann, bob     *person
	room, other  *client.Room
	toBob, toAnn *client.Peer
	out, in      *client.Conn // from ann to bob
}

func (w *world) pair(change ...func(*client.Config, *client.With)) *pair {
	w.t.Helper()
	p := &pair{world: w, ann: w.member("ann", change...), bob: w.member("bob")}
	p.room = p.ann.join("lobby", client.JoinOptions{Create: true, Size: 4})
	p.other = p.bob.join("lobby", client.JoinOptions{})
	p.toBob, p.toAnn = peer(w.t, p.room), peer(w.t, p.other)
	var err error
	if p.out, err = p.toBob.Open(w.t.Context(), "bulk"); err != nil {
		w.t.Fatal(err)
	}
	if p.in, err = p.toAnn.Accept(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if _, err = p.toAnn.Connected(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// flows holds that the stream still carries bytes.
func (p *pair) flows() {
	p.t.Helper()
	buf := make([]byte, 2)
	if _, err := io.WriteString(p.out, "go"); err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.ReadFull(p.in, buf); err != nil || string(buf) != "go" {
		p.t.Fatalf("read %q, %v", buf, err)
	}
}

func (p *pair) close() {
	p.ann.Close()
	p.bob.Close()
	if n := p.links.Open(); n != 0 {
		p.t.Errorf("%d links are left", n)
	}
}

// TestReplay: what was said while the connection was lost arrives once and in order, both ways, and streams go on meanwhile.
func TestReplay(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		p := w.pair()
		id, made := p.ann.ID(), w.links.Made()
		w.lose("ann", true)
		if e := expect[client.Disconnected](p.ann); client.CodeOf(e.Err) != client.CodeOffline {
			t.Error(e.Err)
		}
		expect[client.PeerAway](p.bob)
		if !p.toAnn.Away() {
			t.Error("bob does not see that ann is away")
		}
		for n := range 100 {
			if err := p.other.SayTopic(t.Context(), "count", n); err != nil {
				t.Fatal(err)
			}
		}
		said := make(chan error, 1)
		go func() { said <- p.room.Say(t.Context(), "still here", p.toBob) }()
		p.flows()
		w.lose("ann", false)
		if e := expect[client.Reconnected](p.ann); !e.Replayed || p.ann.ID() != id {
			t.Errorf("%+v, now %s", e, p.ann.ID())
		}
		for n := range 100 {
			if e := expect[client.Data](p.ann); e.Topic != "count" || string(e.Data) != fmt.Sprint(n) || e.Peer != p.toBob {
				t.Fatalf("got %s %s, want %d", e.Topic, e.Data, n)
			}
		}
		if err := <-said; err != nil {
			t.Error(err)
		}
		expect[client.PeerBack](p.bob)
		if e := expect[client.Data](p.bob); string(e.Data) != `"still here"` {
			t.Errorf("bob heard %s", e.Data)
		}
		p.flows()
		if w.links.Made() != made {
			t.Error("another link was made")
		}
		p.close()
	})
}

// TestRestart: another process of the server has the rooms as they were, what was asked before has its answer, and streams go on.
func TestRestart(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		p := w.pair()
		id, made := p.ann.ID(), w.links.Made()
		w.stop()
		expect[client.Disconnected](p.ann)
		asked := make(chan error, 1)
		go func() { asked <- p.room.Say(t.Context(), "over the restart") }()
		p.flows()
		w.begin()
		if e := expect[client.Reconnected](p.ann); e.Replayed || p.ann.ID() != id {
			t.Errorf("%+v, now %s", e, p.ann.ID())
		}
		if err := <-asked; err != nil {
			t.Error(err)
		}
		expect[client.Reconnected](p.bob)
		synctest.Wait()
		time.Sleep(2 * window)
		if len(p.room.Peers()) != 1 || len(p.other.Peers()) != 1 || p.toBob.Away() || p.toAnn.Away() {
			t.Errorf("ann sees %d, bob %d", len(p.room.Peers()), len(p.other.Peers()))
		}
		p.flows()
		if w.links.Made() != made {
			t.Error("another link was made")
		}
		p.close()
	})
}

// TestRestartWithoutThePeer: a peer that does not come back after a restart has left, once the window is over, if no path reaches it.
func TestRestartWithoutThePeer(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		p := w.pair()
		w.lose("bob", true)
		w.restart()
		expect[client.Reconnected](p.ann)
		time.Sleep(2 * window)
		if !p.toBob.Away() || len(p.room.Peers()) != 1 {
			t.Error("a peer whose link works is not there")
		}
		p.flows()
		w.links.Down(true)
		if e := expect[client.PeerLeft](p.ann); e.Peer != p.toBob || e.Reason != "gone" {
			t.Errorf("%s left: %s", e.Peer.Name(), e.Reason)
		}
		w.links.Down(false)
		w.lose("bob", false)
		p.close()
	})
}

// TestAnew: after an outage longer than the server keeps a session, another session of the same user joins the rooms again. A stream
// that was open goes on by its former link, and new ones go by the next.
func TestAnew(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		p := w.pair()
		id := p.ann.ID()
		w.lose("ann", true)
		expect[client.PeerAway](p.bob)
		for range 20 {
			time.Sleep(window / 5)
			p.flows()
		}
		w.lose("ann", false)
		if e := expect[client.Reconnected](p.ann); e.Replayed || p.ann.ID() == id || p.ann.User() != "turnpike:ann" {
			t.Errorf("%+v, now %s", e, p.ann.ID())
		}
		if e := expect[client.PeerBack](p.bob); !e.Fresh || e.Peer != p.toAnn || p.toAnn.ID() != p.ann.ID() {
			t.Errorf("%+v", e)
		}
		expect[client.PathChanged](p.ann) // of the next link
		p.flows()
		next, err := p.toBob.Open(t.Context(), "next")
		if err != nil {
			t.Fatal(err)
		}
		in, err := p.toAnn.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said(t, next, in, "by the next link")
		p.flows()
		synctest.Wait()
		if n := w.links.Open(); n != 4 {
			t.Errorf("%d links, want the former ones too", n)
		}
		p.out.Close()
		p.in.Close()
		synctest.Wait()
		if n := w.links.Open(); n != 2 {
			t.Errorf("%d links, after the last stream of the former ones", n)
		}
		p.close()
	})
}

// TestPathLost: a path that is lost is looked for again until it is there.
func TestPathLost(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		p := w.pair()
		expect[client.PathChanged](p.ann)
		w.links.Down(true)
		if e := expect[client.PathChanged](p.ann); e.Path != (client.Path{}) {
			t.Errorf("the path is %v", e.Path)
		}
		time.Sleep(time.Minute)
		w.links.Down(false)
		if e := expect[client.PathChanged](p.ann); e.Path == (client.Path{}) {
			t.Error("there is no path")
		}
		p.flows()
		p.close()
	})
}

// TestNetworkChanged: when the network has changed, the session connects anew at once, and links look for other paths.
func TestNetworkChanged(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		change := make(chan struct{})
		p := w.pair(func(_ *client.Config, with *client.With) {
			with.Watch = func(ctx context.Context, changed func()) {
				select {
				case <-change:
					changed()
				case <-ctx.Done():
				}
			}
		})
		offers := w.links.Offers()
		began := time.Now()
		close(change)
		expect[client.Disconnected](p.ann)
		if e := expect[client.Reconnected](p.ann); !e.Replayed {
			t.Error("messages were lost")
		}
		synctest.Wait()
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if w.links.Offers() == offers {
			t.Error("no link was restarted")
		}
		p.flows()
		p.close()
	})
}

// TestLinkDies: a link that ends by itself is made again.
func TestLinkDies(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		p := w.pair()
		w.links.Break()
		if _, err := io.ReadAll(p.in); err == nil {
			t.Error("the stream ended in order")
		}
		out, err := p.toBob.Open(t.Context(), "again")
		if err != nil {
			t.Fatal(err)
		}
		in, err := p.other.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said(t, out, in, "by another link")
		p.close()
	})
}
