package turnserver

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// pattern is data of which every cut and shift shows.
func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)*31
	}
	return b
}

// The most data that each way of carrying it has room for, in a UDP datagram over IPv4.
const (
	mostInChannelData = udpio.LargestPayload - wire.ChannelHeaderSize
	mostInIndication  = (udpio.LargestPayload - wire.HeaderSize - wire.AttrHeaderSize - 8 - wire.AttrHeaderSize) &^ 3
)

// mostOverDTLS is the size of a payload that pion/dtls reads, with all that is around it, in one datagram.
const mostOverDTLS = 8000

// TestSizes relays data of every size that is near an edge, both ways, in both forms. Data that do not fit are counted.
// They are not cut, and do not stand in the way of others.
func TestSizes(t *testing.T) {
	sizes := []int{
		0, 1, 2, 3, 4, 5, 7, 8, 36, 1199, 1200, 1472, 1473, 1500, 1600, 1601, 2048, 4095, 4096, 4097, 9000, 32768,
		mostInIndication - 1, mostInIndication, mostInIndication + 1, mostInChannelData - 1, mostInChannelData, mostInChannelData + 1,
		udpio.LargestPayload - 1, udpio.LargestPayload,
	}
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, permitted, bound := dialREST(t, s, network, "alice"), newPeer(t), newPeer(t)
		relayed := c.allocate()
		c.permit(permitted.addr)
		c.bind(wire.MinChannel, bound.addr)
		channelMost, indicationMost := udpio.LargestPayload, udpio.LargestPayload
		switch network {
		case "udp":
			channelMost, indicationMost = mostInChannelData, mostInIndication
		case "dtls":
			channelMost, indicationMost = mostOverDTLS, mostOverDTLS
		}
		tooLarge, down := uint64(0), uint64(0)
		for _, size := range sizes {
			if network == "dtls" && size > mostOverDTLS && size <= maxRecord {
				continue // goes out, but pion's client would not read it
			}
			data := pattern(size)
			if size <= indicationMost {
				c.indicate(permitted.addr, data)
				permitted.want(relayed, data)
			}
			if size <= channelMost {
				c.sendChannel(wire.MinChannel, data)
				bound.want(relayed, data)
			}
			permitted.send(relayed, data)
			if size <= indicationMost {
				c.wantData(0, permitted.addr, data)
				down++
			} else {
				tooLarge++
				waitCounted(t, s, "packets_dropped", "too_large", tooLarge)
			}
			bound.send(relayed, data)
			if size <= channelMost {
				c.wantData(wire.MinChannel, bound.addr, data)
				down++
			} else {
				tooLarge++
				waitCounted(t, s, "packets_dropped", "too_large", tooLarge)
			}
		}
		waitCounted(t, s, "packets_relayed", "down", down) // what was dropped was not relayed
	})
}

// TestTooLargeForAPeer: a stream may carry more than a datagram to the peer can.
func TestTooLargeForAPeer(t *testing.T) {
	s := startServer(t, allowLoopback)
	c, other, peer := dialREST(t, s, "tcp", "alice"), dialREST(t, s, "tcp", "bob"), newPeer(t)
	relayed, otherRelayed := c.allocate(), other.allocate()
	c.bind(wire.MinChannel, peer.addr)
	c.bind(wire.MinChannel+1, otherRelayed)
	other.bind(wire.MinChannel, relayed)
	dropped := uint64(0)
	for size := udpio.LargestPayload + 1; size <= 65535; size += 9 {
		for _, channel := range []uint16{wire.MinChannel, wire.MinChannel + 1} { // over a socket and in memory alike
			c.sendChannel(channel, pattern(size))
			dropped++
		}
	}
	c.wantSilence()
	waitCounted(t, s, "packets_dropped", "too_large", dropped)
	c.sendChannel(wire.MinChannel, []byte("still here"))
	peer.want(relayed, []byte("still here"))
	c.sendChannel(wire.MinChannel+1, []byte("still here"))
	other.wantData(wire.MinChannel, relayed, []byte("still here"))
}

// TestSendFails: packets that the system refuses to send are counted, and harm nothing.
func TestSendFails(t *testing.T) {
	s := startServer(t, allowLoopback)
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed, nowhere := c.allocate(), netip.AddrPortFrom(peerIP, 0)
	c.permit(peer.addr)
	c.bind(wire.MinChannel, nowhere)
	c.indicate(nowhere, []byte("x"))
	c.sendChannel(wire.MinChannel, []byte("x"))
	c.indicate(peer.addr, []byte("after"))
	peer.want(relayed, []byte("after"))
	waitCounted(t, s, "packets_dropped", "send_failed", 2)
	waitCounted(t, s, "packets_relayed", "up", 1)
}

