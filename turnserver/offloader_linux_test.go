package turnserver

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// offloadedCall is a client and a peer whose packets go through the kernel.
type offloadedCall struct {
	*testClient
	peer    *testPeer
	relayed netip.AddrPort
	channel uint16 // 0: indications
}

func callOffloaded(t *testing.T, s *Server, c *testClient, channel uint16) offloadedCall {
	t.Helper()
	call := offloadedCall{c, newPeer(t), c.allocate(), channel}
	call.meet()
	call.exchange([]byte("hello"), []byte("hello")) // the first packet up comes before the peer has been seen
	c.barrier()                                     // by then it is counted
	return call
}

func (c offloadedCall) meet() {
	c.t.Helper()
	if c.channel == 0 {
		c.permit(c.peer.addr)
	} else {
		c.bind(c.channel, c.peer.addr)
	}
}

// message is the message in which the client sends data.
func (c offloadedCall) message(data []byte) []byte {
	c.t.Helper()
	if c.channel == 0 {
		return sendIndication(c.t, c.peer.addr, data)
	}
	return channelMessage(c.channel, data, c.isStream())
}

// exchange sends a packet each way.
func (c offloadedCall) exchange(out, in []byte) {
	c.t.Helper()
	c.write(c.message(out))
	c.peer.want(c.relayed, out)
	c.offloads()
	c.peer.send(c.relayed, in)
	c.wantData(c.channel, c.peer.addr, in)
}

// TestOffloaded: a channel's packets go through the kernel once each end has sent. They count as if they went through
// the process, while the flow lives and after it has ended.
func TestOffloaded(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	s, clock := startClocked(t, allowLoopback)
	call := callOffloaded(t, s, dialREST(t, s, "udp", "alice"), wire.MinChannel)
	const rounds = 10
	for range rounds {
		call.exchange(pattern(100), pattern(50))
	}
	call.indicate(call.peer.addr, pattern(7))
	call.peer.want(call.relayed, pattern(7))
	counted := func(when string) {
		t.Helper()
		waitCounted(t, s, "packets_relayed", "up", rounds+2)
		waitCounted(t, s, "packets_relayed", "down", rounds+1)
		waitCounted(t, s, "relayed_bytes", "up", 100*rounds+5+7)
		waitCounted(t, s, "packets_offloaded", "up", rounds)
		waitCounted(t, s, "packets_offloaded", "down", rounds+1)
		waitCounted(t, s, "offloaded_bytes", "down", 50*rounds+5)
		waitCounted(t, s, "packets_not_offloaded", "unconfirmed", 1)
		a := s.Snapshot()[0]
		if (a.Up != Traffic{rounds + 2, 100*rounds + 5 + 7}) || (a.Down != Traffic{rounds + 1, 50*rounds + 5}) {
			t.Errorf("%s: %+v and %+v", when, a.Up, a.Down)
		}
	}
	counted("while it lives")
	a := s.Snapshot()[0]
	if len(a.Offloaded) != 1 || a.Offloaded[0] != (OffloadedFlow{call.peer.addr, Traffic{rounds, 100 * rounds}, Traffic{rounds + 1, 50*rounds + 5}}) {
		t.Errorf("%+v", a.Offloaded)
	}
	if got := s.Offload(); !got.On || got.Flows != 1 {
		t.Errorf("%+v", got)
	}
	for user, want := range map[string]bool{"alice": true, "bob": false} {
		offloads, found := s.Offloads(call.relayed, &auth.Grant{Kind: auth.GrantREST, User: user})
		if offloads != want || found != want {
			t.Errorf("%s is told %v, %v", user, offloads, found)
		}
	}
	call.accept(stun.MethodRefresh, lifetime(3600))
	clock.advance(channelLifetime)
	s.sweep()
	s.flowQueue.told()
	counted("after its end")
	if got := s.Offload(); got.Flows != 0 || s.Snapshot()[0].Offloaded != nil {
		t.Errorf("%+v", got)
	}
}

