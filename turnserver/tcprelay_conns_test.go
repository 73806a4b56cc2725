package turnserver

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/wire"
)

// TestConnectFails: the client learns of the failure, the reason is counted, and the next Connect may succeed.
func TestConnectFails(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, peer := dialREST(t, s, network, "alice"), newTCPPeer(t)
		relayed := c.allocateTCP()
		_ = peer.ln.Close()
		c.refuse(447, stun.MethodConnect, peerAddr(peer.addr))
		waitCounted(t, s, "peer_connections_failed", "failed", 1)
		wantNoPeerConns(t, s)
		var err error
		if peer.ln, err = net.Listen("tcp4", peer.addr.String()); err != nil {
			t.Fatal(err)
		}
		c.connectTo(peer.addr)
		peer.accept(relayed)
		_ = peer.ln.Close()

		for name, attrs := range map[string][]stun.Setter{
			"no peer":       nil,
			"port 0":        {peerAddr(netip.AddrPortFrom(peerIP, 0))},
			"half an IP":    {attribute{stun.AttrXORPeerAddress, []byte{0, 1, 1, 1, 1, 1}}},
			"a bad family":  {attribute{stun.AttrXORPeerAddress, []byte{0, 3, 1, 1, 1, 1, 1, 1}}},
			"too long a v4": {attribute{stun.AttrXORPeerAddress, make([]byte, 20)}},
		} {
			if got := codeOf(t, c.do(stun.MethodConnect, attrs...)); got != 400 {
				t.Errorf("%s: answered %d", name, got)
			}
		}
		c.refuse(443, stun.MethodConnect, peerAddr(at("2606:4700:4700::1111")))
		c.refuse(420, stun.MethodConnect, peerAddr(peer.addr), attribute{stun.AttrType(0x7fff), nil})
	})
}

// TestConnectionBind: a claim needs a stream without an allocation, and an ID that waits for just this user.
func TestConnectionBind(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
		c, peer := dialAs(t, s, network, cred), newTCPPeer(t)
		relayed := c.allocateTCP()
		id := c.connectTo(peer.addr)
		far := peer.accept(relayed)
		c.refuse(400, stun.MethodConnectionBind, id) // on the allocation's own stream
		for _, datagrams := range []string{"udp", "dtls"} {
			dialAs(t, s, datagrams, cred).refuse(400, stun.MethodConnectionBind, id)
		}
		data := dialAs(t, s, network, cred)
		data.refuse(400, stun.MethodConnectionBind)
		data.refuse(400, stun.MethodConnectionBind, attribute{stun.AttrConnectionID, id.value[:3]})
		data.refuse(400, stun.MethodConnectionBind, attribute{stun.AttrConnectionID, append(bytes.Clone(id.value), 0)})
		other := bytes.Clone(id.value)
		other[0]++
		data.refuse(400, stun.MethodConnectionBind, attribute{stun.AttrConnectionID, other})
		near := data.claim(id) // after all that, on the same stream
		near.send([]byte("there"))
		far.want([]byte("there"))
	})
}

// TestConnectionBindNonce: the nonce of the allocation does for a claim from its address, as there are clients that try
// no other. From elsewhere, and for anything else, it is another client's.
func TestConnectionBindNonce(t *testing.T) {
	s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
	c, peer := dialAs(t, s, "tcp", cred), newTCPPeer(t)
	c.allocateTCP()
	id := c.connectTo(peer.addr)
	knowing := func(d *testClient) *testClient {
		d.as(cred)
		d.realm, d.nonce, d.key = c.realm, c.nonce, c.key
		return d
	}
	elsewhere := knowing(dialFrom(t, s, "tcp", "127.0.0.3"))
	elsewhere.wantCode(elsewhere.roundTrip(elsewhere.build(stun.MethodConnectionBind, id)), 438)
	near := knowing(dial(t, s, "tcp"))
	near.wantCode(near.roundTrip(near.build(stun.MethodAllocate, transport(transportTCP))), 438)
	near.wantCode(near.roundTrip(near.build(stun.MethodConnectionBind, attribute{stun.AttrConnectionID, make([]byte, 4)})), 438)
	near.wantCode(near.roundTrip(near.build(stun.MethodConnectionBind, id)), 0)
}

