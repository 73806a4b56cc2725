package client

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/client/internal/signaling"
	"example.org/turnpike/signal/wire"
)

// slowLink has a path, and ends once its gate is open.
type slowLink struct {
	quietLink
	gate <-chan struct{}
}

func (l *slowLink) Close() error {
	<-l.gate
	return l.quietLink.Close()
}

// crowd is a session in one room whose others want too much of it.
type crowd struct {
	*handler
	links []*slowLink
	gate  chan struct{} // closed: links end
}

func inACrowd(t *testing.T, test func(*crowd)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		c := &crowd{gate: make(chan struct{})}
		s := newSession(Config{}, setup{quic: func(cfg link.Config) (link.Link, error) {
			l := &slowLink{quietLink{cfg: cfg, closed: make(chan struct{})}, c.gate}
			c.links = append(c.links, l)
			cfg.OnPath(link.Path{Transport: link.QUIC})
			return l, nil
		}})
		c.handler = (*handler)(s)
		s.signaling = signaling.New(signaling.Config{Handler: c.handler})
		c.Welcome(&wire.Welcome{Session: "self", User: "me"}, signaling.First)
		c.Message(&wire.Joined{Room: "r", Size: 16})
		test(c)
		close(c.gate)
		s.end()
	})
}

func (c *crowd) joins(session, user string) *Peer {
	c.Message(&wire.PeerJoined{Room: "r", Peer: wire.Peer{Session: session, User: user, Transports: []string{link.QUIC}}})
	return c.rooms["r"].peers[session]
}

func (c *crowd) loses(session string) {
	c.Message(&wire.PeerLeft{Room: "r", Session: session, Reason: wire.ReasonGone})
}

func (c *crowd) offers(session, connection string) {
	text, _ := json.Marshal(map[string]string{"type": "offer", "sdp": "", "id": connection + ".1"}) // strings always encode
	c.Message(&wire.Forward{Room: "r", From: session, Payload: wire.Payload{Description: text}})
}

// TestNewConnections: a peer that begins anew again and again gets no more links than can end. Once they have, it gets another.
func TestNewConnections(t *testing.T) {
	inACrowd(t, func(c *crowd) {
		c.joins("a", "ann")
		for i := range 50 {
			c.offers("a", fmt.Sprint("connection-", i))
		}
		if n := len(c.links); n != 1+maxEnding {
			t.Errorf("%d links were made, want %d", n, 1+maxEnding)
		}
		for range maxEnding {
			c.gate <- struct{}{}
		}
		synctest.Wait()
		c.offers("a", "connection-last")
		if n := len(c.links); n != 2+maxEnding {
			t.Errorf("%d links were made once the former ones had ended, want %d", n, 2+maxEnding)
		}
	})
}

// TestNewConnectionsHaveARate: a peer that begins anew again and again gets no more links in a while, however soon the former ones end.
func TestNewConnectionsHaveARate(t *testing.T) {
	inACrowd(t, func(c *crowd) {
		c.joins("a", "ann")
		begin := func(n int) (made int) {
			before := len(c.links)
			for i := range n {
				c.offers("a", fmt.Sprint("connection-", before, "-", i))
				select {
				case c.gate <- struct{}{}: // the former link ends
				default:
				}
				synctest.Wait()
			}
			return len(c.links) - before
		}
		if n := begin(100); n < 5 || n > 20 {
			t.Errorf("%d of 100 new connections have got a link", n)
		}
		time.Sleep(time.Minute)
		if n := begin(1); n != 1 {
			t.Error("a minute later, a new connection gets no link")
		}
	})
}

// TestFormerLinks: a peer that comes back under other sessions, and leaves streams open on each link, keeps some of these links alone.
func TestFormerLinks(t *testing.T) {
	inACrowd(t, func(c *crowd) {
		p := c.joins("0", "ann")
		for i := range 50 {
			p.link.open.Add(1)
			c.loses(fmt.Sprint(i))
			if again := c.joins(fmt.Sprint(i+1), "ann"); again != p {
				t.Fatal("it came back as a stranger")
			}
		}
		open := 0
		for _, l := range p.formers {
			if !l.closing {
				open++
			}
		}
		if open != maxFormers {
			t.Errorf("%d former links are open, want %d", open, maxFormers)
		}
	})
}

// TestPeersWithoutASession: those whose session is over while their link works have no seat that bounds them. So many stay.
func TestPeersWithoutASession(t *testing.T) {
	inACrowd(t, func(c *crowd) {
		for i := range 3 * maxOrphans {
			c.joins(fmt.Sprint(i), fmt.Sprint("user-", i))
			c.loses(fmt.Sprint(i))
		}
		if n := len(c.rooms["r"].peers); n != maxOrphans {
			t.Errorf("%d are left, want %d", n, maxOrphans)
		}
	})
}
