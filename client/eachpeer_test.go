package client_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/client"
	"example.org/turnpike/client/internal/link"
)

// TestEachPeer: a peer that could not be reached at first is served once it can be, everybody is served once at a time, and nobody any
// more after the end.
func TestEachPeer(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		var broken atomic.Bool
		broken.Store(true)
		p := &pair{world: w, bob: w.member("bob")}
		p.ann = w.member("ann", func(_ *client.Config, with *client.With) {
			with.QUIC = func(c link.Config) (link.Link, error) {
				if broken.Load() {
					return nil, errors.New("too many open files")
				}
				return w.links.New(c)
			}
		})
		room := p.ann.join("lobby", client.JoinOptions{Create: true, Size: 4})
		p.bob.join("lobby", client.JoinOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var running, began atomic.Int32
		over := make(chan error)
		go func() {
			over <- room.EachPeer(ctx, func(peer *client.Peer) {
				if running.Add(1) > 1 {
					t.Error("a peer is served twice at once")
				}
				defer running.Add(-1)
				began.Add(1)
				_, _ = peer.ReceiveDatagram(ctx)
			})
		}()
		synctest.Wait()
		if n := running.Load(); n != 0 || began.Load() > 1 {
			t.Errorf("a peer to whom no link can be made is served %d times", began.Load())
		}
		broken.Store(false)
		w.lose("ann", true)
		time.Sleep(3 * window)
		w.lose("ann", false)
		expect[client.Reconnected](p.ann)
		synctest.Wait()
		if running.Load() != 1 {
			t.Error("the peer that can be reached now is not served")
		}
		cancel()
		if err := <-over; !errors.Is(err, context.Canceled) || running.Load() != 0 {
			t.Errorf("%v, and %d still run", err, running.Load())
		}
	})
}

// TestEachPeerRests: a do that returns at once on a link that works does not run in a loop without a pause.
func TestEachPeerRests(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		p := w.pair()
		defer p.close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var began atomic.Int32
		over := make(chan error)
		go func() {
			over <- p.room.EachPeer(ctx, func(*client.Peer) { began.Add(1) })
		}()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := began.Load(); n < 5 || n > 15 {
			t.Errorf("do ran %d times within 10 s", n)
		}
		cancel()
		<-over
	})
}
