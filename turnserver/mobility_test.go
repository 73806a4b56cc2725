package turnserver

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

func allowMobility(cfg *Config) {
	allowLoopback(cfg)
	cfg.Mobility = true
}

func mobilityTicket(value []byte) attribute { return attribute{attrMobilityTicket, value} }

// allocateMobile makes an allocation that can move, and returns the ticket for that.
func (c *testClient) allocateMobile() (relayed netip.AddrPort, ticket []byte) {
	c.t.Helper()
	res := c.accept(stun.MethodAllocate, transport(transportUDP), mobilityTicket(nil))
	return addressIn(c.t, res, stun.AttrXORRelayedAddress), ticketIn(c.t, res)
}

func ticketIn(t testing.TB, res *stun.Message) []byte {
	t.Helper()
	ticket, err := res.Get(attrMobilityTicket)
	if err != nil || len(ticket) == 0 {
		t.Fatalf("a ticket %q: %v", ticket, err)
	}
	return bytes.Clone(ticket)
}

// elsewhere is the same user, with the same credential, on another five-tuple.
func (c *testClient) elsewhere(s *Server, network string) *testClient {
	c.t.Helper()
	d := dial(c.t, s, network)
	d.username, d.password = c.username, c.password
	return d
}

// elsewhereFrom is the same user, with the same credential, over UDP from another of the host's addresses.
func (c *testClient) elsewhereFrom(s *Server, last byte) *testClient {
	c.t.Helper()
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, last}), 0)
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(local), net.UDPAddrFromAddrPort(listenerAddr(c.t, s, "udp")))
	if err != nil && os.Getenv("CI") == "" {
		c.t.Skip("this host has one loopback address only: ", err)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	d := clientOn(c.t, conn)
	d.username, d.password = c.username, c.password
	return d
}

// show shows a ticket, and returns the next.
func (c *testClient) show(ticket []byte) []byte {
	c.t.Helper()
	next := ticketIn(c.t, c.accept(stun.MethodRefresh, mobilityTicket(ticket)))
	if bytes.Equal(next, ticket) {
		c.t.Error("the next ticket is the same")
	}
	return next
}

// wantNothingLeft waits until the server has nothing of any allocation.
func wantNothingLeft(t *testing.T, s *Server) {
	t.Helper()
	waitFor(t, "every allocation to end", func() bool { return s.Allocations() == 0 && heldPorts(s) == 0 })
	waitFor(t, "every account to be forgotten", func() bool { // which the sweep does, once nothing waits for its clients
		s.quota.sweep(s.now())
		s.quota.mu.Lock()
		defer s.quota.mu.Unlock()
		return len(s.quota.accounts) == 0
	})
	m := s.mobility
	m.mu.Lock()
	tickets, arrivals := len(m.tickets), m.arrivals.Size()
	m.mu.Unlock()
	s.quota.mu.Lock()
	addresses := len(s.quota.addresses)
	s.quota.mu.Unlock()
	guests := 0
	for _, sh := range s.shards {
		guests += sh.guests.Size() + sh.allocations.Size()
	}
	if up, down := flowsOf(s); tickets+arrivals+addresses+guests+up+down != 0 {
		t.Errorf("left are %d tickets, %d arrivals, %d addresses, %d allocations, %d and %d flows",
			tickets, arrivals, addresses, guests, up, down)
	}
}

