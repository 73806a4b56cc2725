// Package rtclink is a [link.Link] over WebRTC data channels: to a browser with the SDK of this project, or to a program that
// has no QUIC.
//
//	Receive, Restart ──▶ Link ──▶ negotiation ──▶ pion's PeerConnection
//	                      │           └ reduce, expand: pion hears of the data channels alone
//	                      └▶ carrier: the PeerConnection that works
//	                            ├ Stream: a data channel each
//	                            ├ chat: what pages say to each other on the channel 0
//	                            └ datagrams
//
// One goroutine owns the negotiations. What comes from elsewhere, pion's goroutines too, is a task for it.
package rtclink

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

const (
	// maxChannels bounds the data channels that are open at once on a connection.
	maxChannels = 512
	// maxAccepting streams wait for Accept; one more is reset.
	maxAccepting = 64
	// maxDatagrams wait for ReceiveDatagram; one more is dropped.
	maxDatagrams = 128
	// maxRetiring connections may have been given up and not yet ended. Until then the other side cannot begin anew.
	maxRetiring = 8
	// closing bounds the wait of Close for what was written.
	closing = 5 * time.Second
)

// Link is the connection to one room mate.
type Link struct {
	// Static after New.
	config    link.Config
	logger    *slog.Logger
	api       *webrtc.API
	identity  identity
	streams   *streamDialer
	done      chan struct{}
	wake      chan struct{}
	accepting chan *Stream
	datagrams chan []byte
	incoming  incoming     // locks itself
	channels  int          // that may be open at once on a connection
	retiring  atomic.Int32 // connections that were given up and have not ended
	work      sync.WaitGroup
	close     func() error

	// Owned by run.
	servers []webrtc.ICEServer
	current *negotiation // carries everything
	next    *negotiation // takes the place of current once it works
	anew    link.Rate    // of connections that the other side begins
	told    link.Path

	mu      sync.Mutex
	tasks   []func()
	waiting int // payloads among tasks
	restart bool
	closed  bool
	up      *carrier      // what works; nil: nothing does
	changed chan struct{} // closed at the next change of up
}

var _ link.Link = (*Link)(nil)

