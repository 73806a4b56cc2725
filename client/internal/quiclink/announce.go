package quiclink

import (
	"time"

	"example.org/turnpike/client/internal/link"
)

// announced is what the program knows of the path.
type announced struct {
	path  link.Path
	since time.Time // When there was a path that the program has not heard of.
}

// hold is how long the first path waits for a better one, before the program hears of it. Data does not wait.
const hold = 250 * time.Millisecond

// settles is how long QUIC's round-trip time still speaks of the former path.
const settles = 2 * time.Second

// pathChanged hears of a change from the Path.
func (l *Link) pathChanged() {
	l.mu.Lock()
	l.moved = time.Now()
	l.mu.Unlock()
	l.inbox.put(l.announce)
	signal(l.kick)
}

// Path returns the path in use.
func (l *Link) Path() (link.Path, bool) {
	p, up := l.path.Current()
	l.mu.Lock()
	var first *conn
	if len(l.conns) > 0 {
		first = l.conns[0]
	}
	moved, closed := l.moved, l.closed
	l.mu.Unlock()
	if !up || first == nil || closed {
		return link.Path{}, false
	}
	p.Transport = link.QUIC
	if rtt := first.q.ConnectionStats().SmoothedRTT; rtt > 0 && (p.RTT == 0 || time.Since(moved) > settles) {
		p.RTT = rtt
	}
	return p, true
}

// announce tells the program of another path.
func (l *Link) announce() {
	p, up := l.Path()
	key := p
	key.RTT = 0
	if key == l.told.path {
		return
	}
	if up && l.told.path == (link.Path{}) && !l.path.Settled() {
		if l.told.since.IsZero() {
			l.told.since = time.Now()
			l.tasks.Run(func() { l.announceLater(hold) })
			return
		}
		if time.Since(l.told.since) < hold {
			return
		}
	}
	l.told = announced{path: key}
	if l.config.OnPath != nil {
		l.config.OnPath(p)
	}
}

func (l *Link) announceLater(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		l.inbox.put(l.announce)
	case <-l.done:
	}
}