// TestMove takes an allocation from each transport to each. It stays where it was until the client sends something from
// its new place.
func TestMove(t *testing.T) {
	onEach(t, func(t *testing.T, from string) {
		onEach(t, func(t *testing.T, to string) {
			s := startServer(t, allowMobility)
			c, peer, other := dialREST(t, s, from, "alice"), newPeer(t), newPeer(t)
			relayed, ticket := c.allocateMobile()
			c.bind(wire.MinChannel, peer.addr)
			c.permit(other.addr)
			d := c.elsewhere(s, to)
			d.show(ticket)

			peer.send(relayed, []byte("to where it was"))
			c.wantData(wire.MinChannel, peer.addr, []byte("to where it was"))
			c.sendChannel(wire.MinChannel, []byte("from where it was"))
			peer.want(relayed, []byte("from where it was"))

			d.sendChannel(wire.MinChannel, []byte("from where it is"))
			peer.want(relayed, []byte("from where it is"))
			d.offloads()
			peer.send(relayed, []byte("to where it is"))
			d.wantData(wire.MinChannel, peer.addr, []byte("to where it is"))
			other.send(relayed, []byte("without a channel"))
			d.wantData(0, other.addr, []byte("without a channel"))
			d.indicate(other.addr, []byte("likewise"))
			other.want(relayed, []byte("likewise"))

			dropped := counterOf(t, s, "packets_dropped", "no_channel")
			c.sendChannel(wire.MinChannel, []byte("from where it was"))
			c.refuse(437, stun.MethodRefresh)
			waitCounted(t, s, "packets_dropped", "no_channel", dropped+1)

			d.bind(wire.MinChannel, peer.addr)
			d.bind(wire.MinChannel+1, other.addr)
			other.send(relayed, []byte("on a new channel"))
			d.wantData(wire.MinChannel+1, other.addr, []byte("on a new channel"))
			d.sendChannel(wire.MinChannel+1, []byte("likewise"))
			other.want(relayed, []byte("likewise"))
			d.accept(stun.MethodRefresh)
			wantSnapshot(t, s, to, d.addr())
			waitCounted(t, s, "allocations_moved", "", 1)

			d.accept(stun.MethodRefresh, lifetime(0))
			wantNothingLeft(t, s)
		})
	})
}

// wantSnapshot checks the place of the only allocation.
func wantSnapshot(t *testing.T, s *Server, transport string, client netip.AddrPort) {
	t.Helper()
	all := s.Snapshot()
	if len(all) != 1 || all[0].Transport != transport || all[0].Client != client || s.AllocationsByTransport()[transport] != 1 {
		t.Fatalf("%+v, by transport %v; want one of %v over %s", all, s.AllocationsByTransport(), client, transport)
	}
	if offloaded && transport == "udp" && len(all[0].Offloaded) != len(all[0].Channels) {
		t.Errorf("the kernel forwards %v of %v", all[0].Offloaded, all[0].Channels)
	}
}

// TestMoveOften: a client changes its five-tuple time and again, over every loop, while data go both ways.
func TestMoveOften(t *testing.T) {
	s := startServer(t, allowMobility)
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed, ticket := c.allocateMobile()
	c.bind(wire.MinChannel, peer.addr)
	for i := range 24 {
		c = c.elsewhere(s, []string{"udp", "udp", "tcp", "udp", "tls"}[i%5])
		ticket = c.show(ticket)
		data := []byte(fmt.Sprint("from place ", i))
		c.sendChannel(wire.MinChannel, data)
		peer.want(relayed, data)
		peer.send(relayed, data)
		c.wantData(wire.MinChannel, peer.addr, data)
	}
	waitCounted(t, s, "allocations_moved", "", 24)
	c.accept(stun.MethodRefresh, lifetime(0))
	wantNothingLeft(t, s)
}

// TestMoveByRequest: a request of the allocation's owner completes a move, too.
func TestMoveByRequest(t *testing.T) {
	s := startServer(t, allowMobility)
	peer := newPeer(t)
	for name, request := range map[string]func(*testClient){
		"CreatePermission": func(d *testClient) { d.permit(peer.addr) },
		"ChannelBind":      func(d *testClient) { d.bind(wire.MinChannel, peer.addr) },
		"Refresh":          func(d *testClient) { d.accept(stun.MethodRefresh) },
	} {
		c := dialREST(t, s, "udp", "alice")
		relayed, ticket := c.allocateMobile()
		c.permit(peer.addr)
		d := c.elsewhere(s, "udp")
		d.show(ticket)

		mallory := mintREST(t, "mallory", time.Hour)
		request := request
		stranger := clientOn(t, d.conn).as(mallory)
		stranger.refuse(437, stun.MethodRefresh)
		c.accept(stun.MethodRefresh)

		request(d)
		c.refuse(437, stun.MethodRefresh)
		peer.send(relayed, []byte(name))
		d.wantData(d.channelTo(name), peer.addr, []byte(name))
		d.accept(stun.MethodRefresh, lifetime(0))
	}
	wantNothingLeft(t, s)
}

