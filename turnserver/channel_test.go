package turnserver

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

func TestChannelBindRefusals(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c := dialREST(t, s, network, "alice")
		c.allocate()
		good := peerAddr(at("127.0.0.2"))
		for name, row := range map[string]struct {
			code  int
			attrs []stun.Setter
		}{
			"below the range":   {400, []stun.Setter{channelNumber(wire.MinChannel - 1), good}},
			"above the range":   {400, []stun.Setter{channelNumber(wire.MaxChannel + 1), good}},
			"channel 0":         {400, []stun.Setter{channelNumber(0), good}},
			"channel 0xFFFF":    {400, []stun.Setter{channelNumber(0xFFFF), good}},
			"no channel":        {400, []stun.Setter{good}},
			"channel too short": {400, []stun.Setter{attribute{stun.AttrChannelNumber, []byte{0x40, 0}}, good}},
			"no peer":           {400, []stun.Setter{channelNumber(wire.MinChannel)}},
			"peer too short":    {400, []stun.Setter{channelNumber(wire.MinChannel), attribute{stun.AttrXORPeerAddress, []byte{0, 1, 2}}}},
			"denied peer":       {403, []stun.Setter{channelNumber(wire.MinChannel), peerAddr(at("10.0.0.1"))}},
			"other family":      {443, []stun.Setter{channelNumber(wire.MinChannel), peerAddr(at("2606:4700::1111"))}},
		} {
			c.refuse(row.code, stun.MethodChannelBind, row.attrs...)
			if permissionsOf(s) != 0 {
				t.Fatalf("%s: a permission was made", name)
			}
		}
		c.bind(wire.MinChannel, at("127.0.0.2"))
		c.bind(wire.MaxChannel, at("127.0.0.3"))
	})
}

// TestOldChannelNumbers: RFC 5766 had the numbers up to 0x7FFF, and its clients draw from all of them. They carry data both ways.
func TestOldChannelNumbers(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c := dialREST(t, s, network, "alice")
		relayed := c.allocate()
		for _, channel := range []uint16{0x4FFF, 0x5000, 0x6ABC, 0x7FFF} {
			peer, data := newPeer(t), []byte{byte(channel >> 8), 1, 2}
			c.bind(channel, peer.addr)
			c.sendChannel(channel, data)
			peer.want(relayed, data)
			peer.send(relayed, data)
			c.wantData(channel, peer.addr, data)
		}
	})
}

func TestChannelConflicts(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, allowLoopback)
		c := dialREST(t, s, network, "alice")
		c.allocate(lifetime(3600))
		first, second := at("127.0.0.2"), netip.AddrPortFrom(peerIP, 10)
		conflict := func(channel uint16, peer netip.AddrPort) {
			t.Helper()
			c.refuse(400, stun.MethodChannelBind, channelNumber(channel), peerAddr(peer))
		}
		c.bind(0x4001, first)
		conflict(0x4002, first)
		conflict(0x4001, second)
		c.bind(0x4001, first)
		c.bind(0x4002, second)
		conflict(0x4001, second) // each bound, but not to each other

		clock.advance(channelLifetime)
		s.sweep()
		c.bind(0x4001, second)
		c.bind(0x4002, first)
	})
}

func TestChannelLimit(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		allowLoopback(cfg)
		cfg.Limits.ChannelsPerAllocation = 2
	})
	c := dialREST(t, s, "udp", "alice")
	c.allocate()
	peer := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(peerIP, port) }
	c.bind(0x4001, peer(1))
	c.bind(0x4002, peer(2))
	c.refuse(508, stun.MethodChannelBind, channelNumber(0x4003), peerAddr(peer(3)))
	c.bind(0x4001, peer(1))
	waitCounted(t, s, "limits_reached", "channels_per_allocation", 1)
}

