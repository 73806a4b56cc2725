package client

import (
	"context"
	"maps"
	"sync"
)

// EachPeer runs do, in a goroutine of its own, for everybody who is in the room or comes: until ctx ends or the room was left, which the
// error says. It waits for all of them. When do returns although the peer is still there, do runs again, once the peer can be reached.
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
				do(peer)
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
