package turnserver

import (
	"testing"

	"github.com/pion/stun/v3"
)

// TestArrivalStays: a client that cannot come to one new place still comes to the one before.
func TestArrivalStays(t *testing.T) {
	for _, why := range []string{"another allocation", "another's arrival", "the address is full"} {
		t.Run(why, func(t *testing.T) {
			s := startServer(t, func(cfg *Config) {
				allowMobility(cfg)
				cfg.Limits.AllocationsPerAddress = 2
			})
			peer := newPeer(t)
			c := dialREST(t, s, "udp", "alice")
			relayed, ticket := c.allocateMobile()
			c.permit(peer.addr)
			first, second := c.elsewhereFrom(s, 5), c.elsewhereFrom(s, 6)
			next := first.show(ticket)

			code := 437
			switch why {
			case "another allocation":
				second.accept(stun.MethodAllocate, transport(transportUDP))
			case "another's arrival":
				other := c.elsewhereFrom(s, 7)
				_, ticket := other.allocateMobile()
				second.show(ticket)
			case "the address is full":
				code = 486
				for range 2 {
					c.elsewhereFrom(s, 6).allocate()
				}
			}
			second.refuse(code, stun.MethodRefresh, mobilityTicket(next))
			first.indicate(peer.addr, []byte("arrived"))
			peer.want(relayed, []byte("arrived"))
			first.accept(stun.MethodRefresh, lifetime(600))
		})
	}
}

// TestArrivalReplaced: an arrival gives up its place among those of its address to the one that comes instead of it.
func TestArrivalReplaced(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		allowMobility(cfg)
		cfg.Limits.AllocationsPerAddress = 1
	})
	c := dialREST(t, s, "udp", "alice")
	_, ticket := c.allocateMobile()
	next := c.elsewhereFrom(s, 5).show(ticket)
	last := c.elsewhereFrom(s, 5)
	last.show(next)
	last.accept(stun.MethodRefresh, lifetime(0))
	wantNothingLeft(t, s)
}
