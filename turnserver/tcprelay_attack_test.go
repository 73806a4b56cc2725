package turnserver

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/peerpolicy"
	"example.org/turnpike/turnserver/wire"
)

// deniedPeersByConnect asks for connections to peers that no relay reaches, in every disguise: always 403, counted by
// reason, and nothing is begun.
func deniedPeersByConnect(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		bothFamilies(t)(cfg)
		cfg.AllowPeers, cfg.Limits.ConnectsPerMinute = nil, 1
	})
	c := dialREST(t, s, "tcp", "alice")
	c.accept(stun.MethodAllocate, transport(transportTCP), additionalFamily(wire.IPv6))
	for ip, why := range deniedPeers(t) {
		peer := netip.AddrPortFrom(wire.Canonical(netip.MustParseAddr(ip)), 80)
		disguises := []stun.Setter{peerAddr(peer)}
		if peer.Addr().Is4() {
			disguises = append(disguises, disguised(peer))
		}
		before := counterOf(t, s, "peers_denied", why)
		for _, disguise := range disguises {
			c.refuse(403, stun.MethodConnect, disguise)
		}
		if got := counterOf(t, s, "peers_denied", why) - before; got != uint64(len(disguises)) {
			t.Errorf("%s: %d of %d refusals were counted as %s", ip, got, len(disguises), why)
		}
	}
	wantNoPeerConns(t, s)
}

// ownHostByConnect: none of this host's ports is reached, by any of its addresses, but those that relay TCP.
func ownHostByConnect(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		cfg.AllowPeers = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		cfg.Relay = []RelayAddress{{Local: loopback, External: netip.MustParseAddr("203.0.113.9")}}
	})
	own := peerpolicy.Addresses{loopback: true, netip.IPv6Loopback(): true, netip.MustParseAddr("198.51.100.7"): true}
	s.ownHost.Store(&own)
	c, datagrams := dialREST(t, s, "tcp", "alice"), dialREST(t, s, "tcp", "alice")
	c.allocateTCP()
	udp := datagrams.allocate()
	c.permit(netip.AddrPortFrom(loopback, 1)) // which opens no port
	refused := uint64(0)
	for _, peer := range []netip.AddrPort{
		at("198.51.100.7"), listenerAddr(t, s, "tcp"), listenerAddr(t, s, "tls"), netip.AddrPortFrom(loopback, 1), udp,
		netip.AddrPortFrom(loopback, udp.Port()), netip.AddrPortFrom(udp.Addr(), listenerAddr(t, s, "tcp").Port()),
	} {
		for _, form := range []stun.Setter{peerAddr(peer), disguised(peer)} {
			c.refuse(403, stun.MethodConnect, form)
			refused++
		}
	}
	waitCounted(t, s, "peers_denied", "own_host", refused)
	wantNoPeerConns(t, s)
}

// scopeOfConnect: a session's credential connects to signalled addresses, and one of no session to live relayed
// addresses.
func scopeOfConnect(t *testing.T) {
	scope := newScope()
	s := startServer(t, func(cfg *Config) { allowLoopback(cfg); cfg.Scope = scope })
	c, alone, peer := dialSession(t, s, "tcp", "S1"), dialAs(t, s, "tcp", testCredentials().MintRelayOnly("alice", time.Hour)), newTCPPeer(t)
	relayed, other := c.allocateTCP(), alone.allocateTCP()
	c.refuse(403, stun.MethodConnect, peerAddr(peer.addr))
	alone.refuse(403, stun.MethodConnect, peerAddr(peer.addr))
	waitCounted(t, s, "peers_denied", "not_signalled", 2)
	scope.set(func() { scope.peers[peerIP] = true })
	c.connectTo(peer.addr)
	peer.accept(relayed)
	alone.refuse(403, stun.MethodConnect, peerAddr(peer.addr))
	alone.permit(relayed)
	c.connectTo(other)
	if from, _ := alone.attempted(); from != relayed {
		t.Errorf("the connection comes from %v", from)
	}
}

// connectSweep scans through Connect. A user may ask for so many connections, with all of its allocations together,
// also with those that it ends and makes anew. The server does not hold others back.
func connectSweep(t *testing.T) {
	const most = 20
	s, clock := startClocked(t, func(cfg *Config) {
		allowLoopback(cfg)
		cfg.Limits.ConnectsPerMinute = most
	})
	peer := newTCPPeer(t)
	closed := peer.addr
	_ = peer.ln.Close()
	connects, c := 0, dialREST(t, s, "tcp", "mallory")
	for port := uint16(1); ; port++ {
		if port%5 == 1 {
			_ = c.conn.Close()
			c = dialREST(t, s, "tcp", "mallory")
			c.allocateTCP()
		}
		res := c.do(stun.MethodConnect, peerAddr(closed))
		if codeOf(t, res) == 508 {
			break
		}
		c.wantCode(res, 447)
		if connects++; connects > most {
			break
		}
	}
	if connects != most {
		t.Errorf("%d connections could be asked for, want %d", connects, most)
	}
	waitCounted(t, s, "peer_connections_failed", "failed", most)
	waitCounted(t, s, "peer_connections_failed", "too_often", 1)
	other, open := dialREST(t, s, "tcp", "alice"), newTCPPeer(t)
	other.allocateTCP()
	other.connectTo(open.addr)
	clock.advance(time.Minute / most)
	c.refuse(447, stun.MethodConnect, peerAddr(closed))
	c.refuse(508, stun.MethodConnect, peerAddr(closed))
	wantNoPending(t, s, 1)
}

