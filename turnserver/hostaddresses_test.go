package turnserver

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/peerpolicy"
	"example.org/turnpike/turnserver/wire"
)

// nameLoopback names the relay's own address in allow_peers.
func nameLoopback(cfg *Config) {
	cfg.AllowPeers = []netip.Prefix{netip.PrefixFrom(loopback, 32)}
	cfg.Scope = newScope(loopback)
}

// TestOpenedHost: an SFU on the relay's own address is reached where the operator names that address, both ways, by
// channels and indications.
func TestOpenedHost(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nameLoopback)
		c, sfu := dialREST(t, s, network, "alice"), newPeerAt(t, loopback)
		relayed := c.allocate()
		c.permit(sfu.addr)
		c.indicate(sfu.addr, []byte("in an indication"))
		sfu.want(relayed, []byte("in an indication"))
		c.bind(wire.MinChannel, sfu.addr)
		for range 3 {
			c.sendChannel(wire.MinChannel, []byte("on a channel"))
			sfu.want(relayed, []byte("on a channel"))
			sfu.send(relayed, []byte("and back"))
			c.wantData(wire.MinChannel, sfu.addr, []byte("and back"))
		}
	})
}

// TestOpenedHostBehindNAT: behind a 1:1 NAT, clients know the SFU by the external address, and packets reach it all the same, though no cloud
// sends them back in.
func TestOpenedHostBehindNAT(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		external := netip.MustParseAddr("203.0.113.9")
		s := startServer(t, func(cfg *Config) {
			cfg.Relay = []RelayAddress{{Local: loopback, External: external}}
			cfg.AllowPeers = []netip.Prefix{netip.PrefixFrom(external, 32)}
		})
		c, sfu := dialREST(t, s, network, "alice"), newPeerAt(t, loopback)
		seen := netip.AddrPortFrom(external, sfu.addr.Port())
		relayed := netip.AddrPortFrom(loopback, c.allocate().Port())
		c.permit(seen)
		c.indicate(seen, []byte("in an indication"))
		sfu.want(relayed, []byte("in an indication"))
		sfu.send(relayed, []byte("and back"))
		c.wantData(0, seen, []byte("and back"))
		c.bind(wire.MinChannel, seen)
		for range 3 {
			c.sendChannel(wire.MinChannel, []byte("on a channel"))
			sfu.want(relayed, []byte("on a channel"))
			sfu.send(relayed, []byte("and back"))
			c.wantData(wire.MinChannel, seen, []byte("and back"))
		}
		c.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel+1), peerAddr(sfu.addr)) // its local address has no name here
	})
}

// TestOpenedPorts: the operator can open some UDP ports of the host alone.
func TestOpenedPorts(t *testing.T) {
	sfu, other := newPeerAt(t, loopback), newPeerAt(t, loopback)
	s := startServer(t, func(cfg *Config) {
		nameLoopback(cfg)
		port := sfu.addr.Port()
		cfg.AllowOwnPorts = []PortRange{{Min: 1, Max: 2}, {Min: port, Max: port}}
	})
	c := dialREST(t, s, "udp", "alice")
	relayed := c.allocate()
	c.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(other.addr))
	c.permit(other.addr)
	c.indicate(other.addr, []byte("closed"))
	waitCounted(t, s, "packets_dropped", "no_such_relayed_address", 1)
	c.bind(wire.MinChannel, sfu.addr)
	c.sendChannel(wire.MinChannel, []byte("open"))
	sfu.want(relayed, []byte("open"))
}

