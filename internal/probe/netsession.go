package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

// netSession is a session of signaling. It outlives a run, so that a check that repeats itself does not come online again each time.
type netSession struct {
	servers []wire.ICEServer
	since   time.Time
	socket  *websocket.Conn
	pongs   <-chan struct{}
	gone    <-chan struct{} // closed once the connection has broken
	signOut func()
}

// pongPatience is how long a live connection takes to answer, at most.
const pongPatience = 2 * time.Second

// alive reports whether the server still answers. A machine that has come into another network does not learn otherwise that its
// connection is dead, and that the server has ended the session.
func (s *netSession) alive(ctx context.Context, timeout time.Duration) bool {
	if time.Since(s.since) > sessionUse {
		return false
	}
	timeout = min(timeout, pongPatience)
	if s.socket.WriteControl(websocket.PingMessage, nil, time.Now().Add(timeout)) != nil {
		return false
	}
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case <-s.pongs:
		return true
	case <-s.gone:
	case <-wait.Done():
	}
	return false
}

// sessionUse is how long the credentials of a session count as fresh. The server's default is an hour.
const sessionUse = 15 * time.Minute

// signedIn returns the ICE servers of a session.
func (c *NetworkCheck) signedIn(ctx context.Context) ([]wire.ICEServer, error) {
	if c.session != nil {
		if c.session.alive(ctx, c.Timeout) {
			return c.session.servers, nil
		}
		c.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	dial := new(net.Dialer).DialContext
	r := &run{Server: &Server{Base: c.Base, Dial: dial, Invite: c.Invite}}
	r.web = web{c.Base, &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dial, DisableKeepAlives: true}}}
	ticket := c.Ticket
	if c.GetTicket != nil {
		var err error
		if ticket, err = c.GetTicket(); err != nil {
			return nil, err
		}
	}
	for _, token := range []string{ticket, c.ticket} {
		if token == "" {
			continue
		}
		err := c.signIn(ctx, r, token)
		if err == nil {
			return c.session.servers, nil
		}
		if token == ticket {
			return nil, err
		}
		c.ticket = "" // it has expired, most likely
	}
	token, err := r.getTicket(ctx, new(Finding))
	switch {
	case errors.Is(err, errNeedsInvite):
		return nil, &untried{"the server lets nobody in without an invite; pass one with --invite-file"}
	case err != nil && c.Invite != "":
		return nil, fmt.Errorf("the server refuses the invite: %w", err)
	case err != nil:
		return nil, err
	}
	if err := c.signIn(ctx, r, token); err != nil {
		return nil, err
	}
	c.ticket = token
	return c.session.servers, nil
}

func (c *NetworkCheck) signIn(ctx context.Context, r *run, token string) error {
	socket, servers, err := r.signIn(ctx, token, new(Finding))
	if err != nil {
		return err
	}
	pongs := make(chan struct{}, 1)
	socket.SetPongHandler(func(string) error {
		select {
		case pongs <- struct{}{}:
		default:
		}
		return nil
	})
	signOut, gone := keepSession(socket)
	c.session = &netSession{servers, time.Now(), socket, pongs, gone, signOut}
	return nil
}
