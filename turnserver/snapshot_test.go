package turnserver

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestSnapshot: the list of allocations is live, and says of each whose it is, where it leads and what it has carried.
func TestSnapshot(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, allowLoopback)
		peer, stranger := newPeer(t), newPeer(t)
		c := dialREST(t, s, network, "alice")
		relayed := c.allocate()
		c.permit(at("127.0.0.3"))
		c.bind(minChannel, peer.addr)
		c.sendChannel(minChannel, pattern(100))
		peer.want(relayed, pattern(100))
		for range 2 {
			peer.send(relayed, pattern(50))
			c.wantData(minChannel, peer.addr, pattern(50))
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
		if a.User != "alice" || a.Session != "" || a.Transport != network || a.Client != c.addr() || a.Server != addrPortOf(c.conn.RemoteAddr()) {
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
		if len(a.Peers) != 0 || len(a.Channels) != 0 || !slices.Equal(a.Dropped, []Counter{{"packets_dropped", "no_permission", 1}}) {
			t.Errorf("after its permissions: %+v", a)
		}
		s.EndUser("alice")
		if all := s.Snapshot(); len(all) != 0 {
			t.Errorf("after its end: %+v", all)
		}
	})
}
