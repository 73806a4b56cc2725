package turnserver

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// bothFamilies has the server relay from an address of each family, or skips the test on a host without IPv6.
func bothFamilies(t testing.TB) func(*Config) {
	t.Helper()
	_ = listenAt(t, loopback6)
	return func(cfg *Config) {
		allowLoopback(cfg)
		cfg.Relay = []RelayAddress{{Local: loopback}, {Local: loopback6}}
	}
}

// additionalFamily asks for a relayed address of the other family, too (RFC 8656 §18.11).
func additionalFamily(f wire.Family) attribute {
	return attribute{wire.AttrAdditionalAddressFamily, []byte{byte(f), 0, 0, 0}}
}

// relayedIn returns all relayed addresses of an answer.
func relayedIn(t testing.TB, m *stun.Message) (out []netip.AddrPort) {
	t.Helper()
	for _, a := range m.Attributes {
		if a.Type == stun.AttrXORRelayedAddress {
			e, ok := wire.ParseXORAddress(a.Value, m.TransactionID[:])
			if !ok {
				t.Fatalf("XOR-RELAYED-ADDRESS % x", a.Value)
			}
			out = append(out, e.AddrPort())
		}
	}
	return out
}

// addressError returns the family and the code of ADDRESS-ERROR-CODE, zeroes if there is none.
func addressError(t testing.TB, m *stun.Message) (wire.Family, int) {
	t.Helper()
	v, err := m.Get(wire.AttrAddressErrorCode)
	if err != nil {
		return 0, 0
	}
	if len(v) < 5 || v[1] != 0 {
		t.Fatalf("ADDRESS-ERROR-CODE % x", v)
	}
	return wire.Family(v[0]), int(v[2])*100 + int(v[3])
}

// allocateBoth makes an allocation with a relayed address of each family, IPv4 first.
func (c *testClient) allocateBoth() (four, six netip.AddrPort) {
	c.t.Helper()
	res := c.accept(stun.MethodAllocate, transport(transportUDP), additionalFamily(wire.IPv6))
	got := relayedIn(c.t, res)
	if len(got) != 2 || got[0].Addr() != loopback || got[1].Addr() != loopback6 {
		c.t.Fatalf("relayed addresses %v", got)
	}
	if f, code := addressError(c.t, res); f != 0 {
		c.t.Fatalf("ADDRESS-ERROR-CODE %d for family %d", code, f)
	}
	return got[0], got[1]
}

// TestBothFamilies: one allocation sends to peers of either family from the address of that family, and gets their
// answers.
func TestBothFamilies(t *testing.T) {
	change := bothFamilies(t)
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, change)
		a, b, peer := dialREST(t, s, network, "alice"), dialREST(t, s, network, "bob"), newPeer(t)
		a4, a6 := a.allocateBoth()
		b4, b6 := b.allocateBoth()
		if s.Allocations() != 2 {
			t.Fatalf("%d allocations", s.Allocations())
		}
		a.bind(wire.MinChannel, b4)
		a.bind(wire.MinChannel+1, b6)
		a.permit(peer.addr)
		b.permit(a4, a6) // of both families in one request
		for _, row := range []struct {
			channel uint16
			from    netip.AddrPort
			to      netip.AddrPort
		}{{wire.MinChannel, a4, b4}, {wire.MinChannel + 1, a6, b6}} {
			a.sendChannel(row.channel, []byte("up"))
			b.wantData(0, row.from, []byte("up"))
			b.indicate(row.from, []byte("down"))
			a.wantData(row.channel, row.to, []byte("down"))
		}
		a.indicate(peer.addr, []byte("out of this node"))
		peer.want(a4, []byte("out of this node"))
		peer.send(a4, []byte("and back"))
		a.wantData(0, peer.addr, []byte("and back"))

		if got := s.Snapshot(); len(got) != 2 || len(got[0].Relayed) != 2 || len(got[1].Relayed) != 2 {
			t.Errorf("snapshot: %+v", got)
		}
	})
}