// channelTo is the channel that a request of TestMoveByRequest has bound, or 0.
func (c *testClient) channelTo(request string) uint16 {
	if request == "ChannelBind" {
		return wire.MinChannel
	}
	return 0
}

// TestMoveAnswerLost: until the client proves that it has the next ticket, the one before stays good, from the same
// place and from another.
func TestMoveAnswerLost(t *testing.T) {
	s := startServer(t, allowMobility)
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed, first := c.allocateMobile()
	c.bind(wire.MinChannel, peer.addr)
	d := c.elsewhere(s, "udp").challenged()
	refresh := d.build(stun.MethodRefresh, mobilityTicket(first))
	second := ticketIn(t, d.wantCode(d.roundTrip(refresh), 0))
	for _, again := range [][]byte{ticketIn(t, d.wantCode(d.roundTrip(refresh), 0)), d.show(first)} {
		if !bytes.Equal(again, second) {
			t.Errorf("the same ticket was answered with %q, then with %q", second, again)
		}
	}
	e := c.elsewhere(s, "tcp")
	if again := e.show(first); !bytes.Equal(again, second) {
		t.Errorf("from another place it was answered with %q", again)
	}
	d.sendChannel(wire.MinChannel, []byte("from where it is no longer expected"))
	d.wantSilence()
	c.accept(stun.MethodRefresh)

	e.sendChannel(wire.MinChannel, []byte("here"))
	peer.want(relayed, []byte("here"))
	e.show(first) // a retransmission that was late
	d.refuse(437, stun.MethodRefresh, mobilityTicket(first))
	third := d.show(second)
	e.refuse(437, stun.MethodRefresh, mobilityTicket(first))
	e.accept(stun.MethodRefresh)
	d.sendChannel(wire.MinChannel, []byte("there"))
	peer.want(relayed, []byte("there"))
	e.refuse(437, stun.MethodRefresh, mobilityTicket(second))
	e.show(third)
}

// TestMoveExpires: a client that shows a ticket and then stays away has not moved.
func TestMoveExpires(t *testing.T) {
	s, clock := startClocked(t, allowMobility)
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed, ticket := c.allocateMobile()
	c.bind(wire.MinChannel, peer.addr)
	for _, swept := range []bool{false, true} {
		d := c.elsewhere(s, "udp")
		ticket = d.show(ticket)
		clock.advance(arrivalTime)
		if swept {
			s.sweep()
			if n := s.mobility.arrivals.Size(); n != 0 {
				t.Errorf("%d arrivals are left", n)
			}
		}
		d.sendChannel(wire.MinChannel, []byte("too late"))
		d.wantSilence()
		d.refuse(437, stun.MethodRefresh)
		c.accept(stun.MethodRefresh)
		c.bind(wire.MinChannel, peer.addr)
		peer.send(relayed, []byte("still here"))
		c.wantData(wire.MinChannel, peer.addr, []byte("still here"))
	}
	d := c.elsewhere(s, "udp")
	d.show(ticket)
	d.sendChannel(wire.MinChannel, []byte("in time"))
	peer.want(relayed, []byte("in time"))
}