// TestOffloadedMove: the kernel forwards at the client's new place, and no more at the old one. What it has forwarded
// there still counts.
func TestOffloadedMove(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	s := startServer(t, allowMobility)
	c := dialREST(t, s, "udp", "alice")
	relayed, ticket := c.allocateMobile()
	call := offloadedCall{c, newPeer(t), relayed, wire.MinChannel}
	call.bind(wire.MinChannel, call.peer.addr)
	const rounds, moves = 5, 4
	exchanged := uint64(0)
	exchange := func() {
		t.Helper()
		for range rounds {
			call.exchange(pattern(100), pattern(50))
		}
		exchanged += rounds
		waitFor(t, "all to be counted", func() bool {
			a := s.Snapshot()[0]
			return a.Up == Traffic{exchanged, 100 * exchanged} && a.Down == Traffic{exchanged, 50 * exchanged}
		})
	}
	exchange()
	for range moves {
		was := call.testClient
		call.testClient = was.elsewhere(s, "udp")
		ticket = call.show(ticket)
		call.accept(stun.MethodRefresh)
		before := counterOf(t, s, "packets_offloaded", "down")
		exchange()
		if got := counterOf(t, s, "packets_offloaded", "down") - before; got < rounds-1 {
			t.Errorf("the kernel has forwarded %d of %d packets", got, rounds)
		}
		for key := range s.offloader.usage() {
			if key.Remote == was.addr() {
				t.Errorf("the kernel still forwards from where the client was: %+v", key)
			}
		}
		if flows := s.Offload().Flows; flows != 1 {
			t.Errorf("the kernel forwards %d flows", flows)
		}
		dropped := counterOf(t, s, "packets_dropped", "no_channel")
		was.sendChannel(wire.MinChannel, []byte("from where it was"))
		waitCounted(t, s, "packets_dropped", "no_channel", dropped+1)
	}
	call.testClient = call.elsewhere(s, "tcp")
	call.show(ticket)
	call.accept(stun.MethodRefresh)
	exchange()
	if left := s.offloader.usage(); len(left) != 0 || s.Offload().Flows != 0 {
		t.Errorf("the kernel still forwards for a client on a stream: %v", left)
	}
}

// TestOffloadedSegments: several packets may come as one, as from a sender on this machine or its hypervisor. The IP
// stack cuts them up, and the process relays each with its header.
func TestOffloadedSegments(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	s := startServer(t, allowLoopback)
	call := callOffloaded(t, s, dialREST(t, s, "udp", "alice"), wire.MinChannel)
	raw, err := call.conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const size, segments = 200, 8
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, wire.ChannelHeaderSize+size)
	}); e != nil || err != nil {
		t.Fatal(e, err)
	}
	var burst []byte
	for range segments {
		burst = append(burst, channelMessage(wire.MinChannel, pattern(size), false)...)
	}
	before := counterOf(t, s, "packets_offloaded", "up")
	call.write(burst)
	for range segments {
		call.peer.want(call.relayed, pattern(size))
	}
	waitCounted(t, s, "packets_relayed", "up", 1+segments)
	if got := counterOf(t, s, "packets_offloaded", "up") - before; got != 0 {
		t.Errorf("%d packets went through the kernel", got)
	}
	waitCounted(t, s, "packets_not_offloaded", "aggregated", segments)
}

// TestOffloadedFamilies: clients and peers of either family, by listeners on the unspecified address.
func TestOffloadedFamilies(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	s := startServer(t, func(cfg *Config) {
		allowLoopback(cfg)
		cfg.AllowPeers = append(cfg.AllowPeers, netip.PrefixFrom(offloadedPeerIP6, 128))
		cfg.Listen = []Listener{
			{Network: "udp", Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), 0)}, {Network: "udp", Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), 0)},
		}
		cfg.Relay = append(cfg.Relay, RelayAddress{Local: loopback6, External: loopback6})
	})
	for _, to := range []netip.AddrPort{
		netip.AddrPortFrom(loopback, s.Addrs()[0].Addr.Port()), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.7"), s.Addrs()[0].Addr.Port()),
		netip.AddrPortFrom(loopback6, s.Addrs()[1].Addr.Port()),
	} {
		for _, peerAt := range []netip.Addr{peerIP, offloadedPeerIP6} {
			for _, channel := range []uint16{wire.MinChannel, 0} {
				t.Run(fmt.Sprintf("%v and %v, channel %#x", to.Addr(), peerAt, channel), func(t *testing.T) {
					before := counterOf(t, s, "packets_offloaded", "up") + counterOf(t, s, "packets_offloaded", "down")
					conn := listenFree(t, peerAt)
					call := offloadedCall{
						testClient: dialAddr(t, "udp", to).as(mintREST(t, "alice", time.Hour)),
						peer:       &testPeer{t, conn, wire.AddrPortOf(conn.LocalAddr())}, channel: channel,
					}
					call.srv = s
					wanted := wire.IPv4
					if peerAt.Is6() {
						wanted = wire.IPv6
					}
					call.relayed = call.allocate(addressFamily(wanted))
					call.meet()
					for range 5 {
						call.exchange(pattern(120), pattern(81))
					}
					after := counterOf(t, s, "packets_offloaded", "up") + counterOf(t, s, "packets_offloaded", "down")
					if after-before != 9-uint64(min(1, channel^wire.MinChannel)) { // an indication comes before its flow
						t.Errorf("%d packets went through the kernel", after-before)
					}
				})
			}
		}
	}
}

