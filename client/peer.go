package client

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// Path is the way that packets take at this moment. Its String is such as "direct udp 198.51.100.7:5678, 12 ms".
type Path = link.Path

// The values of Path's Transport.
const (
	QUIC   = link.QUIC
	WebRTC = link.WebRTC
)

// Peer is another session in a room. It stays the same Peer when it comes back after a long outage.
type Peer struct {
	// Static after construction.
	s        *Session
	room     *Room
	accepted chan *Conn    // nothing waits in it
	gone     chan struct{} // closed when the peer has left

	// Guarded by Session.mu.
	info    wire.Peer
	isAway  bool
	orphan  bool      // its session is over while its link works
	link    *liveLink // nil: there is none; it may be coming
	formers []*liveLink
	ending  int       // links that were given up and have not ended
	anew    link.Rate // of links that are made because the peer has another one
	linkErr error     // why there is no link, and none is coming
	changed chan struct{}
	reason  string
	awaited *time.Timer // until it fires, the peer may come back after a restart of the server
}

func newPeer(r *Room, info wire.Peer) *Peer {
	return &Peer{s: r.s, room: r, info: info, isAway: info.Away, accepted: make(chan *Conn),
		gone: make(chan struct{}), changed: make(chan struct{}), anew: link.NewConnections()}
}

// ID is the peer's session of this moment.
func (p *Peer) ID() string { return locked(p.s, &p.info.Session) }

// User identifies the peer's user.
func (p *Peer) User() string { return locked(p.s, &p.info.User) }

// Name is what the peer calls itself. It identifies nobody.
func (p *Peer) Name() string { return locked(p.s, &p.info.Name) }

// Away reports whether the server cannot reach the peer. Streams may go on.
func (p *Peer) Away() bool { return locked(p.s, &p.isAway) }

// Room is the room that we share.
func (p *Peer) Room() *Room { return p.room }

// Gone is closed when the peer has left the room, or we have.
func (p *Peer) Gone() <-chan struct{} { return p.gone }

// Path returns the path in use, with its present RTT, and false while there is none.
func (p *Peer) Path() (Path, bool) {
	l, _, err := p.current()
	if l == nil || err != nil {
		return Path{}, false
	}
	return l.link.Path()
}

// Connected waits for a path, and returns it.
func (p *Peer) Connected(ctx context.Context) (Path, error) {
	for {
		l, changed, err := p.current()
		if err != nil {
			return Path{}, err
		}
		if l != nil {
			if path, ok := l.link.Path(); ok {
				return path, nil
			}
		}
		if err := p.wait(ctx, changed); err != nil {
			return Path{}, err
		}
	}
}

// Open opens a stream to the peer. It waits for the path, until ctx ends. name is 1 to 64 bytes of UTF-8 that do not begin with
// "turnpike.". It tells the other side what the stream is for.
func (p *Peer) Open(ctx context.Context, name string) (*Conn, error) {
	if name == "" || len(name) > link.MaxName || !utf8.ValidString(name) || strings.HasPrefix(name, link.ReservedName) {
		return nil, &Error{Code: CodeBadMessage,
			Message: fmt.Sprintf("The name of a stream has 1 to %d bytes of UTF-8, and does not begin with %q.", link.MaxName, link.ReservedName)}
	}
	return withLink(ctx, p, func(l *liveLink) (*Conn, error) {
		stream, err := l.link.Open(ctx, name)
		if err != nil {
			return nil, err
		}
		return l.conn(stream), nil
	})
}

