package quiclink

import "sync"

// maxInbox bounds what of the other side waits to be worked off.
const maxInbox = 512

// inbox holds what the negotiation has to do, in order.
type inbox struct {
	wakes chan struct{}
	mu    sync.Mutex
	queue []func()
}

// put adds what comes of this side, which is bounded by itself.
func (b *inbox) put(f func()) {
	b.mu.Lock()
	b.queue = append(b.queue, f)
	b.mu.Unlock()
	signal(b.wakes)
}

// offer adds what comes of the other side, unless too much waits.
func (b *inbox) offer(f func()) bool {
	b.mu.Lock()
	full := len(b.queue) >= maxInbox
	if !full {
		b.queue = append(b.queue, f)
	}
	b.mu.Unlock()
	signal(b.wakes)
	return !full
}

func (b *inbox) take() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queue
	b.queue = nil
	return q
}
