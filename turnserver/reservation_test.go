package turnserver

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// evenPortAttribute is EVEN-PORT, with the R bit if the next port is to be reserved (RFC 8656 §18.7).
func evenPortAttribute(reserve bool) attribute {
	if reserve {
		return attribute{stun.AttrEvenPort, []byte{0x80}}
	}
	return attribute{stun.AttrEvenPort, []byte{0}}
}

// reserve makes an allocation with a pair of ports, and returns the relayed address and the token of the second port.
func (c *testClient) reserve() (netip.AddrPort, attribute) {
	c.t.Helper()
	res := c.accept(stun.MethodAllocate, transport(transportUDP), evenPortAttribute(true))
	token, err := res.Get(stun.AttrReservationToken)
	if err != nil || len(token) != 8 {
		c.t.Fatalf("RESERVATION-TOKEN % x, %v", token, err)
	}
	return addressIn(c.t, res, stun.AttrXORRelayedAddress), attribute{stun.AttrReservationToken, token}
}

// count is how many ports wait. The counts of their owners must add up to as many.
func (s *reservations) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, held := range s.countByOwner {
		n += held
	}
	return max(n, len(s.byToken))
}

// TestEvenPort: the port is even, whatever is taken around it.
func TestEvenPort(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.MinPort, cfg.MaxPort = 21301, 21310 }) // which no system gives out by itself
	for range 5 {
		if port := dialREST(t, s, "udp", "alice").allocate(evenPortAttribute(false)).Port(); port%2 != 0 {
			t.Errorf("port %d", port)
		}
	}
	dialREST(t, s, "udp", "alice").refuse(508, stun.MethodAllocate, transport(transportUDP), evenPortAttribute(false))
	if got := dialREST(t, s, "udp", "alice").allocate().Port(); got%2 == 0 {
		t.Errorf("port %d was free, though every even one was taken", got)
	}
}

// TestReservedPort: the next higher port waits for its owner, who gets it over any transport, once, and relays from it.
func TestReservedPort(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		first, peer := dialREST(t, s, network, "alice"), newPeer(t)
		rtp, token := first.reserve()
		if rtp.Port()%2 != 0 {
			t.Errorf("port %d", rtp.Port())
		}
		for _, network := range []string{"udp", "tcp"} {
			second := dialREST(t, s, network, "alice")
			rtcp := second.allocate(token)
			if rtcp.Port() != rtp.Port()+1 {
				t.Errorf("ports %d and %d", rtp.Port(), rtcp.Port())
			}
			second.permit(peer.addr)
			second.indicate(peer.addr, []byte("up"))
			peer.want(rtcp, []byte("up"))
			peer.send(rtcp, []byte("down"))
			second.wantData(0, peer.addr, []byte("down"))
			dialREST(t, s, network, "alice").refuse(508, stun.MethodAllocate, transport(transportUDP), token)
			second.accept(stun.MethodRefresh, lifetime(0))
			first.accept(stun.MethodRefresh, lifetime(0))
			waitFor(t, "the ports to be free", func() bool {
				return s.relays.Load().udp[0].slots[rtp.Port()-s.relays.Load().udp[0].minPort].Load() == nil && s.relays.Load().udp[0].slots[rtcp.Port()-s.relays.Load().udp[0].minPort].Load() == nil
			})
			rtp, token = first.reserve()
		}
	})
}

// TestReserveAgain: a retransmission is answered as the Allocate was, with the same token.
func TestReserveAgain(t *testing.T) {
	s := startServer(t, nil)
	c := dialREST(t, s, "udp", "alice").challenged()
	m := c.build(stun.MethodAllocate, transport(transportUDP), evenPortAttribute(true))
	first := c.wantCode(c.roundTrip(m), 0)
	if again := c.roundTrip(m); !bytes.Equal(first.Raw, again.Raw) {
		t.Errorf("answered %v, and the retransmission %v", first, again)
	}
	if got := s.reserved.count(); got != 1 {
		t.Errorf("%d reservations", got)
	}
}

// TestReservationEnds: after 30 s, and with the session or the user, the port is free again.
func TestReservationEnds(t *testing.T) {
	for name, end := range map[string]func(*Server, *testClock){
		"time":    func(s *Server, clock *testClock) { clock.advance(reservationTime); s.sweep() },
		"session": func(s *Server, _ *testClock) { s.EndSession("room1") },
		"close":   func(s *Server, _ *testClock) { _ = s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s, clock := startClocked(t, func(cfg *Config) { cfg.Scope = newScope() })
			c := dialSession(t, s, "udp", "room1")
			port, token := c.reserve()
			end(s, clock)
			waitFor(t, "the port to be free", func() bool {
				return s.relays.Load().udp[0].slots[port.Port()+1-s.relays.Load().udp[0].minPort].Load() == nil
			})
			if got := s.reserved.count(); got != 0 {
				t.Error("the reservation is still there")
			}
			if name == "time" {
				dialSession(t, s, "udp", "room1").refuse(508, stun.MethodAllocate, transport(transportUDP), token)
				c.accept(stun.MethodRefresh) // the allocation itself lives
			}
		})
	}
	t.Run("expired, not yet swept", func(t *testing.T) {
		s, clock := startClocked(t, nil)
		_, token := dialREST(t, s, "udp", "alice").reserve()
		clock.advance(reservationTime + time.Second)
		dialREST(t, s, "udp", "alice").refuse(508, stun.MethodAllocate, transport(transportUDP), token)
	})
}

// reservationTheft: a token that another user has guessed or seen is of no use to it, and trying does not take it from
// its owner.
func reservationTheft(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		port, token := dialREST(t, s, network, "alice").reserve()
		thief := dialREST(t, s, network, "mallory")
		thief.refuse(508, stun.MethodAllocate, transport(transportUDP), token)
		guess := bytes.Clone(token.value)
		guess[7]++
		thief.refuse(508, stun.MethodAllocate, transport(transportUDP), attribute{stun.AttrReservationToken, guess})
		dialSession(t, s, network, "alice").refuse(508, stun.MethodAllocate, transport(transportUDP), token) // a session of that name
		if got := dialREST(t, s, network, "alice").allocate(token); got.Port() != port.Port()+1 {
			t.Errorf("the owner got port %d after %d", got.Port(), port.Port())
		}
	})
}

// reservationFlood: one user cannot reserve without end, and a reserved port that nobody fetches is free again.
func reservationFlood(t *testing.T) {
	s, clock := startClocked(t, nil)
	for range maxReservationsOfOwner {
		dialREST(t, s, "udp", "mallory").reserve()
	}
	dialREST(t, s, "udp", "mallory").refuse(508, stun.MethodAllocate, transport(transportUDP), evenPortAttribute(true))
	dialREST(t, s, "udp", "mallory").allocate(evenPortAttribute(false))
	dialREST(t, s, "udp", "alice").reserve()
	clock.advance(reservationTime)
	s.sweep()
	dialREST(t, s, "udp", "mallory").reserve()
}