// TestChannelExpires: ten minutes after its last binding a channel is unbound. Its permission goes after five, unless
// renewed.
func TestChannelExpires(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, allowLoopback)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed := c.allocate(lifetime(3600))
		both := func(word string) {
			t.Helper()
			c.sendChannel(wire.MinChannel, []byte(word))
			peer.want(relayed, []byte(word))
			peer.send(relayed, []byte(word))
			c.wantData(wire.MinChannel, peer.addr, []byte(word))
		}
		neither := func(word string) {
			t.Helper()
			up, down := counterOf(t, s, "packets_dropped", "no_channel"), counterOf(t, s, "packets_dropped", "no_permission")
			c.sendChannel(wire.MinChannel, []byte(word))
			peer.send(relayed, []byte(word))
			waitCounted(t, s, "packets_dropped", "no_channel", up+1)
			waitCounted(t, s, "packets_dropped", "no_permission", down+1)
		}
		neither("before")
		c.bind(wire.MinChannel, peer.addr) // makes the permission, too
		both("bound")
		clock.advance(permissionLifetime)
		neither("permission expired")
		s.sweep()
		neither("permission swept")
		c.permit(peer.addr)
		both("permission revived") // the channel was bound all the while
		c.bind(wire.MinChannel, peer.addr)
		clock.advance(channelLifetime - time.Second)
		s.sweep()
		c.permit(peer.addr)
		both("rebound")
		clock.advance(time.Second)
		s.sweep()

		// The permission lives, so the peer's data comes as an indication.
		c.sendChannel(wire.MinChannel, []byte("unbound"))
		peer.send(relayed, []byte("unbound"))
		c.wantData(0, peer.addr, []byte("unbound"))
		c.bind(wire.MinChannel+1, peer.addr)
		c.sendChannel(wire.MinChannel+1, []byte("another"))
		peer.want(relayed, []byte("another"))
		if up, down := flowsOf(s); up != 1 || down != 1 {
			t.Errorf("the flow table holds %d flows up and %d down, want 1", up, down)
		}
	})
}

// flowsOf counts the flows in the tables.
func flowsOf(s *Server) (up, down int) {
	for _, sh := range s.shards {
		up, down = up+sh.flows.fromClient.Size(), down+sh.flows.fromPeer.Size()
	}
	return up, down
}

func TestChannelDataNotRelayed(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed := c.allocate()
		c.bind(wire.MinChannel, peer.addr)
		c.sendChannel(wire.MinChannel+1, []byte("unbound"))
		c.sendChannel(wire.MaxChannel, []byte("unbound"))
		if network == "udp" { // on a stream these end it
			c.write([]byte{0x40, 0x00, 0x00, 0x05, 'c', 'u', 't', '!'})
			c.write([]byte{0x80, 0x00, 0x00, 0x01, 'x', 0, 0, 0})
		}
		c.sendChannel(wire.MinChannel, []byte("bound"))
		peer.want(relayed, []byte("bound"))
		c.wantSilence()
		waitCounted(t, s, "packets_dropped", "no_channel", 2)
		if network == "udp" {
			waitCounted(t, s, "packets_dropped", "malformed", 2)
		}
		// Padding on UDP is allowed, and is not data (RFC 8656 §12.5).
		c.write([]byte{0x40, 0x00, 0x00, 0x05, 'p', 'a', 'd', 'd', '?', 0, 0, 0})
		peer.want(relayed, []byte("padd?"))
	})
}

// TestChannelsEndWithTheAllocation: nothing of an allocation outlives it in the flow table, whenever it ends.
func TestChannelsEndWithTheAllocation(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, peer := dialREST(t, s, network, "alice"), netip.AddrPortFrom(peerIP, 9)
		c.allocate()
		c.bind(wire.MinChannel, peer)
		var a *allocation
		for _, sh := range s.shards {
			for _, live := range sh.all() {
				a = live
			}
		}
		c.accept(stun.MethodRefresh, lifetime(0))

		// A request that found the allocation just before it ended.
		if got := a.shard.bind(a, wire.MinChannel+1, s.destinationOf(wire.EndpointOf(peer)), s.now(), &s.cfg.Limits); got != outcomeEnded {
			t.Errorf("binding a channel of an ended allocation: %v", got)
		}
		if got := a.shard.permit(a, [][16]byte{wire.EndpointOf(peer).IP}, s.now(), 10); got != outcomeEnded {
			t.Errorf("permitting a peer of an ended allocation: %v", got)
		}
		if a.shard.refresh(a, nil, s.now(), s.now()) {
			t.Error("an ended allocation was refreshed")
		}
		if up, down := flowsOf(s); up != 0 || down != 0 {
			t.Errorf("the flow table holds %d flows up and %d down", up, down)
		}
		c.sendChannel(wire.MinChannel, []byte("late"))
		waitCounted(t, s, "packets_dropped", "no_channel", 1)
	})
}