// TestCoturnsFamily: coturn's clients ask for the other family by a number of their own.
func TestCoturnsFamily(t *testing.T) {
	s := startServer(t, bothFamilies(t))
	theirs := attribute{stun.AttrType(0x8032), []byte{byte(wire.IPv6), 0, 0, 0}}
	c := dialREST(t, s, "udp", "alice")
	if got := relayedIn(t, c.accept(stun.MethodAllocate, transport(transportUDP), theirs)); len(got) != 2 {
		t.Errorf("relayed addresses %v", got)
	}
	dialREST(t, s, "udp", "alice").refuse(400, stun.MethodAllocate, transport(transportUDP), theirs, addressFamily(wire.IPv4))
}

// TestOneFamilyOfTwo: the answer names a family that the client cannot have, and the client gets the other (RFC 8656
// §7.2).
func TestOneFamilyOfTwo(t *testing.T) {
	_ = listenAt(t, loopback6)
	for name, row := range map[string]struct {
		relay   []RelayAddress
		refused wire.Family
		code    int
	}{
		"no IPv6": {[]RelayAddress{{Local: loopback}}, wire.IPv6, 440},
		"no IPv4": {[]RelayAddress{{Local: loopback6}}, wire.IPv4, 440},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(cfg *Config) { cfg.Relay = row.relay })
			res := dialREST(t, s, "udp", "alice").accept(stun.MethodAllocate, transport(transportUDP), additionalFamily(wire.IPv6))
			if got := relayedIn(t, res); len(got) != 1 || got[0].Addr() != row.relay[0].Local {
				t.Errorf("relayed addresses %v", got)
			}
			if f, code := addressError(t, res); f != row.refused || code != row.code {
				t.Errorf("ADDRESS-ERROR-CODE %d for family %d", code, f)
			}
		})
	}
	t.Run("no IPv6 port", func(t *testing.T) {
		s := startServer(t, func(cfg *Config) { bothFamilies(t)(cfg); cfg.MinPort, cfg.MaxPort = 21100, 21101 }) // which no system gives out by itself
		c := dialREST(t, s, "udp", "alice")
		for range 2 {
			dialREST(t, s, "udp", "bob").accept(stun.MethodAllocate, transport(transportUDP), addressFamily(wire.IPv6))
		}
		res := c.accept(stun.MethodAllocate, transport(transportUDP), additionalFamily(wire.IPv6))
		if f, code := addressError(t, res); f != wire.IPv6 || code != 508 || len(relayedIn(t, res)) != 1 {
			t.Errorf("ADDRESS-ERROR-CODE %d for family %d, relayed addresses %v", code, f, relayedIn(t, res))
		}
		c.refuse(443, stun.MethodCreatePermission, peerAddr(netip.MustParseAddrPort("[2001:4860::1]:1")))
		one := dialREST(t, s, "udp", "carol")
		one.allocate()
		dialREST(t, s, "udp", "dave").refuse(508, stun.MethodAllocate, transport(transportUDP), additionalFamily(wire.IPv6))
	})
}