// Accept returns the next stream that the peer opens. Each stream goes to one caller, of this or of [Room.Accept].
func (p *Peer) Accept(ctx context.Context) (*Conn, error) {
	for {
		_, changed, err := p.current()
		if err != nil {
			return nil, err
		}
		select {
		case c := <-p.accepted:
			return c, nil
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// SendDatagram sends one datagram, which may be lost. It fails without a path, and for one that is longer than the path takes. It waits
// while 32 before it are on their way, which they stay where a path is lost.
func (p *Peer) SendDatagram(data []byte) error {
	l, _, err := p.current()
	if err != nil {
		return err
	}
	if l == nil {
		return &Error{Code: CodeOffline, Message: "There is no path to the peer yet.", Retryable: true}
	}
	return l.link.SendDatagram(data)
}

// ReceiveDatagram returns the next datagram. Those that come while 128 wait are dropped.
func (p *Peer) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	return withLink(ctx, p, func(l *liveLink) ([]byte, error) { return l.link.ReceiveDatagram(ctx) })
}

// withLink does something with the link. If the link is replaced meanwhile, it does it again with the next one.
func withLink[T any](ctx context.Context, p *Peer, do func(*liveLink) (T, error)) (none T, err error) {
	for {
		l, changed, err := p.current()
		if err != nil {
			return none, err
		}
		if l != nil {
			result, err := do(l)
			if err == nil {
				return result, nil
			}
			if ctx.Err() != nil {
				return none, ctx.Err()
			}
			if _, ok := l.link.Path(); ok && !l.isOver() {
				return none, err
			}
			if now, _, _ := p.current(); now != l {
				continue
			}
		}
		if err := p.wait(ctx, changed); err != nil {
			return none, err
		}
	}
}

// current returns the link that is made, nil if it is coming, and what is closed when that changes. err says that there is
// none, and that none is coming.
func (p *Peer) current() (l *liveLink, changed <-chan struct{}, err error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	switch {
	case p.reason != "":
		return nil, nil, errGone(p.reason)
	case p.linkErr != nil:
		return nil, nil, p.linkErr
	case p.link == nil || p.link.link == nil:
		return nil, p.changed, nil
	}
	return p.link, p.changed, nil
}

func (p *Peer) wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The methods below need Session.mu.

// tell wakes those who wait for the link, or for its path.
func (p *Peer) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Peer) setAway() {
	if p.isAway {
		return
	}
	p.isAway = true
	p.s.events.post(PeerAway{p})
	p.room.tell()
}

func (p *Peer) isBack(fresh bool) {
	p.orphan = false
	if !p.isAway && !fresh {
		return
	}
	p.isAway = false
	p.s.events.post(PeerBack{p, fresh})
}

func (p *Peer) rename(name string) {
	if p.info.Name == name {
		return
	}
	p.info.Name = name
	p.s.events.post(Renamed{p, name})
	p.room.tell()
}

// await gives the peer some time to come back after a restart of the server.
func (p *Peer) await(patience time.Duration) {
	p.stopWaiting()
	p.setAway()
	var timer *time.Timer
	timer = time.AfterFunc(patience, func() {
		var fx effects
		p.s.mu.Lock()
		if p.awaited == timer {
			p.room.remove(p.info.Session, wire.ReasonGone, &fx)
		}
		p.s.mu.Unlock()
		fx.run()
	})
	p.awaited = timer
}

func (p *Peer) stopWaiting() {
	if p.awaited != nil {
		p.awaited.Stop()
		p.awaited = nil
	}
}

// renew meets the peer anew: its session is another one, ours is, or it has lost everything. Streams of the former link go on, if
// keeps is set, until it has no path any more.
func (p *Peer) renew(info wire.Peer, offers, keeps bool, fx *effects) {
	if info.Session != p.info.Session {
		delete(p.room.peers, p.info.Session)
		p.room.peers[info.Session] = p
	}
	name := info.Name
	info.Name = p.info.Name
	p.info = info
	p.rename(name)
	p.orphan = false
	p.retire(keeps, fx)
	p.connect(offers, fx)
}

// recover restarts a link that a restart of the server has harmed: its relays are gone, and so are the messages that were not
// yet forwarded.
func (p *Peer) recover(fx *effects) {
	if l := p.link; l != nil && (l.path == Path{} || l.path.Relayed) {
		fx.add(l.restart)
	}
}

// leave ends what we have with the peer.
func (p *Peer) leave(reason string, fx *effects) {
	p.reason = reason
	p.stopWaiting()
	p.retire(false, fx)
	for _, l := range p.formers {
		l.close()
	}
	p.formers = nil
	close(p.gone)
	p.tell()
}
