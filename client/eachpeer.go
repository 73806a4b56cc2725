package client

import (
	"context"
	"maps"
	"sync"
	"time"
)

// restAfter is how long EachPeer leaves a peer alone whose do has returned, unless its link changes before.
const restAfter = time.Second

// EachPeer runs do, in a goroutine of its own, for everybody who is in the room or comes: until ctx ends or the room was left, which the
// error says. It waits for all of them. When do returns although the peer is still there, do runs again, once the peer can be reached, and
// after a second at the earliest if its link is the same.
func (r *Room) EachPeer(ctx context.Context, do func(*Peer)) error {
	var running sync.WaitGroup
	defer running.Wait()
	met := map[*Peer]bool{}
	for {
		peer, err := r.WaitPeer(ctx, func(p *Peer) bool { return !met[p] })
		if err != nil {
			return err
		}
		maps.DeleteFunc(met, func(p *Peer, _ bool) bool { return locked(p.s, &p.reason) != "" })
		met[peer] = true
		running.Go(func() {
			for peer.reachable(ctx) {
				changed := locked(peer.s, &peer.changed)
				do(peer)
				peer.rest(ctx, changed)
			}
		})
	}
}

// reachable waits until there is a link, or one is coming. It reports false if the peer leaves before that, or ctx ends.
func (p *Peer) reachable(ctx context.Context) bool {
	for {
		p.s.mu.Lock()
		gone, failed, changed := p.reason != "", p.linkErr != nil, p.changed
		p.s.mu.Unlock()
		switch {
		case gone || ctx.Err() != nil:
			return false
		case !failed:
			return true
		}
		if p.wait(ctx, changed) != nil {
			return false
		}
	}
}

// rest waits a moment, or until the link has changed.
func (p *Peer) rest(ctx context.Context, changed <-chan struct{}) {
	timer := time.NewTimer(restAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-p.gone:
	case <-ctx.Done():
	}
}