// TestEndOneFamily: a Refresh for one family ends or keeps the relayed address of that family alone (RFC 8656 §8.2).
func TestEndOneFamily(t *testing.T) {
	change := bothFamilies(t)
	onEach(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, change)
		a, b := dialREST(t, s, network, "alice"), dialREST(t, s, network, "bob")
		a4, a6 := a.allocateBoth()
		b4, b6 := b.allocateBoth()
		a.bind(wire.MinChannel, b4)
		a.bind(wire.MinChannel+1, b6)
		b.permit(a4, a6)

		a.accept(stun.MethodRefresh, addressFamily(wire.IPv4), lifetime(0))
		a.sendChannel(wire.MinChannel, []byte("ended"))
		a.barrier()
		if got := counterOf(t, s, "packets_dropped", "no_channel"); got != 1 {
			t.Errorf("%d packets on the ended channel were dropped", got)
		}
		a.refuse(443, stun.MethodRefresh, addressFamily(wire.IPv4))
		a.refuse(443, stun.MethodCreatePermission, peerAddr(b4))
		a.refuse(443, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(b4))
		a.sendChannel(wire.MinChannel+1, []byte("goes on"))
		b.wantData(0, a6, []byte("goes on"))
		waitFor(t, "the port to be withdrawn", func() bool { return s.relays.Load().udp[0].allocationAt(a4.Port()) == nil })
		if up, down := flowsOf(s); up != 1 || down != 1 {
			t.Errorf("%d and %d flows are left", up, down)
		}

		// One of b's expires, the other is kept.
		clock.advance(defaultLifetime - time.Second)
		b.accept(stun.MethodRefresh, addressFamily(wire.IPv6), lifetime(1200))
		a.accept(stun.MethodRefresh)
		clock.advance(2 * time.Second)
		s.sweep()
		b.refuse(443, stun.MethodRefresh, addressFamily(wire.IPv4))
		b.accept(stun.MethodRefresh, addressFamily(wire.IPv6), lifetime(0))
		b.refuse(437, stun.MethodRefresh)
		if s.Allocations() != 1 {
			t.Errorf("%d allocations", s.Allocations())
		}
	})
}

// TestBadFamilies sends combinations that RFC 8656 §7.2 does not allow in one Allocate.
func TestBadFamilies(t *testing.T) {
	s := startServer(t, bothFamilies(t))
	token := attribute{stun.AttrReservationToken, make([]byte, 8)}
	for name, attrs := range map[string][]stun.Setter{
		"IPv4 as the additional one":       {additionalFamily(wire.IPv4)},
		"no family":                        {additionalFamily(0)},
		"too short":                        {attribute{wire.AttrAdditionalAddressFamily, []byte{2}}},
		"with REQUESTED-ADDRESS-FAMILY":    {additionalFamily(wire.IPv6), addressFamily(wire.IPv4)},
		"with a pair of ports":             {additionalFamily(wire.IPv6), evenPortAttribute(true)},
		"with RESERVATION-TOKEN":           {additionalFamily(wire.IPv6), token},
		"EVEN-PORT too long":               {attribute{stun.AttrEvenPort, make([]byte, 2)}},
		"EVEN-PORT with RESERVATION-TOKEN": {evenPortAttribute(false), token},
		"a family for RESERVATION-TOKEN":   {addressFamily(wire.IPv4), token},
		"RESERVATION-TOKEN too short":      {attribute{stun.AttrReservationToken, make([]byte, 7)}},
	} {
		t.Run(name, func(t *testing.T) {
			dialREST(t, s, "udp", "alice").refuse(400, stun.MethodAllocate, append([]stun.Setter{transport(transportUDP)}, attrs...)...)
		})
	}
	if s.Allocations() != 0 {
		t.Errorf("%d allocations were made", s.Allocations())
	}
}

// bothFamiliesAreJudged: the second relayed address is under the same peer policy as the first.
func bothFamiliesAreJudged(t *testing.T) {
	_ = listenAt(t, loopback6)
	s := startServer(t, func(cfg *Config) { cfg.Relay = append(cfg.Relay, RelayAddress{Local: loopback6}) })
	c, other := dialREST(t, s, "udp", "alice"), dialREST(t, s, "udp", "bob")
	c.allocateBoth()
	target := other.allocate()
	for ip := range deniedPeers(t) {
		peer := netip.AddrPortFrom(wire.Canonical(netip.MustParseAddr(ip)), 80)
		disguises := []stun.Setter{peerAddr(peer)}
		if peer.Addr().Is4() {
			disguises = append(disguises, disguised(peer))
		}
		for _, disguise := range disguises {
			c.refuse(403, stun.MethodCreatePermission, peerAddr(target), disguise)
			c.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), disguise)
		}
		c.indicate(peer, []byte("out"))
	}
	c.barrier()
	if got := counterOf(t, s, "packets_relayed", "up"); got != 0 {
		t.Errorf("%d packets got out", got)
	}
}