// TestUnclaimed: a connection waits for thirty seconds, and is then closed.
func TestUnclaimed(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, allowLoopback)
		cred := mintREST(t, "alice", time.Hour)
		c, peer := dialAs(t, s, network, cred), newTCPPeer(t)
		relayed := c.allocateTCP()
		c.permit(peer.addr)
		made := c.connectTo(peer.addr)
		far := peer.accept(relayed)
		clock.advance(bindTime - 5*time.Second)
		came, _ := peer.dial(relayed)
		_, accepted := c.attempted()
		s.sweep()
		clock.advance(6 * time.Second)
		dialAs(t, s, network, cred).refuse(400, stun.MethodConnectionBind, made) // swept or not
		s.sweep()
		far.wantEnded()
		waitCounted(t, s, "peer_connections_failed", "unclaimed", 1)
		near := dialAs(t, s, network, cred).claim(accepted)
		clock.advance(2 * bindTime)
		s.sweep()
		near.send([]byte("claimed"))
		came.want([]byte("claimed"))
	})
}

// TestPeersWithoutPermission are closed at once, and cost nothing else.
func TestPeersWithoutPermission(t *testing.T) {
	s, clock := startClocked(t, allowLoopback)
	c, peer := dialREST(t, s, "tcp", "alice"), newTCPPeer(t)
	relayed := c.allocateTCP()
	wantShutOut(t, peerIP, relayed)
	waitCounted(t, s, "peer_connections_failed", "no_permission", 1)
	c.permit(peer.addr)
	peer.dial(relayed)
	c.attempted()
	clock.advance(permissionLifetime)
	wantShutOut(t, peerIP, relayed)
	waitCounted(t, s, "peer_connections_failed", "no_permission", 2)

	c.permit(relayed) // which is at an address of this host: its other ports may not connect
	wantShutOut(t, loopback, relayed)
	waitCounted(t, s, "peer_connections_failed", "own_host", 1)
	c.wantSilence()
}

// TestPeerConnectionEnds: with either side, its allocation, its session and its server, whether it is made, waits or
// carries data. Then neither side is left, and the port is free.
func TestPeerConnectionEnds(t *testing.T) {
	all := func(b *bridge, waiting *testData, s *Server) {
		b.client.wantEnded()
		b.peer.wantEnded()
		waiting.wantEnded()
		waitFor(t, "the port to be free", func() bool { return heldPorts(s) == 0 })
	}
	for name, row := range map[string]struct {
		end  func(b *bridge, s *Server, clock *testClock)
		want func(b *bridge, waiting *testData, s *Server)
	}{
		"refresh with lifetime 0": {func(b *bridge, _ *Server, _ *testClock) { b.control.accept(stun.MethodRefresh, lifetime(0)) }, all},
		"the allocation's stream": {func(b *bridge, _ *Server, _ *testClock) { _ = b.control.conn.Close() }, all},
		"expiry": {func(_ *bridge, s *Server, clock *testClock) {
			clock.advance(defaultLifetime)
			s.sweep()
		}, all},
		"the session":    {func(_ *bridge, s *Server, _ *testClock) { s.EndSession("S1") }, all},
		"the server":     {func(_ *bridge, s *Server, _ *testClock) { s.Drain(); _ = s.Close() }, all},
		"the client":     {func(b *bridge, _ *Server, _ *testClock) { _ = b.client.conn.Close(); _ = b.peer.conn.Close() }, nil},
		"the peer":       {func(b *bridge, _ *Server, _ *testClock) { _ = b.peer.conn.Close(); _ = b.client.conn.Close() }, nil},
		"the peer reset": {func(b *bridge, _ *Server, _ *testClock) { reset(b.peer.conn) }, func(b *bridge, _ *testData, _ *Server) { b.client.wantEnded() }},
		"the client reset": {func(b *bridge, _ *Server, _ *testClock) { reset(socketOf(b.client.conn)) },
			func(b *bridge, _ *testData, _ *Server) { b.peer.wantEnded() }},
	} {
		t.Run(name, func(t *testing.T) {
			onStreams(t, func(t *testing.T, network string) {
				s, clock := startClocked(t, func(cfg *Config) { allowLoopback(cfg); cfg.Scope = newScope(peerIP) })
				b, peer := newBridge(t, s, network, testCredentials().MintSession("S1", "alice", time.Hour)), newTCPPeer(t)
				b.control.permit(peer.addr)
				waiting, _ := peer.dial(b.relayed)
				b.control.attempted()
				row.end(b, s, clock)
				left := 1
				if row.want != nil {
					row.want(b, waiting, s)
				}
				if s.Allocations() == 0 {
					left = 0
				}
				waitFor(t, "nothing to be left", func() bool {
					pending, unclaimed, carrying := peerConnsOf(s)
					s.mu.Lock()
					defer s.mu.Unlock()
					return carrying == 0 && pending == left && unclaimed == left && len(s.streams) <= 1 // the control connection
				})
			})
		})
	}
}

// socketOf is the TCP connection below TLS, if there is TLS.
func socketOf(conn net.Conn) net.Conn {
	if secure, ok := conn.(*tls.Conn); ok {
		return secure.NetConn()
	}
	return conn
}

