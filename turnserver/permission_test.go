package turnserver

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// at makes a peer address with a port that does not matter.
func at(ip string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(ip), 9) }

// permissionsOf counts the permissions that the one allocation of a server holds.
func permissionsOf(s *Server) (n int) {
	for _, sh := range s.shards {
		for _, a := range sh.allocations.All() {
			n += len(a.permitted())
		}
	}
	return n
}

// createPermissionIsAllOrNothing: one denied peer makes the server refuse all.
func createPermissionIsAllOrNothing(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c := dialREST(t, s, network, "alice")
		c.allocate()
		good, denied := at("127.0.0.2"), at("10.0.0.1")
		for name, row := range map[string]struct {
			code  int
			attrs []stun.Setter
		}{
			"denied last":       {403, peersOf(good, at("1.1.1.1"), denied)},
			"denied first":      {403, peersOf(denied, good)},
			"denied alone":      {403, peersOf(denied)},
			"other family":      {443, peersOf(good, at("2606:4700::1111"))},
			"no peer":           {400, nil},
			"address too short": {400, append(peersOf(good), attribute{stun.AttrXORPeerAddress, make([]byte, 7)})},
			"address too long":  {400, append(peersOf(good), attribute{stun.AttrXORPeerAddress, []byte{0, 1, 0, 0, 0, 0, 0, 0, 0}})},
			"family 3":          {400, append(peersOf(good), attribute{stun.AttrXORPeerAddress, []byte{0, 3, 0, 0, 0, 0, 0, 0}})},
			"empty address":     {400, append(peersOf(good), attribute{stun.AttrXORPeerAddress, nil})},
		} {
			c.refuse(row.code, stun.MethodCreatePermission, row.attrs...)
			if n := permissionsOf(s); n != 0 {
				t.Fatalf("%s: %d permissions were made", name, n)
			}
		}
		if counterOf(t, s, "peers_denied", "private") != 3 || counterOf(t, s, "peers_denied", "address_family") != 1 {
			t.Error("the denied peers were not counted by reason:", s.Counters())
		}
		c.permit(good, at("1.1.1.1"), good)
		if n := permissionsOf(s); n != 2 {
			t.Errorf("%d permissions, want 2", n)
		}
	})
}

func TestPermissionLimit(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.Limits.PermissionsPerAllocation = 3 })
	c := dialREST(t, s, "udp", "alice")
	c.allocate()
	c.refuse(508, stun.MethodCreatePermission, peersOf(at("1.1.1.1"), at("1.1.1.2"), at("1.1.1.3"), at("1.1.1.4"))...)
	if permissionsOf(s) != 0 {
		t.Fatal("too many made some")
	}
	c.permit(at("1.1.1.1"), at("1.1.1.2"))
	c.refuse(508, stun.MethodCreatePermission, peersOf(at("1.1.1.3"), at("1.1.1.4"))...)
	c.bind(wire.MinChannel, at("1.1.1.3")) // takes the third
	c.refuse(508, stun.MethodChannelBind, channelNumber(wire.MinChannel+1), peerAddr(at("1.1.1.4")))
	c.refuse(508, stun.MethodCreatePermission, peerAddr(at("1.1.1.4")))
	c.permit(at("1.1.1.3"), at("1.1.1.2"), at("1.1.1.1")) // refreshing needs no room
	c.bind(wire.MinChannel+1, netip.AddrPortFrom(at("1.1.1.1").Addr(), 10))
	waitCounted(t, s, "limits_reached", "permissions_per_allocation", 4)
}

// manyPeersInOneRequest: the server refuses a request of nearly the greatest length before it compares its addresses.
func manyPeersInOneRequest(t *testing.T) {
	c := dialREST(t, startServer(t, nil), "udp", "alice")
	c.allocate()
	var peers []stun.Setter
	for i := range 300 {
		peers = append(peers, peerAddr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 1, byte(i >> 8), byte(i)}), 9)))
	}
	c.refuse(508, stun.MethodCreatePermission, peers...)
}

// TestPermissionExpires: five minutes after it was last made, nothing passes either way.
func TestPermissionExpires(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, allowLoopback)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed := c.allocate()
		both := func(word string) {
			t.Helper()
			c.indicate(peer.addr, []byte(word))
			peer.want(relayed, []byte(word))
			peer.send(relayed, []byte(word))
			c.wantData(0, peer.addr, []byte(word))
		}
		dropped := uint64(0)
		neither := func(word string) {
			t.Helper()
			c.indicate(peer.addr, []byte(word))
			peer.send(relayed, []byte(word))
			dropped += 2
			waitCounted(t, s, "packets_dropped", "no_permission", dropped)
		}
		neither("before")
		c.permit(peer.addr)
		both("permitted")
		clock.advance(4 * time.Minute)
		s.sweep()
		both("still")
		c.permit(netip.AddrPortFrom(peerIP, 1)) // a permission has no port
		clock.advance(4 * time.Minute)
		s.sweep()
		both("refreshed")
		clock.advance(time.Minute)
		neither("expired") // whether it was swept or not
		s.sweep()
		if n := permissionsOf(s); n != 0 {
			t.Errorf("%d permissions are left", n)
		}
		neither("swept")
		c.permit(peer.addr)
		both("anew") // and nothing that was dropped arrives late
	})
}

// TestPermissionIsByAddress: another address has none, another port of the same has.
func TestPermissionIsByAddress(t *testing.T) {
	s := startServer(t, allowLoopback)
	c, peer, neighbour := dialREST(t, s, "udp", "alice"), newPeer(t), newPeer(t)
	other := &testPeer{t: t, conn: listenAt(t, netip.MustParseAddr("127.0.0.3"))}
	other.addr = wire.AddrPortOf(other.conn.LocalAddr())
	relayed := c.allocate()
	c.permit(peer.addr)

	other.send(relayed, []byte("no"))
	neighbour.send(relayed, []byte("yes"))
	c.wantData(0, neighbour.addr, []byte("yes"))
	c.indicate(other.addr, []byte("no"))
	c.indicate(neighbour.addr, []byte("yes"))
	neighbour.want(relayed, []byte("yes"))
	waitCounted(t, s, "packets_dropped", "no_permission", 2)
}