// TestSmallSizesInARow relays without gaps, so that padding that is missing or counted as data shifts what follows.
func TestSmallSizesInARow(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed := c.allocate()
		c.bind(wire.MinChannel, peer.addr)
		for size := range 40 {
			c.sendChannel(wire.MinChannel, pattern(size))
			c.indicate(peer.addr, pattern(size))
			peer.send(relayed, pattern(size))
		}
		var once, twice [][]byte
		for size := range 40 {
			once = append(once, pattern(size))
			twice = append(twice, pattern(size), pattern(size))
		}
		wantAll(t, func() []byte { return peer.receive(relayed) }, twice, network == "udp")
		wantAll(t, func() []byte { return c.receiveOn(wire.MinChannel) }, once, network == "udp")
		waitCounted(t, s, "packets_relayed", "up", 80)
		waitCounted(t, s, "relayed_bytes", "down", 40*39/2)
	})
}

// TestSendWithMore: attributes around DATA do not end up in it, and one that must be understood stops the packet.
func TestSendWithMore(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed := c.allocate()
		c.permit(peer.addr)
		send := func(attrs ...stun.Setter) {
			t.Helper()
			c.write(buildMessage(t, stun.NewType(stun.MethodSend, stun.ClassIndication), attrs...).Raw)
		}
		data := attribute{stun.AttrData, []byte("hello")}
		send(data, stun.NewSoftware("x"), peerAddr(peer.addr), stun.Fingerprint)
		peer.want(relayed, []byte("hello"))
		send(peerAddr(peer.addr), data, attribute{stun.AttrData, []byte("second")}, peerAddr(at("10.0.0.1")))
		peer.want(relayed, []byte("hello")) // of duplicates the first counts
		send(peerAddr(peer.addr), data, attribute{stun.AttrFingerprint, []byte("0000")})
		peer.want(relayed, []byte("hello")) // which is not what it is good for
		send(peerAddr(peer.addr), data, attribute{0x7ff1, nil})
		send(peerAddr(peer.addr), data, attribute{0x7ff0, nil})
		send(attribute{stun.AttrXORPeerAddress, []byte{0, 1}}, data)
		c.wantSilence()
		waitCounted(t, s, "packets_dropped", "unexpected", 2)
		waitCounted(t, s, "packets_dropped", "malformed", 1)
	})
}

// TestRelayToRelay sends between two allocations, which must go in memory: over each pair of transports, with a channel
// or with indications at either end, and naming each other by the inner or the outer address of a 1:1 NAT.
func TestRelayToRelay(t *testing.T) {
	external := netip.MustParseAddr("203.0.113.9")
	s := startServer(t, func(cfg *Config) { cfg.Relay[0].External = external })
	for mix := range 1 << 6 {
		is := func(bit int) bool { return mix>>bit&1 == 1 }
		networks := map[bool]string{false: "udp", true: "tcp"}
		from, to := networks[is(0)], networks[is(1)]
		name := fmt.Sprintf("%s to %s, channels %v %v, inside %v %v", from, to, is(2), is(3), is(4), is(5))
		t.Run(name, func(t *testing.T) {
			a := hopEnd{testClient: dialREST(t, s, from, "alice"), channel: is(2), inside: is(4)}
			b := hopEnd{testClient: dialREST(t, s, to, "bob"), channel: is(3), inside: is(5)}
			ra, rb := a.allocate(), b.allocate()
			if ra.Addr() != external {
				t.Fatal("relayed address", ra)
			}
			a.meet(rb)
			b.meet(ra)
			before := counterOf(t, s, "packets_relayed_in_memory", "")
			sizes := []int{0, 1, 2, 3, 4, 1200, 1471, mostInIndication}
			for _, size := range sizes {
				a.sendTo(pattern(size))
				b.wantFrom(pattern(size))
				b.sendTo(pattern(size))
				a.wantFrom(pattern(size))
			}
			if got := counterOf(t, s, "packets_relayed_in_memory", "") - before; got != uint64(2*len(sizes)) {
				t.Errorf("%d packets went in memory", got)
			}
			// Lest the next client get this one's port from the system, and with it its allocation.
			a.accept(stun.MethodRefresh, lifetime(0))
			b.accept(stun.MethodRefresh, lifetime(0))
		})
	}
}

