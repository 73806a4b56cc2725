package turnserver

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/peerpolicy"
	"example.org/turnpike/turnserver/wire"
)

// deniedPeers are addresses that no relay reaches by default, with the reason that is counted.
func deniedPeers(t testing.TB) map[string]string {
	t.Helper()
	list, err := os.ReadFile("peerpolicy/testdata/denied.txt")
	if err != nil {
		t.Fatal(err)
	}
	denied := make(map[string]string)
	for line := range strings.Lines(string(list)) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) == 2 {
			denied[words[0]] = words[1]
		}
	}
	return denied
}

// disguised encodes an IPv4 address as an IPv6 XOR-PEER-ADDRESS, mapped.
type disguised netip.AddrPort

func (d disguised) AddTo(m *stun.Message) error {
	ap := netip.AddrPort(d)
	ip := ap.Addr().As16()
	value := append([]byte{0, byte(wire.IPv6), byte(ap.Port()>>8) ^ 0x21, byte(ap.Port()) ^ 0x12}, ip[:]...)
	for i, mask := range append([]byte{0x21, 0x12, 0xA4, 0x42}, m.TransactionID[:]...) {
		value[4+i] ^= mask
	}
	m.Add(stun.AttrXORPeerAddress, value)
	return nil
}

// deniedPeersAreRefused asks over the wire, with an allocation of each family: 403 for permission and channel alike,
// counted by reason, and data to them goes nowhere.
func deniedPeersAreRefused(t *testing.T) {
	s := newServer(t, func(cfg *Config) {
		cfg.Relay = append(cfg.Relay, RelayAddress{Local: netip.IPv6Loopback()})
	})
	if err := s.Start(); familyMissing(err) {
		t.Skip("this host has no IPv6: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	four, six := dialREST(t, s, "udp", "alice"), dialREST(t, s, "udp", "alice")
	four.allocate()
	six.allocate(addressFamily(wire.IPv6))
	for ip, why := range deniedPeers(t) {
		peer := netip.AddrPortFrom(wire.Canonical(netip.MustParseAddr(ip)), 80)
		c, disguises := six, []stun.Setter{peerAddr(peer)}
		if peer.Addr().Is4() {
			c, disguises = four, append(disguises, disguised(peer))
		}
		before := counterOf(t, s, "peers_denied", why)
		for _, disguise := range disguises {
			c.refuse(403, stun.MethodCreatePermission, disguise)
			c.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), disguise)
		}
		if got := counterOf(t, s, "peers_denied", why) - before; got != 2*uint64(len(disguises)) {
			t.Errorf("%s: %d of %d refusals were counted as %s", ip, got, 2*len(disguises), why)
		}
		c.indicate(peer, []byte("out"))
	}
	four.barrier()
	six.barrier()
	if got := counterOf(t, s, "packets_relayed", "up"); got != 0 {
		t.Errorf("%d packets got out", got)
	}
}

// ownHostIsDenied: no address of this host relays anything but what is live, whatever allow_peers says.
func ownHostIsDenied(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		cfg.AllowPeers = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		cfg.Relay = []RelayAddress{{Local: loopback, External: netip.MustParseAddr("203.0.113.9")}}
	})
	own := peerpolicy.Addresses{loopback: true, netip.IPv6Loopback(): true, netip.MustParseAddr("198.51.100.7"): true}
	s.ownHost.Store(&own)
	c := dialREST(t, s, "udp", "alice")
	c.allocate()
	c.refuse(403, stun.MethodCreatePermission, peerAddr(at("198.51.100.7")))
	c.refuse(403, stun.MethodCreatePermission, disguised(at("198.51.100.7")))
	for _, ip := range []string{"64:ff9b::127.0.0.1", "::127.0.0.1", "2002:7f00:1::", "::1"} {
		if !s.isOwnHost(netip.MustParseAddr(ip)) {
			t.Errorf("%s is not taken for this host", ip)
		}
	}
	listening := listenerAddr(t, s, "udp")
	for _, ip := range []netip.Addr{loopback, netip.MustParseAddr("203.0.113.9")} {
		c.permit(netip.AddrPortFrom(ip, 1)) // permissions carry no port
		for _, port := range []uint16{1, 53, listening.Port(), 49151, 65535} {
			peer := netip.AddrPortFrom(ip, port)
			c.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(peer))
			c.indicate(peer, buildMessage(t, stun.BindingRequest).Raw)
		}
	}
	c.wantSilence()
	waitCounted(t, s, "packets_dropped", "no_such_relayed_address", 10)
	if counterOf(t, s, "packets_relayed", "up") != 0 {
		t.Error("a packet got to this host")
	}
}

// TestOwnHostIsListed compares the server's list with the interfaces'.
func TestOwnHostIsListed(t *testing.T) {
	s := newServer(t, nil)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.(*net.IPNet).IP); ok && !s.isOwnHost(wire.Canonical(ip)) {
			t.Errorf("%v is not taken for this host", ip)
		}
	}
}