// New begins a connection to a room mate.
func New(config link.Config) (link.Link, error) {
	l, err := newLink(config, func(*webrtc.SettingEngine) {})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// newLink lets tests change pion's settings.
func newLink(config link.Config, tune func(*webrtc.SettingEngine)) (*Link, error) {
	logger := config.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	l := &Link{
		config: config, logger: logger, streams: newStreamDialer(config.TLS),
		channels: maxChannels, done: make(chan struct{}), wake: make(chan struct{}, 1), changed: make(chan struct{}),
		accepting: make(chan *Stream, maxAccepting), datagrams: make(chan []byte, maxDatagrams),
		servers: serversOf(config.ICEServers, logger), anew: link.NewConnections(),
	}
	l.streams.serve(l.servers)
	l.api = newAPI(logger, config.RelayOnly, l.streams, tune)
	l.incoming.take = config.OnMessage
	l.close = sync.OnceValue(l.shutDown)
	var err error
	if l.identity, err = newIdentity(); err != nil {
		l.streams.end()
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	if l.current, err = newNegotiation(l); err != nil {
		l.streams.end()
		return nil, fmt.Errorf("prepare WebRTC: %w", err)
	}
	l.post(func() {
		if config.Offers {
			l.current.makeOffer()
		}
	})
	l.work.Go(l.run)
	return l, nil
}

// Receive takes what the other side sent.
func (l *Link) Receive(p wire.Payload) {
	l.mu.Lock()
	full := l.waiting >= maxWaiting
	if !full {
		l.waiting++
	}
	l.mu.Unlock()
	if full {
		l.logger.Debug("dropped a signal: too many wait")
		return
	}
	l.post(func() {
		l.mu.Lock()
		l.waiting--
		l.mu.Unlock()
		l.receive(p)
	})
}

// Restart looks for paths anew.
func (l *Link) Restart() {
	l.mu.Lock()
	waits := l.restart
	l.restart = true
	l.mu.Unlock()
	if waits {
		return
	}
	l.post(func() {
		l.mu.Lock()
		l.restart = false
		l.mu.Unlock()
		l.restartNow()
	})
}

// SetICEServers replaces the ICE servers for what is gathered from now on.
func (l *Link) SetICEServers(servers []wire.ICEServer) {
	l.post(func() {
		l.servers = serversOf(servers, l.logger)
		l.streams.serve(l.servers)
		for _, n := range []*negotiation{l.current, l.next} {
			if n != nil {
				n.newServers = true
			}
		}
	})
}

// Accept returns the next stream that the other side opened.
func (l *Link) Accept(ctx context.Context) (link.Stream, error) {
	select {
	case s := <-l.accepting:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Open opens a stream, once there is a connection to open it on.
func (l *Link) Open(ctx context.Context, name string) (link.Stream, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	for {
		c, err := l.carrier(ctx)
		if err != nil {
			return nil, err
		}
		s, err := c.open(name)
		if err == nil || !c.isOver() {
			return s, err
		}
		// The connection was given up in the meantime: another one follows, or the link is closed.
		if err := l.wait(ctx, c); err != nil {
			return nil, err
		}
	}
}

// Path returns the path in use.
func (l *Link) Path() (link.Path, bool) {
	l.mu.Lock()
	c := l.up
	l.mu.Unlock()
	if c == nil {
		return link.Path{}, false
	}
	return pathOf(c.pc)
}

// Close ends the link.
func (l *Link) Close() error { return l.close() }

func (l *Link) shutDown() error {
	l.mu.Lock()
	up := l.up
	l.mu.Unlock()
	if up != nil {
		up.drain(closing)
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.done)
	l.streams.end()
	l.work.Wait()
	return nil
}

// carrier waits for a connection that works.
func (l *Link) carrier(ctx context.Context) (*carrier, error) {
	for {
		l.mu.Lock()
		up, changed := l.up, l.changed
		l.mu.Unlock()
		if up != nil {
			return up, nil
		}
		if err := l.waitFor(ctx, changed); err != nil {
			return nil, err
		}
	}
}

// wait waits until former is no more the connection in use.
func (l *Link) wait(ctx context.Context, former *carrier) error {
	l.mu.Lock()
	up, changed := l.up, l.changed
	l.mu.Unlock()
	if up != former {
		return nil
	}
	return l.waitFor(ctx, changed)
}

func (l *Link) waitFor(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return net.ErrClosed
	}
}

func (l *Link) setUp(c *carrier) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = c
	close(l.changed)
	l.changed = make(chan struct{})
}

// post has run do a task. It never blocks.
func (l *Link) post(task func()) {
	l.mu.Lock()
	l.tasks = append(l.tasks, task)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// spawn runs a function in a goroutine that Close waits for. It returns false once Close does not wait any more.
func (l *Link) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.work.Go(f)
	return true
}

func (l *Link) run() {
	for {
		select {
		case <-l.done:
			for _, n := range []*negotiation{l.current, l.next} {
				if n != nil {
					n.close()
				}
			}
			l.setUp(nil)
			return
		case <-l.wake:
		}
		l.mu.Lock()
		tasks := l.tasks
		l.tasks = nil
		l.mu.Unlock()
		for _, task := range tasks {
			task()
		}
	}
}

// newest is the negotiation that signals are for.
func (l *Link) newest() *negotiation {
	if l.next != nil {
		return l.next
	}
	return l.current
}

func (l *Link) receive(p wire.Payload) {
	d, candidates, err := parsePayload(p)
	if err != nil {
		l.logger.Debug("dropped a signal of the other side", "error", err)
		return
	}
	switch {
	case d == nil:
	case l.newest().isForeign(d) && d.To == "": // The other side has begun anew.
		if !l.anew.Allow(time.Now()) {
			l.logger.Warn("the other side begins anew more often than any page is loaded: one new connection is not followed")
			return
		}
		if !l.replace(func(n *negotiation) bool { return n.receive(d) }) {
			return
		}
	default:
		l.newest().receive(d)
	}
	l.newest().addCandidates(candidates)
}

// replace begins another connection, unless begin fails. The former one carries on until the new one works, if it works itself.
func (l *Link) replace(begin func(*negotiation) bool) bool {
	if l.retiring.Load() >= maxRetiring {
		l.logger.Debug("no new connection: too many have not ended")
		return false
	}
	n, err := newNegotiation(l)
	if err != nil {
		l.logger.Error("no new connection", "error", err)
		return false
	}
	former := l.next
	l.next = n // What it sends counts.
	if !begin(n) {
		l.next = former
		n.retire()
		return false
	}
	if former != nil {
		former.retire()
	}
	if !l.current.isUp {
		l.switchOver()
	}
	return true
}

// switchOver gives up the current connection for the next one.
func (l *Link) switchOver() {
	former := l.current
	l.current, l.next = l.next, nil
	former.retire()
	l.showPath()
}

func (l *Link) restartNow() {
	n := l.newest()
	if !n.isOver() {
		n.restart()
		return
	}
	// The other side has closed the connection. One that knows our names of connections takes another offer for a new one.
	if n.theirs != "" {
		l.replace((*negotiation).makeOffer)
	}
}

// showPath tells of another path. Another RTT alone is none.
func (l *Link) showPath() {
	path := link.Path{}
	if l.current.isUp && l.current.isConnected() {
		if p, ok := pathOf(l.current.carrier.pc); ok {
			path = p
		}
	}
	same := path
	same.RTT = l.told.RTT
	if same == l.told {
		return
	}
	l.told = path
	if l.config.OnPath != nil {
		l.config.OnPath(path)
	}
}