// hopEnd is one end of a relay-to-relay flow.
type hopEnd struct {
	*testClient
	channel bool // uses a channel, else indications
	inside  bool // names the other by its local address
	other   netip.AddrPort
}

func (h *hopEnd) meet(other netip.AddrPort) {
	if h.other = other; h.inside {
		h.other = netip.AddrPortFrom(loopback, other.Port())
	}
	if h.channel {
		h.bind(wire.MinChannel, h.other)
	} else {
		h.permit(h.other)
	}
}

func (h *hopEnd) sendTo(data []byte) {
	h.t.Helper()
	if h.channel {
		h.sendChannel(wire.MinChannel, data)
	} else {
		h.indicate(h.other, data)
	}
}

func (h *hopEnd) wantFrom(data []byte) {
	h.t.Helper()
	if h.channel {
		h.wantData(wire.MinChannel, netip.AddrPort{}, data)
	} else {
		h.wantData(0, h.other, data)
	}
}

// TestRelayToRelayNeedsBoth: the target needs a permission of its own, a port that no allocation holds gets nothing,
// and a client may send to itself.
func TestRelayToRelayNeedsBoth(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		a, b := dialREST(t, s, network, "alice"), dialREST(t, s, network, "bob")
		ra, rb := a.allocate(), b.allocate()
		a.permit(rb)
		a.bind(wire.MinChannel, rb)
		a.indicate(rb, []byte("uninvited"))
		a.sendChannel(wire.MinChannel, []byte("uninvited"))
		a.wantSilence()
		waitCounted(t, s, "packets_dropped", "no_permission", 2)
		b.indicate(ra, []byte("not permitted here"))
		b.wantSilence()
		waitCounted(t, s, "packets_dropped", "no_permission", 3)
		b.permit(ra)
		a.indicate(rb, []byte("invited"))
		b.wantData(0, ra, []byte("invited"))

		a.indicate(ra, []byte("self"))
		a.wantData(0, ra, []byte("self"))

		b.accept(stun.MethodRefresh, lifetime(0))
		a.sendChannel(wire.MinChannel, []byte("gone"))
		a.indicate(rb, []byte("gone"))
		a.wantSilence()
		waitCounted(t, s, "packets_dropped", "no_such_relayed_address", 2)
	})
}

// TestRelayToRelayIPv6 does the same at ::1.
func TestRelayToRelayIPv6(t *testing.T) {
	_ = listenAt(t, netip.IPv6Loopback()) // or skip
	s := startServer(t, func(cfg *Config) { cfg.Relay = []RelayAddress{{Local: netip.IPv6Loopback()}} })
	onEach(t, func(t *testing.T, network string) {
		a, b := dialREST(t, s, network, "alice"), dialREST(t, s, network, "bob")
		ra, rb := a.allocate(addressFamily(wire.IPv6)), b.allocate(addressFamily(wire.IPv6))
		a.permit(rb)
		b.bind(wire.MinChannel, ra)
		most := mostInIndication - 12
		if network == "dtls" {
			most = mostOverDTLS
		}
		for _, size := range []int{0, 1, 1200, most} {
			a.indicate(rb, pattern(size))
			b.wantData(wire.MinChannel, ra, pattern(size))
			b.sendChannel(wire.MinChannel, pattern(size))
			a.wantData(0, rb, pattern(size))
		}
	})
}

// datagramsTo is a socket that talks to one address. An answer from another address is an error.
type datagramsTo struct {
	*net.UDPConn
	remote netip.AddrPort
}

func (d datagramsTo) Write(b []byte) (int, error) { return d.WriteToUDPAddrPort(b, d.remote) }

func (d datagramsTo) Read(b []byte) (int, error) {
	n, from, err := d.ReadFromUDPAddrPort(b)
	if err == nil && wire.Unmapped(from) != d.remote {
		err = fmt.Errorf("asked %v, answered by %v", d.remote, from)
	}
	return n, err
}