// TestScopeHasOwnAddress: a session's relay reaches by UDP the address that its client comes from, and by TCP it does not.
func TestScopeHasOwnAddress(t *testing.T) {
	s := startServer(t, func(cfg *Config) { allowLoopback(cfg); cfg.Scope = newScope() })
	const own = "127.0.0.3"
	from := func(network string, local net.Addr) *testClient {
		dialer := net.Dialer{LocalAddr: local}
		conn, err := dialer.Dial(network, listenerAddr(t, s, network).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		c := clientOn(t, conn).as(testCredentials().MintSession("S1", "alice", time.Hour))
		c.srv = s
		return c
	}
	udp := from("udp", &net.UDPAddr{IP: net.ParseIP(own)})
	udp.allocate()
	udp.permit(at(own))
	udp.refuse(403, stun.MethodCreatePermission, peerAddr(at("127.0.0.4")))
	tcp := from("tcp", &net.TCPAddr{IP: net.ParseIP(own)})
	tcp.allocateTCP()
	tcp.refuse(403, stun.MethodConnect, peerAddr(at(own)))
	tcp.refuse(403, stun.MethodCreatePermission, peerAddr(at(own)))
}

// sessionScope: a session's credential reaches addresses that were signalled to it, and those with a live permission.
func sessionScope(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		scope := newScope()
		s, clock := startClocked(t, func(cfg *Config) {
			allowLoopback(cfg)
			cfg.Scope = scope
		})
		c, peer := dialSession(t, s, network, "S1"), newPeer(t)
		relayed := c.allocate(lifetime(3600))
		c.refuse(403, stun.MethodCreatePermission, peerAddr(peer.addr))
		c.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(peer.addr))
		waitCounted(t, s, "peers_denied", "not_signalled", 2)

		scope.set(func() { scope.peers[peerIP] = true })
		c.refuse(403, stun.MethodCreatePermission, peersOf(peer.addr, at("127.0.0.3"))...)
		c.permit(peer.addr, netip.AddrPortFrom(peerIP, 1)) // any port: symmetric NATs come from those nobody signalled
		c.indicate(peer.addr, []byte("signalled"))
		peer.want(relayed, []byte("signalled"))

		scope.set(func() { delete(scope.peers, peerIP) })
		clock.advance(4 * time.Minute)
		c.permit(peer.addr)
		clock.advance(4 * time.Minute)
		c.bind(wire.MinChannel, peer.addr)
		c.sendChannel(wire.MinChannel, []byte("refreshed"))
		peer.want(relayed, []byte("refreshed"))
		clock.advance(permissionLifetime)
		c.refuse(403, stun.MethodCreatePermission, peerAddr(peer.addr)) // once it has expired, it must be signalled anew
		c.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(peer.addr))
	})
}

// TestScopeIsNarrowerThanPolicy: the peer policy judges signalled addresses all the same.
func TestScopeIsNarrowerThanPolicy(t *testing.T) {
	metadata := netip.MustParseAddr("169.254.169.254")
	s := startServer(t, func(cfg *Config) { cfg.Scope = newScope(metadata) })
	c := dialSession(t, s, "udp", "S1")
	c.allocate()
	c.refuse(403, stun.MethodCreatePermission, peerAddr(netip.AddrPortFrom(metadata, 80)))
}

// relayOnly: without a scope, or with a credential of no session, a client reaches only live relayed addresses.
func relayOnly(t *testing.T) {
	for name, row := range map[string]struct {
		scope Scope
		dial  func(t *testing.T, s *Server) *testClient
	}{
		"relay-only": {newScope(peerIP), func(t *testing.T, s *Server) *testClient {
			return dialAs(t, s, "udp", testCredentials().MintRelayOnly("alice", time.Hour))
		}},
		"session and no scope": {nil, func(t *testing.T, s *Server) *testClient { return dialSession(t, s, "udp", "S1") }},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(cfg *Config) { allowLoopback(cfg); cfg.Scope = row.scope })
			a, b := row.dial(t, s), row.dial(t, s)
			ra, rb := a.allocate(), b.allocate()
			a.refuse(403, stun.MethodCreatePermission, peerAddr(at("127.0.0.2")))
			a.refuse(403, stun.MethodCreatePermission, peerAddr(at("1.1.1.1")))
			a.permit(rb)
			b.bind(wire.MinChannel, ra)
			a.indicate(rb, []byte("there"))
			b.wantData(wire.MinChannel, ra, []byte("there"))
			b.sendChannel(wire.MinChannel, []byte("and back"))
			a.wantData(0, rb, []byte("and back"))
			a.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(netip.AddrPortFrom(loopback, 1)))
		})
	}
}
