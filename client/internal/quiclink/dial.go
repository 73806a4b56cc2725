package quiclink

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"example.org/turnpike/client/internal/path"
)

// closedCode is the error code of a Link that was closed, unwantedCode that of a connection that nobody needs.
const (
	closedCode   quic.ApplicationErrorCode = 0
	unwantedCode quic.ApplicationErrorCode = 1
)

// quicConfig has windows that fill a fast path, and yet a bound for what one peer may have waiting here.
func quicConfig() *quic.Config {
	return &quic.Config{
		InitialStreamReceiveWindow:     2 << 20,
		MaxStreamReceiveWindow:         8 << 20,
		InitialConnectionReceiveWindow: 4 << 20,
		MaxConnectionReceiveWindow:     12 << 20,
		MaxIncomingStreams:             256,
		MaxIncomingUniStreams:          1,
		// Outages of half a minute are survived.
		MaxIdleTimeout:  75 * time.Second,
		KeepAlivePeriod: 10 * time.Second,
		EnableDatagrams: true,
		// What fits everywhere, also in a Send indication.
		InitialPacketSize:       1200,
		DisablePathMTUDiscovery: !path.DiscoverMTU,
	}
}

const (
	dialTimeout = 10 * time.Second
	// Waits between attempts that failed.
	firstRedial = 100 * time.Millisecond
	lastRedial  = 3 * time.Second
)

// dial keeps as many connections as there should be, on the active side.
func (l *Link) dial() {
	wait, began, made := firstRedial, time.Time{}, 0
	for {
		if !l.wants() {
			select {
			case <-l.kick:
				continue
			case <-l.done:
				return
			}
		}
		ctx, cancel := context.WithTimeout(l.ctx, dialTimeout)
		q, err := l.transport.Dial(ctx, path.Peer(), l.tls, quicConfig())
		cancel()
		if err == nil {
			l.add(q)
			if time.Since(began) >= lastRedial {
				began, made = time.Now(), 0
			}
			if made++; made < maxConns {
				wait = firstRedial
				continue
			}
			wait = lastRedial // The other side ends each at once.
		} else {
			l.config.Logger.Debug("the QUIC connection was not made", "error", err)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-l.done:
			t.Stop()
			return
		}
		wait = min(2*wait, lastRedial)
	}
}

// wants tells whether this side should dial now.
func (l *Link) wants() bool {
	_, up := l.path.Current()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !up || !l.peer.known || !l.peer.active || l.closed {
		return false
	}
	if l.opened > 1 {
		return len(l.conns) < bulkConns
	}
	return len(l.conns) == 0
}

// admit is asked before a connection of the other side costs memory. Its handshake may be a flood's.
func (l *Link) admit(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if l.admitted.Add(1) > maxIncoming {
		l.admitted.Add(-1)
		return nil, errors.New("the other side has begun too many connections")
	}
	context.AfterFunc(ctx, func() { l.admitted.Add(-1) })
	return ctx, nil
}

// listen takes the connections of the other side.
func (l *Link) listen() {
	for {
		q, err := l.listener.Accept(l.ctx)
		if err != nil {
			return
		}
		l.add(q)
	}
}

// add takes a connection in. The other side's Link may have been replaced since its handshake.
func (l *Link) add(q *quic.Conn) {
	c := newConn(l, q)
	l.mu.Lock()
	unwanted := len(l.conns) >= maxConns || l.ctx.Err() != nil || !l.peer.known || l.peer.fingerprint != c.peer
	if !unwanted {
		l.conns = append(l.conns, c)
		l.broadcast()
	}
	l.mu.Unlock()
	if unwanted {
		_ = q.CloseWithError(unwantedCode, "not needed")
		return
	}
	for _, f := range []func(){c.acceptStreams, c.receiveDatagrams, c.sendEnds, c.receiveEnds, func() { l.outlive(c) }} {
		l.tasks.Run(f)
	}
	l.inbox.put(l.announce)
}

// outlive waits for a connection's end.
func (l *Link) outlive(c *conn) {
	<-c.q.Context().Done()
	l.remove(c)
	cause := context.Cause(c.q.Context())
	var gone *quic.ApplicationError
	if errors.As(cause, &gone) && gone.Remote && gone.ErrorCode == closedCode {
		// The other side's Link has ended. Another one would say so, with its own certificate.
		l.mu.Lock()
		if l.peer.fingerprint == c.peer { // It may have done so already.
			l.peer.known = false
		}
		l.mu.Unlock()
	}
	l.config.Logger.Debug("a QUIC connection has ended", "cause", cause)
	l.inbox.put(l.announce)
	signal(l.kick)
}

func (l *Link) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.conns, c); i >= 0 {
		l.conns = slices.Delete(l.conns, i, i+1)
		l.broadcast()
	}
}