// TestUnspecifiedListener: a listener on all addresses answers from the one that was asked. A client that asks at two
// of them has two five-tuples.
func TestUnspecifiedListener(t *testing.T) {
	for _, row := range []struct {
		listen netip.Addr
		asked  []netip.Addr
	}{
		{netip.IPv4Unspecified(), []netip.Addr{loopback, peerIP}},
		{netip.IPv6Unspecified(), ownIPv6(t)},
	} {
		t.Run(row.listen.String(), func(t *testing.T) {
			for _, ip := range row.asked {
				_ = listenAt(t, ip) // or skip
			}
			s := startServer(t, func(cfg *Config) {
				for i := range cfg.Listen {
					cfg.Listen[i].Addr = netip.AddrPortFrom(row.listen, 0)
				}
			})
			sock, cred := listenAt(t, row.listen), mintREST(t, "alice", time.Hour)
			for i, ip := range row.asked {
				server := netip.AddrPortFrom(ip, listenerAddr(t, s, "udp").Port())
				c := clientOn(t, datagramsTo{sock, server}).as(cred)
				c.allocate()
				if s.Allocations() != i+1 {
					t.Errorf("%d allocations after %d", s.Allocations(), i+1)
				}
				if got := addressIn(t, c.roundTrip(buildMessage(t, stun.BindingRequest)), stun.AttrXORMappedAddress); got.Addr().Is4() != ip.Is4() {
					t.Errorf("mapped address %v", got)
				}
			}
			for _, ip := range row.asked {
				server := netip.AddrPortFrom(ip, listenerAddr(t, s, "tcp").Port())
				dialAddr(t, "tcp", server).as(cred).allocate()
			}
		})
	}
}

// ownIPv6 lists the loopback address, and one more of this host if it has one.
func ownIPv6(t *testing.T) []netip.Addr {
	out := []netip.Addr{netip.IPv6Loopback()}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.(*net.IPNet).IP)
		if ip.Is6() && !ip.Is4In6() && ip.IsGlobalUnicast() {
			return append(out, ip)
		}
	}
	return out
}

// TestRelayedDataNeedsNoHeap: packets on their way up, down and across allocate nothing. Under DTLS a goroutine
// encrypts the packets for a client while there are some, and the library's records allocate.
func TestRelayedDataNeedsNoHeap(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		if network == "dtls" {
			return
		}
		s := startServer(t, allowLoopback)
		c, other := dialREST(t, s, network, "alice"), dialREST(t, s, "udp", "bob")
		bound, permitted := newPeer(t), newPeer(t)
		relayed, otherRelayed := c.allocate(), other.allocate()
		c.bind(wire.MinChannel, bound.addr)
		c.bind(wire.MinChannel+1, otherRelayed)
		other.bind(wire.MinChannel, relayed)

		most := 0.0
		if network == "tls" && poolsForget() {
			most = 2 // a quarter of what four pools give
		}
		a := s.relays.Load().udp[0].allocationAt(relayed.Port())
		w := newWorker(s, a.shard)
		b := new(buffer)
		data := pattern(100)
		upward := func(packet []byte) func() {
			return func() {
				n := copy(b.bytes[headroom:], packet)
				w.handle(&a.home.Load().client, b.bytes[:], headroom, headroom+n)
				w.flush()
			}
		}
		downward := func(from netip.AddrPort) func() {
			return func() {
				n := copy(b.bytes[headroom:], data)
				a.fromPeer(w, b.bytes[:], headroom, headroom+n, wire.EndpointOf(from))
				w.flush()
			}
		}
		for name, run := range map[string]func(){
			"ChannelData up":           upward(channelMessage(wire.MinChannel, data, true)),
			"Send up":                  upward(sendIndication(t, permitted.addr, data)),
			"ChannelData across":       upward(channelMessage(wire.MinChannel+1, data, true)),
			"Send across":              upward(sendIndication(t, otherRelayed, data)),
			"channel down":             downward(bound.addr),
			"indication down":          downward(permitted.addr),
			"dropped: no permission":   downward(netip.MustParseAddrPort("192.0.2.1:1")),
			"dropped: no such channel": upward(channelMessage(wire.MaxChannel, data, true)),
		} {
			if allocs := testing.AllocsPerRun(100, run); allocs > most {
				t.Errorf("%s: %v allocations a packet", name, allocs)
			}
		}
		if up, down := counterOf(t, s, "packets_relayed", "up"), counterOf(t, s, "packets_relayed", "down"); up < 400 || down < 400 {
			t.Errorf("only %d packets went up and %d down", up, down)
		}
	})
}

// poolsForget reports whether sync.Pool loses a part of what is put back, at random, as it does under -race. Then what
// encrypts, ours and the library's, has to make some buffers anew.
func poolsForget() bool {
	made := 0
	pool := sync.Pool{New: func() any { made++; return new(buffer) }}
	for range 1000 {
		pool.Put(pool.Get())
	}
	return made > 100
}