// onEachConnection runs a test over each transport that can be lost.
func onEachConnection(t *testing.T, test func(t *testing.T, network string)) {
	for _, network := range []string{"tcp", "tls", "dtls"} {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}

// TestMoveWhenDisconnected: the end of the old connection completes a move (RFC 8016 §3.2.2).
func TestMoveWhenDisconnected(t *testing.T) {
	onEachConnection(t, func(t *testing.T, network string) {
		s := startServer(t, allowMobility)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed, ticket := c.allocateMobile()
		c.bind(wire.MinChannel, peer.addr)
		d := c.elsewhere(s, "udp")
		d.show(ticket)
		_ = c.conn.Close()
		waitCounted(t, s, "allocations_moved", "", 1)
		peer.send(relayed, []byte("to where it is"))
		d.wantData(wire.MinChannel, peer.addr, []byte("to where it is"))
		e := c.elsewhere(s, "udp")
		e.show(ticket) // d has not shown that it has the next
		e.accept(stun.MethodRefresh, lifetime(0))
		wantNothingLeft(t, s)
	})
}

// TestDisconnected: an allocation that can move waits for its client to come by another connection, but not for long.
func TestDisconnected(t *testing.T) {
	onEachConnection(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, allowMobility)
		peer := newPeer(t)
		lose := func() (c *testClient, relayed netip.AddrPort, ticket []byte) {
			c = dialREST(t, s, network, "alice")
			relayed, ticket = c.allocateMobile()
			c.bind(wire.MinChannel, peer.addr)
			_ = c.conn.Close()
			waitFor(t, "the server to notice", func() bool {
				all := s.Snapshot() // without one that moves just then
				return len(all) == 1 && !all[0].Client.IsValid()
			})
			return c, relayed, ticket
		}
		c, relayed, ticket := lose()
		away := counterOf(t, s, "packets_dropped", "client_away")
		peer.send(relayed, []byte("to nobody"))
		waitCounted(t, s, "packets_dropped", "client_away", away+1)
		wantSnapshot(t, s, network, netip.AddrPort{})
		d := c.elsewhere(s, "udp")
		d.show(ticket)
		d.sendChannel(wire.MinChannel, []byte("back"))
		peer.want(relayed, []byte("back"))
		peer.send(relayed, []byte("welcome"))
		d.wantData(wire.MinChannel, peer.addr, []byte("welcome"))
		if got := s.Snapshot()[0].ExpiresIn; got <= strandedTime {
			t.Errorf("it ends in %v, though its client is back", got)
		}
		d.accept(stun.MethodRefresh, lifetime(0))

		lose()
		clock.advance(strandedTime)
		s.sweep()
		wantNothingLeft(t, s)

		lose()
		s.EndUser("alice")
		wantNothingLeft(t, s)
	})
}

// TestArrivalDisconnected: a connection by which a client was to arrive may be lost, too.
func TestArrivalDisconnected(t *testing.T) {
	onEachConnection(t, func(t *testing.T, network string) {
		s := startServer(t, allowMobility)
		c := dialREST(t, s, "udp", "alice")
		_, ticket := c.allocateMobile()
		d := c.elsewhere(s, network)
		next := d.show(ticket)
		_ = d.conn.Close()
		waitFor(t, "the arrival to be given up", func() bool { return s.mobility.arrivals.Size() == 0 })
		c.accept(stun.MethodRefresh)
		c.elsewhere(s, network).show(next)
	})
}

// TestMobilityOff: 405, whatever the ticket.
func TestMobilityOff(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		c := dialREST(t, s, network, "alice")
		for _, value := range [][]byte{nil, []byte("ticket")} {
			c.refuse(405, stun.MethodAllocate, transport(transportUDP), mobilityTicket(value))
			c.refuse(405, stun.MethodRefresh, mobilityTicket(value))
		}
		c.allocate()
		c.refuse(405, stun.MethodRefresh, mobilityTicket(nil))
		c.accept(stun.MethodRefresh)
	})
}

// TestMobilityRefusals: the server refuses what RFC 8016 §3.1.2 and §3.2.2 forbid, and moves that would leave two
// allocations in one place.
func TestMobilityRefusals(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowMobility)
		c := dialREST(t, s, network, "alice")
		c.refuse(400, stun.MethodAllocate, transport(transportUDP), mobilityTicket([]byte("ticket")))
		if network == "tcp" || network == "tls" {
			c.refuse(405, stun.MethodAllocate, transport(transportTCP), mobilityTicket(nil))
		}
		_, ticket := c.allocateMobile()
		c.refuse(400, stun.MethodRefresh, mobilityTicket(ticket)) // from where it is
		d := c.elsewhere(s, network)
		d.refuse(400, stun.MethodRefresh, mobilityTicket(nil))
		d.refuse(400, stun.MethodRefresh, mobilityTicket(ticket), attribute{stun.AttrLifetime, []byte{1}})
		d.refuse(443, stun.MethodRefresh, mobilityTicket(ticket), addressFamily(wire.IPv6))
		d.refuse(437, stun.MethodRefresh)
		next := d.show(ticket)
		d.refuse(400, stun.MethodRefresh, mobilityTicket(next)) // from where it is expected
		c.accept(stun.MethodRefresh)

		other := d.elsewhere(s, network)
		other.allocate()
		other.refuse(437, stun.MethodRefresh, mobilityTicket(next)) // where there is another
		d.refuse(400, stun.MethodRefresh, mobilityTicket(next))     // it is still expected there
		d.allocate()                                                // instead of coming
		d.accept(stun.MethodRefresh)
		c.accept(stun.MethodRefresh)
		plain := dialREST(t, s, network, "alice")
		if res := plain.accept(stun.MethodAllocate, transport(transportUDP)); res.Contains(attrMobilityTicket) {
			t.Error("a ticket for a client that did not ask for one")
		}
		if res := c.accept(stun.MethodRefresh); res.Contains(attrMobilityTicket) {
			t.Error("a ticket in the answer to a plain Refresh")
		}
	})
}

