package forward

import (
	"context"
	"errors"
	"net"
	"time"
)

// Client is the side that asks: it has the listeners of -L and -D, and takes the connections of -R.
type Client struct {
	// Ask asks the peer, once it has proved who it is.
	Ask Ask
	// Wait is how long a new connection waits for the peer and its answer.
	Wait time.Duration
	// Places bounds what is open at once.
	Places Places
	// Failed hears why something of a forward had no success. Nil: nobody does.
	Failed func(Spec, error)

	remotes remotes
	windows budget
	backlog backlog
}

// MaxOpen is a good bound for Places.
const MaxOpen = 512

// errNoAnswer is why a wait has ended.
var errNoAnswer = errors.New("the peer is away, or does not answer")

// waiting is a context for one wait.
func waiting(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, wait, errNoAnswer)
}

func (c *Client) failed(ctx context.Context, s Spec, err error) {
	if c.Failed != nil && ctx.Err() == nil {
		c.Failed(s, err)
	}
}

// ServeTCP carries every connection of a listener to s.To, until ctx ends.
func (c *Client) ServeTCP(ctx context.Context, listener net.Listener, s Spec) {
	eachConn(ctx, listener, c.Places, func(ctx context.Context, local net.Conn) {
		stream, err := c.to(ctx, TCPPrefix, s.To)
		if err != nil {
			ResetTCP(local)
			c.failed(ctx, s, err)
			return
		}
		Join(ctx, newWindow(stream, &c.windows), local)
	})
}

// to waits for a stream.
func (c *Client) to(ctx context.Context, prefix string, d Destination) (Stream, error) {
	asking, cancel := waiting(ctx, c.Wait)
	defer cancel()
	return c.Ask.to(asking, prefix, d)
}

// ServeUDP carries every datagram of a socket to s.To, and what comes back to where the first came from, until ctx ends.
func (c *Client) ServeUDP(ctx context.Context, socket *net.UDPConn, s Spec) {
	serveFlows(ctx, socket, c.Wait, &c.backlog, func(ctx context.Context) (Stream, error) { return c.Ask.to(ctx, UDPPrefix, s.To) },
		func(err error) { c.failed(ctx, s, err) })
}
