package turnserver

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/turnserver/wire"
)

// deniedPeers are addresses that no relay reaches by default, with the reason that is counted.
func deniedPeers() map[string]string {
	return map[string]string{
		"0.0.0.0":         "unspecified",
		"0.1.2.3":         "unspecified", // "this network", which Linux takes for loopback
		"127.0.0.2":       "loopback",
		"127.255.255.254": "loopback",
		"169.254.169.254": "link_local", // the clouds' metadata service
		"169.254.0.1":     "link_local",
		"10.0.0.1":        "private",
		"10.255.255.255":  "private",
		"172.16.0.1":      "private",
		"172.31.255.255":  "private",
		"192.168.1.1":     "private",
		"100.64.0.1":      "private",
		"100.100.100.200": "private", // another cloud's metadata service
		"100.127.255.255": "private",
		"224.0.0.1":       "multicast",
		"239.255.255.255": "multicast",
		"255.255.255.255": "multicast",
		"192.0.0.8":       "reserved",
		"192.0.2.77":      "reserved",
		"198.51.100.1":    "reserved",
		"203.0.113.1":     "reserved",
		"192.88.99.1":     "reserved",
		"198.18.0.1":      "reserved",
		"198.19.255.255":  "reserved",
		"240.0.0.1":       "reserved",
		"255.255.255.254": "reserved",

		"::":                        "unspecified",
		"fe80::1":                   "link_local",
		"fe80::1%eth0":              "link_local",
		"febf::1":                   "link_local",
		"fc00::1":                   "private",
		"fd00:ec2::254":             "private", // a metadata service again
		"fec0::1":                   "private",
		"ff02::1":                   "multicast",
		"ff0e::1":                   "multicast",
		"64:ff9b:1::1":              "private",
		"100::1":                    "reserved",
		"2001:2::1":                 "reserved",
		"2001:10::1":                "reserved",
		"2001:db8::1":               "reserved",
		"3fff::1":                   "reserved",
		"5f00::1":                   "reserved",
		"::127.0.0.2":               "loopback",   // IPv4-compatible
		"::10.0.0.1":                "private",    //
		"::169.254.169.254":         "link_local", //
		"::ffff:0:10.0.0.1":         "private",    // IPv4-translated (RFC 2765)
		"::ffff:0:169.254.169.254":  "link_local", //
		"64:ff9b::10.0.0.1":         "private",    // NAT64
		"64:ff9b::127.0.0.2":        "loopback",   //
		"64:ff9b::169.254.169.254":  "link_local", //
		"64:ff9b::0.0.0.0":          "unspecified",
		"2002:a00:1::":              "private",    // 6to4
		"2002:7f00:2::1":            "loopback",   //
		"2002:a9fe:a9fe:1::1":       "link_local", //
		"2001:0:a00:1::f5ff:fffe":   "private",    // Teredo: its server is 10.0.0.1
		"2001:0:101:101::f5ff:fffe": "private",    // its client is 10.0.0.1
		"2001:0:101:101::5601:5601": "link_local", // its client is 169.254.169.254
		"2606::5efe:10.0.0.1":       "private",    // ISATAP
		"2606::200:5efe:127.0.0.2":  "loopback",   //
	}
}

// openPeers are public, and so allowed.
func openPeers() []string {
	return []string{
		"1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "192.167.255.255",
		"192.169.0.0", "169.253.255.255", "169.255.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "192.0.1.1", "198.17.255.255", "198.20.0.0",
		"2606:4700:4700::1111", "2a00::1", "2001:4860:4860::8888", "2001:200::1", "64:ff9b::1.1.1.1", "2002:101:101::1", "2001:0:101:101::fefe:fefe",
		"2606::5efe:1.1.1.1", "fbff::1", "fe00::1", "2001:db7::1", "2001:db9::1",
	}
}

func TestDefaultPeerPolicy(t *testing.T) {
	p := newPeerPolicy(nil, nil)
	names := reasonNames()
	for ip, want := range deniedPeers() {
		why, ok := p.judge(wire.Canonical(netip.MustParseAddr(ip)))
		if ok || names[why] != want {
			t.Errorf("%s: allowed %v, reason %s, want denied as %s", ip, ok, names[why], want)
		}
	}
	if why, ok := p.judge(netip.IPv6Loopback()); ok || why != denyLoopback {
		t.Errorf("::1: allowed %v, reason %s", ok, names[why])
	}
	for _, ip := range openPeers() {
		if why, ok := p.judge(netip.MustParseAddr(ip)); !ok {
			t.Errorf("%s is denied as %s", ip, names[why])
		}
	}
}