// TestTCPRelayToRelay: an allocation connects to another of this node, by either form of its address, and each sees the
// other as it knows it.
func TestTCPRelayToRelay(t *testing.T) {
	external := netip.MustParseAddr("203.0.113.9")
	inside := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(loopback, a.Port()) }
	outside := func(a netip.AddrPort) netip.AddrPort { return a }
	for name, form := range map[string]func(netip.AddrPort) netip.AddrPort{"external": outside, "local": inside} {
		t.Run(name, func(t *testing.T) {
			onStreams(t, func(t *testing.T, network string) {
				s := startServer(t, func(cfg *Config) { cfg.Relay[0].External = external })
				alice, bob := testCredentials().MintRelayOnly("alice", time.Hour), testCredentials().MintRelayOnly("bob", time.Hour)
				a, b := dialAs(t, s, network, alice), dialAs(t, s, network, bob)
				ra, rb := form(a.allocateTCP()), form(b.allocateTCP())
				b.permit(ra)
				id := a.connectTo(rb)
				from, accepted := b.attempted()
				if from != ra {
					t.Errorf("the connection comes from %v, want %v", from, ra)
				}
				near, far := dialAs(t, s, network, alice).claim(id), dialAs(t, s, network, bob).claim(accepted)
				near.send(pattern(100000))
				far.want(pattern(100000))
				far.send(pattern(50000))
				near.want(pattern(50000))
				near.finish()
				far.wantFinished()
				far.finish()
				near.wantFinished()
				wantNoPeerConns(t, s)
				for _, port := range []uint16{1, listenerAddr(t, s, "tcp").Port(), 49151} {
					for _, ip := range []netip.Addr{loopback, external} {
						a.refuse(403, stun.MethodConnect, peerAddr(netip.AddrPortFrom(ip, port)))
					}
				}
				waitCounted(t, s, "peers_denied", "own_host", 6)
			})
		})
	}
}

// TestRelayGoneWhileDialed: a connection to a relayed address of this host does not go to the client if that address
// has ended meanwhile.
func TestRelayGoneWhileDialed(t *testing.T) {
	s := startServer(t, nil)
	c := dialREST(t, s, "tcp", "alice")
	relay := s.relays.Load().tcp[0].allocationAt(c.allocateTCP().Port()).first.tcp
	service, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	to := destinationAmong(s.relays.Load().tcp, wire.EndpointOf(wire.AddrPortOf(service.Addr())))
	if conn, err := relay.dial(t.Context(), &to); !errors.Is(err, errRelayGone) {
		t.Errorf("connected to %v, %v", conn, err)
	}
}

// TestTCPOnEveryListener: a connection of an allocation may be claimed on any listener, behind a PROXY header, with TLS
// or without, on a port of HTTP's too.
func TestTCPOnEveryListener(t *testing.T) {
	for _, proxy := range []bool{false, true} {
		s, clear := shared(t, StreamOptions{}, func(cfg *Config) {
			allowLoopback(cfg)
			if proxy {
				proxied(cfg)
			}
		})
		secure := share(t, s, StreamOptions{TLS: true})
		cred := mintREST(t, "alice", time.Hour)
		listeners := map[netip.AddrPort]bool{listenerAddr(t, s, "tcp"): false, clear: false, listenerAddr(t, s, "tls"): true, secure: true}
		open := func(addr netip.AddrPort) *testClient {
			t.Helper()
			conn, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if proxy {
				if _, err := conn.Write([]byte("PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n")); err != nil {
					t.Fatal(err)
				}
			}
			if listeners[addr] {
				conn = tls.Client(conn, clientTLS())
			}
			return clientOn(t, conn).as(cred)
		}
		for control := range listeners {
			c := open(control)
			relayed := c.allocateTCP()
			for addr := range listeners {
				if proxy && addr == control {
					continue // the header would give both streams one five-tuple
				}
				peer := newTCPPeer(t)
				id := c.connectTo(peer.addr)
				far, near := peer.accept(relayed), open(addr).claim(id)
				near.send(pattern(5000))
				far.want(pattern(5000))
				far.send(pattern(5000))
				near.want(pattern(5000))
				near.finish()
				far.wantFinished()
				_ = far.conn.Close()
				near.wantFinished()
				wantNoPeerConns(t, s)
			}
			_ = c.conn.Close()
			waitFor(t, "the allocation to end", func() bool { return s.Allocations() == 0 })
		}
	}
}