// TestOffloadedHop: two clients of one server reach each other in one pass of the kernel. Behind a 1:1 NAT they do so
// by either of its two addresses.
func TestOffloadedHop(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	s := startServer(t, func(cfg *Config) { cfg.Relay[0].External = netip.MustParseAddr("203.0.113.9") })
	one, two := dialREST(t, s, "udp", "alice"), dialREST(t, s, "udp", "bob")
	oneAt, twoAt := one.allocate(), two.allocate()
	if oneAt.Addr() != s.relays.Load().udp[0].external {
		t.Fatalf("relayed address %v", oneAt)
	}
	one.bind(wire.MinChannel, twoAt)
	two.bind(wire.MaxChannel, oneAt)
	for i := range 10 {
		one.sendChannel(wire.MinChannel, pattern(10+i))
		two.wantData(wire.MaxChannel, oneAt, pattern(10+i))
		two.sendChannel(wire.MaxChannel, pattern(90))
		one.wantData(wire.MinChannel, twoAt, pattern(90))
	}
	waitCounted(t, s, "packets_relayed_in_memory", "", 20)
	waitCounted(t, s, "packets_offloaded", "up", 19)
	waitCounted(t, s, "packets_offloaded", "down", 19)
	for _, a := range s.Snapshot() {
		if a.Up.Packets != 10 || a.Down.Packets != 10 || len(a.Offloaded) != 1 {
			t.Errorf("%+v", a)
		}
	}
	// By its local address, which only the process knows to be the same.
	inside := dialREST(t, s, "udp", "carol")
	insideAt := inside.allocate()
	inside.bind(wire.MinChannel, netip.AddrPortFrom(loopback, twoAt.Port()))
	two.bind(wire.MaxChannel-1, insideAt)
	for range 3 {
		inside.sendChannel(wire.MinChannel, pattern(33))
		two.wantData(wire.MaxChannel-1, insideAt, pattern(33))
		two.sendChannel(wire.MaxChannel-1, pattern(34))
		inside.wantData(wire.MinChannel, netip.AddrPort{}, pattern(34))
	}
	// In indications, whatever the other one uses.
	three := dialREST(t, s, "udp", "dave")
	threeAt := three.allocate()
	three.permit(twoAt)
	two.bind(wire.MaxChannel-2, threeAt)
	hops := counterOf(t, s, "packets_offloaded", "up")
	for i := range 10 {
		three.indicate(twoAt, pattern(10+i))
		two.wantData(wire.MaxChannel-2, threeAt, pattern(10+i))
		three.offloads()
		two.sendChannel(wire.MaxChannel-2, pattern(90))
		three.wantData(0, twoAt, pattern(90))
	}
	if got := counterOf(t, s, "packets_offloaded", "up") - hops; got < 18 {
		t.Errorf("%d of 20 packets went through the kernel", got)
	}
	two.accept(stun.MethodRefresh, lifetime(0))
	one.sendChannel(wire.MinChannel, pattern(50))
	waitCounted(t, s, "packets_dropped", "no_such_relayed_address", 1)
}

// TestNotOffloaded: where the kernel does not forward, Offload and Offloads say so. They say nothing of other users'
// relays.
func TestNotOffloaded(t *testing.T) {
	s := startServer(t, func(cfg *Config) { allowLoopback(cfg); cfg.Offload = OffloadOff })
	relayed := dialREST(t, s, "udp", "alice").allocate()
	if got := s.Offload(); got != (OffloadStatus{}) {
		t.Errorf("%+v", got)
	}
	for _, row := range []struct {
		relayed netip.AddrPort
		user    string
		found   bool
	}{
		{relayed, "alice", true},
		{relayed, "bob", false},
		{netip.AddrPortFrom(relayed.Addr(), relayed.Port()^1), "alice", false},
		{netip.AddrPortFrom(peerIP, relayed.Port()), "alice", false},
	} {
		offloads, found := s.Offloads(row.relayed, &auth.Grant{Kind: auth.GrantREST, User: row.user})
		if offloads || found != row.found {
			t.Errorf("%s is told %v, %v of %v", row.user, offloads, found, row.relayed)
		}
	}
}