// wantNoPending waits until so many connections are pending, and no more.
func wantNoPending(t *testing.T, s *Server, want int) {
	t.Helper()
	waitFor(t, "connections to be forgotten", func() bool { pending, _, _ := peerConnsOf(s); return pending == want })
}

// pendingFlood leaves connections pending, made and accepted: an allocation, a user and all together have at most so
// many, and another client gets through.
func pendingFlood(t *testing.T) {
	const ofAllocation, ofUser, ofAll = 4, 6, 10
	s := startServer(t, func(cfg *Config) {
		allowLoopback(cfg)
		cfg.Limits.PendingConnectionsPerAllocation, cfg.Limits.PendingConnectionsPerUser, cfg.Limits.Openings = ofAllocation, ofUser, ofAll
	})
	peer := newTCPPeer(t)
	flood := func(user string) (taken int) {
		c := dialREST(t, s, "tcp", user)
		relayed := c.allocateTCP()
		c.permit(peer.addr)
		for range ofAllocation / 2 {
			if codeOf(t, c.do(stun.MethodConnect, peerAddr(newTCPPeer(t).addr))) == 0 {
				taken++
			}
		}
		accepted := func() int { return int(counterOf(t, s, "peer_connections_made", "down")) }
		refused := func() int { return int(counterOf(t, s, "peer_connections_failed", "too_many")) }
		before, judged := accepted(), accepted()+refused()
		for range ofAllocation {
			if conn, err := tryDial(peerIP, relayed); err == nil {
				defer conn.Close()
			}
		}
		waitFor(t, "the peer's connections to be accepted or refused", func() bool { return accepted()+refused()-judged == ofAllocation })
		return taken + accepted() - before
	}
	if first := flood("mallory"); first != ofAllocation {
		t.Errorf("an allocation has %d pending, want %d", first, ofAllocation)
	}
	if second := flood("mallory"); second != ofUser-ofAllocation {
		t.Errorf("the user's other allocation has %d, want %d", second, ofUser-ofAllocation)
	}
	flood("oscar")
	cred := mintREST(t, "alice", time.Hour)
	b := newBridge(t, s, "tcp", cred)
	b.client.send([]byte("through"))
	b.peer.want([]byte("through"))
	if crowdedOut := counterOf(t, s, "peer_connections_failed", "crowded_out"); crowdedOut != 1 {
		t.Errorf("%d were crowded out", crowdedOut)
	}
	wantNoPending(t, s, ofAll-1)
}

// anothersConnection claims another user's connection, whose ID it knows or guesses. It gets the same answer as if
// there were none, and the owner can still claim the connection, once.
func anothersConnection(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
		c, peer := dialAs(t, s, network, cred), newTCPPeer(t)
		relayed := c.allocateTCP()
		id := c.connectTo(peer.addr)
		far := peer.accept(relayed)
		unknown := attribute{stun.AttrConnectionID, bytes.Clone(id.value)}
		unknown.value[3] ^= 1
		for _, thief := range []*testClient{
			dialREST(t, s, network, "mallory"), dialSession(t, s, network, "alice"), dialAs(t, s, network, mintREST(t, "alice", 2*time.Hour)),
		} {
			known, guessed := thief.refuse(400, stun.MethodConnectionBind, id), thief.refuse(400, stun.MethodConnectionBind, unknown)
			if len(known.Raw) != len(guessed.Raw) {
				t.Error("an ID that there is and one that there is not are answered differently")
			}
		}
		wrong := cred
		wrong.Password += "x"
		stranger := dialAs(t, s, network, wrong).challenged()
		stranger.wantCode(stranger.roundTrip(stranger.build(stun.MethodConnectionBind, id)), 401)

		owner := dialAs(t, s, network, cred).challenged()
		claim := owner.build(stun.MethodConnectionBind, id)
		owner.wantCode(owner.roundTrip(claim), 0)
		near := &testData{t, owner.conn, owner.frames}
		replay := dial(t, s, network)
		replay.wantCode(replay.roundTrip(claim), 438) // from elsewhere, word for word
		dialAs(t, s, network, cred).refuse(400, stun.MethodConnectionBind, id)
		near.send([]byte("mine"))
		far.want([]byte("mine"))
		far.send([]byte("yours"))
		near.want([]byte("yours"))
	})
}

// connectionIDsAreRandom: nobody can guess the next ID from one.
func connectionIDsAreRandom(t *testing.T) {
	s := startServer(t, allowLoopback)
	c := dialREST(t, s, "tcp", "alice")
	c.allocateTCP()
	seen := make(map[[2]byte]bool)
	for range 12 {
		id := c.connectTo(newTCPPeer(t).addr).value
		seen[[2]byte(id[:2])], seen[[2]byte(id[2:])] = true, true
	}
	if len(seen) < 22 { // of 24: three that are equal by chance are not seen in a lifetime
		t.Errorf("the IDs have but %d different halves", len(seen))
	}
}

// strangersFlood connects to a relayed address without permission. The server closes and counts each connection, and
// neither the client nor a permitted peer notices.
func strangersFlood(t *testing.T) {
	s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
	b, peer := newBridge(t, s, "tcp", cred), newTCPPeer(t)
	const flood = 300
	for range flood {
		wantShutOut(t, netip.MustParseAddr("127.0.0.3"), b.relayed)
	}
	waitCounted(t, s, "peer_connections_failed", "no_permission", flood)
	b.control.wantSilence()
	b.control.permit(peer.addr)
	_, from := peer.dial(b.relayed)
	if announcedFrom, _ := b.control.attempted(); announcedFrom != from {
		t.Errorf("announced from %v", announcedFrom)
	}
	b.client.send([]byte("still there"))
	b.peer.want([]byte("still there"))
}
