package rtclink

import (
	"sync"
	"time"
)

// deadline is a moment that can be moved, also while somebody waits for it.
type deadline struct {
	mu       sync.Mutex
	timer    *time.Timer
	over     chan struct{} // closed at that moment
	settings int           // so many were made; the timer of a former one does nothing
}

func newDeadline() *deadline { return &deadline{over: make(chan struct{})} }

// set moves the moment; the zero time is never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settings++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if isClosed(d.over) {
		d.over = make(chan struct{})
	}
	left := time.Until(t)
	switch number := d.settings; {
	case t.IsZero():
	case left <= 0:
		close(d.over)
	default:
		d.timer = time.AfterFunc(left, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if number == d.settings {
				close(d.over)
			}
		})
	}
}

// wait returns a channel that is closed when the moment comes, unless it is moved.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

func (d *deadline) isOver() bool { return isClosed(d.wait()) }