// TestAllocateMobileAgain: a retransmitted Allocate is answered with the same ticket.
func TestAllocateMobileAgain(t *testing.T) {
	s := startServer(t, allowMobility)
	c := dialREST(t, s, "udp", "alice").challenged()
	allocate := c.build(stun.MethodAllocate, transport(transportUDP), mobilityTicket(nil))
	first, again := c.roundTrip(allocate), c.roundTrip(allocate)
	if !bytes.Equal(ticketIn(t, first), ticketIn(t, again)) {
		t.Error("another ticket")
	}
}

// TestEndFromElsewhere: a ticket with lifetime 0 ends the allocation, from where there is no other word of it.
func TestEndFromElsewhere(t *testing.T) {
	s := startServer(t, allowMobility)
	c := dialREST(t, s, "udp", "alice")
	_, ticket := c.allocateMobile()
	res := c.elsewhere(s, "tcp").accept(stun.MethodRefresh, lifetime(0), mobilityTicket(ticket))
	if res.Contains(attrMobilityTicket) || lifetimeIn(t, res) != 0 {
		t.Errorf("answered %v", res)
	}
	c.refuse(437, stun.MethodRefresh)
	wantNothingLeft(t, s)
}

// TestMoveQuota: an address that has as many allocations as it may gets no more, and a move makes room where it came
// from.
func TestMoveQuota(t *testing.T) {
	s := startServer(t, func(cfg *Config) { allowMobility(cfg); cfg.Limits.AllocationsPerAddress = 1 })
	c := dialREST(t, s, "udp", "alice")
	_, ticket := c.allocateMobile()
	full := c.elsewhereFrom(s, 5)
	full.allocate()
	c.elsewhereFrom(s, 5).refuse(486, stun.MethodRefresh, mobilityTicket(ticket))
	same := c.elsewhereFrom(s, 1)
	ticket = same.show(ticket) // one more would be too many, but it is the same
	d := c.elsewhereFrom(s, 6)
	d.show(ticket)
	other := c.elsewhereFrom(s, 1)
	other.refuse(486, stun.MethodAllocate, transport(transportUDP)) // c may still be there
	d.accept(stun.MethodRefresh)
	other.allocate()
	c.elsewhereFrom(s, 6).refuse(486, stun.MethodAllocate, transport(transportUDP))
	d.accept(stun.MethodRefresh, lifetime(0))
	c.elsewhereFrom(s, 6).allocate()
}

// TestMoveMidway lets allocations end in the middle of a move, in every way.
func TestMoveMidway(t *testing.T) {
	for name, end := range map[string]func(s *Server, c, d *testClient, clock *testClock){
		"by their user's end": func(s *Server, _, _ *testClient, _ *testClock) { s.EndUser("alice") },
		"by the client":       func(_ *Server, c, _ *testClient, _ *testClock) { c.accept(stun.MethodRefresh, lifetime(0)) },
		"by expiry": func(s *Server, _, _ *testClient, clock *testClock) {
			clock.advance(defaultLifetime)
			s.sweep()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, clock := startClocked(t, allowMobility)
			c, peer := dialREST(t, s, "tcp", "alice"), newPeer(t)
			_, ticket := c.allocateMobile()
			c.bind(wire.MinChannel, peer.addr)
			d := c.elsewhere(s, "udp")
			next := d.show(ticket)
			end(s, c, d, clock)
			wantNothingLeft(t, s)
			d.sendChannel(wire.MinChannel, []byte("too late"))
			d.wantSilence()
			for _, old := range [][]byte{ticket, next} {
				d.refuse(437, stun.MethodRefresh, mobilityTicket(old))
			}
		})
	}
}
