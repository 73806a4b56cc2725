package turnserver

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.org/turnpike/turnserver/wire"
)

// TestSnapshot: the list has all live allocations, with their owner, addresses, peers and traffic.
func TestSnapshot(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, allowLoopback)
		peer, stranger := newPeer(t), newPeer(t)
		c := dialREST(t, s, network, "alice")
		relayed := c.allocate()
		c.permit(at("127.0.0.3"))
		c.bind(wire.MinChannel, peer.addr)
		c.sendChannel(wire.MinChannel, pattern(100))
		peer.want(relayed, pattern(100))
		for range 2 {
			peer.send(relayed, pattern(50))
			c.wantData(wire.MinChannel, peer.addr, pattern(50))
		}
		clock.advance(time.Minute)
		all := s.Snapshot()
		if by := s.AllocationsByTransport(); by[network] != 1 {
			t.Errorf("by transport: %v", by)
		}
		if len(all) != 1 {
			t.Fatalf("%d allocations are listed", len(all))
		}
		a := all[0]
		if a.User != "alice" || a.Session != "" || a.Transport != network || a.Client != c.addr() || a.Server != wire.AddrPortOf(c.conn.RemoteAddr()) {
			t.Errorf("whose it is: %+v", a)
		}
		if !slices.Equal(a.Relayed, []netip.AddrPort{relayed}) || !slices.Equal(a.Channels, []netip.AddrPort{peer.addr}) ||
			!slices.Contains(a.Peers, peer.addr.Addr()) || !slices.Contains(a.Peers, netip.MustParseAddr("127.0.0.3")) {
			t.Errorf("where it leads: %+v", a)
		}
		if (a.Up != Traffic{1, 100}) || (a.Down != Traffic{2, 100}) || a.Age.Round(30*time.Second) != time.Minute || a.ExpiresIn.Round(30*time.Second) != 9*time.Minute || a.Dropped != nil {
			t.Errorf("what it has carried: %+v", a)
		}
		clock.advance(permissionLifetime)
		stranger.send(relayed, pattern(1))
		waitCounted(t, s, "packets_dropped", "no_permission", 1)
		a = s.Snapshot()[0]
		if len(a.Peers) != 0 || len(a.Channels) != 0 || !slices.Equal(a.Dropped, []Counter{{"packets_dropped", "no_permission", "", 1}}) {
			t.Errorf("after its permissions: %+v", a)
		}
		s.EndUser("alice")
		if all := s.Snapshot(); len(all) != 0 {
			t.Errorf("after its end: %+v", all)
		}
	})
}

// TestTrafficByTransport: packets and bytes count while they flow, by the transport of the client at their end.
func TestTrafficByTransport(t *testing.T) {
	s := startServer(t, allowLoopback)
	want := make(map[Counter]uint64)
	add := func(network string, d direction, size uint64) {
		want[Counter{Name: "packets_relayed", Reason: d.String(), Transport: network}]++
		want[Counter{Name: "relayed_bytes", Reason: d.String(), Transport: network}] += size
	}
	check := func() {
		t.Helper()
		waitFor(t, "what was relayed to be counted", func() bool {
			for _, c := range s.Counters() {
				key := c
				key.Value = 0
				if c.Transport != "" && c.Value != want[key] {
					return false
				}
			}
			return true
		})
	}
	networks := []string{"udp", "tcp", "tls", "dtls"}
	var clients []*testClient
	var relays []netip.AddrPort
	for i, network := range networks {
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed := c.allocate()
		c.bind(wire.MinChannel, peer.addr)
		for n := range 3 {
			data := pattern(100*(i+1) + n)
			c.sendChannel(wire.MinChannel, data)
			peer.want(relayed, data)
			add(network, clientToPeer, uint64(len(data)))
			check()
			peer.send(relayed, data[:10])
			c.wantData(wire.MinChannel, peer.addr, data[:10])
			add(network, peerToClient, 10)
			check()
		}
		c.indicate(peer.addr, []byte("out"))
		peer.want(relayed, []byte("out"))
		add(network, clientToPeer, 3)
		c.barrier() // messages without data do not count
		check()
		clients, relays = append(clients, c), append(relays, relayed)
	}
	for i, c := range clients { // from relay to relay
		for j, d := range clients {
			if i != j {
				c.permit(relays[j])
				d.permit(relays[i])
				c.indicate(relays[j], []byte("across"))
				d.wantData(0, relays[i], []byte("across"))
				add(networks[i], clientToPeer, 6)
				add(networks[j], peerToClient, 6)
				check()
			}
		}
	}
}

// TestActive: an allocation is active for a while after each packet, whichever way it took, in either direction.
func TestActive(t *testing.T) {
	const within = 20 * time.Second
	s, clock := startClocked(t, allowLoopback)
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed := c.allocate()
	dialREST(t, s, "tcp", "bob").allocate()
	want := func(n int) {
		t.Helper()
		if got := s.Active(within); got != n {
			t.Errorf("%d allocations are active, want %d", got, n)
		}
	}
	want(2) // they are new
	c.bind(wire.MinChannel, peer.addr)
	for range 3 { // the kernel takes over after the first
		clock.advance(within)
		want(0)
		c.sendChannel(wire.MinChannel, []byte("up"))
		peer.want(relayed, []byte("up"))
		want(1)
		clock.advance(within)
		want(0)
		peer.send(relayed, []byte("down"))
		c.wantData(wire.MinChannel, peer.addr, []byte("down"))
		waitFor(t, "the packet to be counted", func() bool { return s.Active(within) == 1 })
	}
}