// TestOpenedHostOnly: nothing else of the host is reached there, and by nobody but apps' own credentials. A range that
// contains the address opens nothing.
func TestOpenedHostOnly(t *testing.T) {
	sfu := newPeerAt(t, loopback)
	refused := func(t *testing.T, s *Server, c *testClient, peer netip.AddrPort) {
		t.Helper()
		c.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(peer))
		c.permit(netip.AddrPortFrom(loopback, 1)) // permissions carry no port
		dropped := counterOf(t, s, "packets_dropped", "no_such_relayed_address")
		c.indicate(peer, buildMessage(t, stun.BindingRequest).Raw)
		waitCounted(t, s, "packets_dropped", "no_such_relayed_address", dropped+1)
	}
	s := startServer(t, nameLoopback)
	for _, network := range []string{"udp", "dtls"} {
		c := dialREST(t, s, "udp", "alice")
		c.allocate()
		refused(t, s, c, listenerAddr(t, s, network)) // a relay there could become the client of another one
	}
	session := dialSession(t, s, "udp", "S1")
	session.allocate()
	refused(t, s, session, sfu.addr)
	relayOnly := dialAs(t, s, "udp", testCredentials().MintRelayOnly("alice", time.Hour))
	relayOnly.allocate()
	refused(t, s, relayOnly, sfu.addr)
	tcp := dialREST(t, s, "tcp", "alice")
	tcp.allocateTCP()
	tcp.refuse(403, stun.MethodConnect, peerAddr(listenerAddr(t, s, "tcp")))

	own := peerpolicy.Addresses{loopback: true, peerIP: true}
	s.ownHost.Store(&own)
	c := dialREST(t, s, "udp", "alice")
	c.allocate()
	c.refuse(403, stun.MethodCreatePermission, peerAddr(netip.AddrPortFrom(peerIP, 9)))

	ranged := startServer(t, func(cfg *Config) { cfg.AllowPeers = []netip.Prefix{netip.PrefixFrom(loopback, 31)} })
	c = dialREST(t, ranged, "udp", "alice")
	c.allocate()
	refused(t, ranged, c, sfu.addr)
}

// TestAddressMovesHere: an address that comes to this host is no longer reached by permissions and channels of before,
// whichever way packets take. Those for other peers stay.
func TestAddressMovesHere(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, moves, stays := dialREST(t, s, network, "alice"), newPeer(t), newPeerAt(t, netip.MustParseAddr("127.0.0.3"))
		relayed := c.allocate()
		c.bind(wire.MinChannel, moves.addr)
		c.bind(wire.MinChannel+1, stays.addr)
		both := func(channel uint16, peer *testPeer) {
			t.Helper()
			c.sendChannel(channel, []byte("out"))
			peer.want(relayed, []byte("out"))
			peer.send(relayed, []byte("in"))
			c.wantData(channel, peer.addr, []byte("in"))
		}
		for range 3 { // the kernel takes over after the first
			both(wire.MinChannel, moves)
			both(wire.MinChannel+1, stays)
		}
		own := peerpolicy.Addresses{loopback: true, peerIP: true}
		s.setOwnHost(own)
		s.flowQueue.told() // the kernel, of what was revoked
		c.sendChannel(wire.MinChannel, []byte("late"))
		c.indicate(moves.addr, []byte("late"))
		moves.send(relayed, []byte("late"))
		waitCounted(t, s, "packets_dropped", "no_channel", 1)
		waitCounted(t, s, "packets_dropped", "no_permission", 2)
		c.refuse(403, stun.MethodCreatePermission, peerAddr(moves.addr))
		both(wire.MinChannel+1, stays)
		if up, down := flowsOf(s); up != 1 || down != 1 {
			t.Errorf("%d flows up and %d down are left, want one", up, down)
		}

		// A request that was judged by the former list.
		a := s.relays.Load().udp[0].allocationAt(relayed.Port())
		if got := a.shard.permit(a, [][16]byte{peerIP.As16()}, s.now(), 10); got != outcomeDone {
			t.Fatalf("permit: %v", got)
		}
		s.sweep()
		if a.permits(peerIP.As16(), s.now()) {
			t.Error("a permission for this host outlives the next sweep")
		}
	})
}

// TestHostIsReadAgain: the list that the server reads itself revokes likewise.
func TestHostIsReadAgain(t *testing.T) {
	var here netip.Addr
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.(*net.IPNet).IP); ok && wire.Canonical(ip).Is4() && wire.Canonical(ip) != loopback {
			here = wire.Canonical(ip)
		}
	}
	if !here.IsValid() {
		here = loopback
	}
	relay := loopback
	if here == loopback {
		relay = peerIP
	}
	s := startServer(t, func(cfg *Config) {
		cfg.AllowPeers = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
		cfg.Relay = []RelayAddress{{Local: relay}}
	})
	s.ownHost.Store(&peerpolicy.Addresses{}) // as if the address were another host's
	c := dialREST(t, s, "udp", "alice")
	relayed := c.allocate()
	c.permit(netip.AddrPortFrom(here, 9))
	s.readOwnHost()
	a := s.relays.Load().udp[0].allocationAt(relayed.Port())
	if a.permits(here.As16(), s.now()) {
		t.Errorf("a permission for %v stays", here)
	}
}