// TestTCPAtOnce lets clients make, claim and end connections while their users end, the sweep runs and the server is
// asked. Each connection may succeed or not, but nothing may be left in the end.
func TestTCPAtOnce(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		allowLoopback(cfg)
		cfg.Limits.Openings, cfg.Limits.ConnectsPerMinute = 4, 1e6
	})
	peer := newTCPPeer(t)
	var clients, peers, others sync.WaitGroup
	peers.Go(func() {
		for {
			conn, err := peer.ln.Accept()
			if err != nil {
				return
			}
			peers.Go(func() {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 10))
				_, _ = conn.Write(pattern(1000))
			})
		}
	})
	stop := make(chan struct{})
	for _, disturb := range []func(){
		func() { s.EndUser("alice") }, s.sweep, func() { _ = s.Snapshot(); _ = s.Counters() },
	} {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					disturb()
					runtime.Gosched()
				}
			}
		})
	}
	for i := range 6 {
		network, cred := []string{"tcp", "tls"}[i%2], mintREST(t, []string{"alice", "bob", "carol"}[i/2], time.Hour)
		clients.Go(func() { connectAndLeave(t, s, network, cred, peer.addr) })
	}
	clients.Wait()
	close(stop)
	others.Wait()
	_ = peer.ln.Close()
	for _, user := range []string{"alice", "bob", "carol"} {
		s.EndUser(user)
	}
	peers.Wait()
	wantNoPeerConns(t, s)
	waitFor(t, "the ports to be free", func() bool { return heldPorts(s) == 0 && s.Allocations() == 0 })
	waitFor(t, "the streams to end", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.streams) == 0
	})
}

// connectAndLeave connects to a peer again and again, with allocations that may end at any moment.
func connectAndLeave(t *testing.T, s *Server, network string, cred auth.Credential, peer netip.AddrPort) {
	for n := range 8 {
		c := dialAs(t, s, network, cred).challenged()
		for range 3 {
			_ = c.roundTrip(c.build(stun.MethodAllocate, transport(transportTCP)))
			res := c.roundTrip(c.build(stun.MethodConnect, peerAddr(peer)))
			if codeOf(t, res) != 0 {
				continue
			}
			id := connectionIDIn(t, res)
			if n%3 == 0 {
				continue // left to be crowded out
			}
			data := dialAs(t, s, network, cred).challenged()
			data.write(data.build(stun.MethodConnectionBind, id).Raw)
			if frame, err := data.tryRead(); err == nil && codeOf(t, decode(t, frame)) == 0 { // else the allocation has ended just now
				_, _ = data.conn.Write(binary.BigEndian.AppendUint32(nil, uint32(n)))
				(&testData{t, data.conn, data.frames}).wantEnded()
			}
			_ = data.conn.Close()
		}
		_ = c.conn.Close()
	}
}

// claimFlood: one user carries data with as many peers as it may, and another is not hindered. What ends makes room.
func claimFlood(t *testing.T) {
	const limit = 3
	s := startServer(t, func(cfg *Config) {
		allowLoopback(cfg)
		cfg.Limits.PeerConnectionsPerUser = limit
	})
	cred := mintREST(t, "alice", time.Hour)
	b := newBridge(t, s, "tcp", cred)
	var open []bridge
	for range limit - 1 {
		open = append(open, *b)
		b.another(t, s, "tcp", cred)
	}
	peer := newTCPPeer(t)
	id := b.control.connectTo(peer.addr)
	data := dialAs(t, s, "tcp", cred)
	data.refuse(508, stun.MethodConnectionBind, id)
	waitCounted(t, s, "peer_connections_failed", "too_many", 1)
	bob := mintREST(t, "bob", time.Hour)
	newBridge(t, s, "tcp", bob).another(t, s, "tcp", bob)

	_, _ = open[0].client.conn.Close(), open[0].peer.conn.Close()
	waitFor(t, "the first to be gone", func() bool {
		s.peers.mu.Lock()
		defer s.peers.mu.Unlock()
		return s.peers.claimed == limit+1
	})
	near := data.claim(id)
	near.send([]byte("there is room"))
	peer.accept(b.relayed).want([]byte("there is room"))
}

// TestClaimsOfARange: REST credentials of one user count for the IPv6 ranges around their addresses, too.
func TestClaimsOfARange(t *testing.T) {
	s := newPeerConns(&Limits{PeerConnectionsPerUser: 2})
	claimed := 0
	for i := range 100 {
		source := front.SourceOf(netip.AddrFrom16([16]byte{0x26, 6, 0x47, 0, 0, 1, 0, byte(i), 15: 1}))
		h := holder{owner: owner{user: "alice"}, from: source}
		for !s.ownerIsFullLocked(h) {
			s.countClaimedLocked(h, 1)
			defer s.countClaimedLocked(h, -1)
			claimed++
		}
	}
	if want := 2 << 2; claimed != want {
		t.Errorf("%d in a /56, want %d", claimed, want)
	}
}