// TestConfiguredPeerPolicy: deny wins, at whatever length its prefix is, and neither list is fooled by an address's form.
func TestConfiguredPeerPolicy(t *testing.T) {
	for _, row := range []struct {
		allow, deny, ip string
		want            bool
	}{
		{"10.0.0.0/8", "", "10.1.2.3", true},
		{"10.0.0.0/8", "", "11.1.2.3", true},
		{"10.0.0.0/8", "", "192.168.0.1", false},
		{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", false},
		{"10.0.0.0/8", "10.1.0.0/16", "10.2.2.3", true},
		{"10.1.2.3/32", "10.0.0.0/8", "10.1.2.3", false},
		{"", "1.1.1.0/24", "1.1.1.1", false},
		{"", "1.1.1.0/24", "64:ff9b::1.1.1.1", false},
		{"", "1.1.1.0/24", "2002:101:101::1", false},
		{"", "1.1.1.0/24", "::ffff:1.1.1.1", false},
		{"", "::ffff:1.1.1.0/120", "1.1.1.1", false}, // a prefix in mapped form means the same
		{"::ffff:10.0.0.0/104", "", "10.1.2.3", true},
		{"", "2606::/16", "2606:4700::1", false},
		{"fd00::/8", "", "fd00::1", true},
		{"fd00::/8", "", "fc00::1", false},
		{"64:ff9b::/96", "", "64:ff9b::10.0.0.1", false}, // the inner address is judged, too
		{"10.0.0.0/8", "", "64:ff9b::10.0.0.1", true},
		{"::1/128", "", "::1", true},
		{"127.0.0.0/8", "", "127.0.0.2", true},
		{"169.254.0.0/16", "169.254.169.254/32", "169.254.169.254", false},
		{"0.0.0.0/0", "0.0.0.0/0", "8.8.8.8", false},
	} {
		p := newPeerPolicy(prefixes(row.allow), prefixes(row.deny))
		if _, got := p.judge(wire.Canonical(netip.MustParseAddr(row.ip))); got != row.want {
			t.Errorf("allow %q, deny %q: %s allowed %v, want %v", row.allow, row.deny, row.ip, got, row.want)
		}
	}
}

func prefixes(s string) []netip.Prefix {
	if s == "" {
		return nil
	}
	return []netip.Prefix{netip.MustParsePrefix(s)}
}

// disguised encodes an IPv4 address as an IPv6 XOR-PEER-ADDRESS, mapped.
type disguised netip.AddrPort

func (d disguised) AddTo(m *stun.Message) error {
	ap := netip.AddrPort(d)
	ip := ap.Addr().As16()
	value := append([]byte{0, byte(wire.IPv6), byte(ap.Port()>>8) ^ 0x21, byte(ap.Port()) ^ 0x12}, ip[:]...)
	wire.XorAddress(value[4:], m.TransactionID[:])
	m.Add(stun.AttrXORPeerAddress, value)
	return nil
}

// deniedPeersAreRefused asks over the wire, with an allocation of each family: 403 for permission and channel alike, counted by
// reason, and data to them goes nowhere.
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
	for ip, why := range deniedPeers() {
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
	own := map[netip.Addr]bool{loopback: true, netip.IPv6Loopback(): true, netip.MustParseAddr("198.51.100.7"): true}
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

// sessionScope: a session's credential reaches what was signalled to it, while that holds or a permission of it lives.
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

// TestScopeIsNarrowerThanPolicy: what is signalled is judged by the peer policy all the same.
func TestScopeIsNarrowerThanPolicy(t *testing.T) {
	metadata := netip.MustParseAddr("169.254.169.254")
	s := startServer(t, func(cfg *Config) { cfg.Scope = newScope(metadata) })
	c := dialSession(t, s, "udp", "S1")
	c.allocate()
	c.refuse(403, stun.MethodCreatePermission, peerAddr(netip.AddrPortFrom(metadata, 80)))
}

// relayOnly: without a scope, or with a credential of no session, nothing is reached but live relayed addresses.
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
