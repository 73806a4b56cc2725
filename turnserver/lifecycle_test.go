package turnserver

import (
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// TestClose ends everything from several goroutines at once. Nothing answers afterwards.
func TestClose(t *testing.T) {
	s := startServer(t, allowLoopback)
	clients := []*testClient{
		dialREST(t, s, "udp", "alice"), dialREST(t, s, "tcp", "alice"), dialREST(t, s, "tls", "alice"), dialREST(t, s, "dtls", "alice"), pipe(t, s, streamShard(s)).as(mintREST(t, "bob", time.Hour)),
	}
	for _, c := range clients {
		c.allocate()
		c.bind(wire.MinChannel, at("127.0.0.2"))
	}
	idle := dial(t, s, "tcp")
	idle.write([]byte{0, 1, 0}) // a frame begun
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s.Allocations() != 0 || heldPorts(s) != 0 {
		t.Errorf("%d allocations and %d ports are left", s.Allocations(), heldPorts(s))
	}
	if up, down := flowsOf(s); up != 0 || down != 0 {
		t.Errorf("%d and %d flows are left", up, down)
	}
	for _, c := range clients[1:] {
		c.wantClosed()
	}
	idle.wantClosed()
	if s.startReader() {
		t.Error("a closed server starts readers")
	}
	pipe(t, s, newShard(s)).wantClosed()
}

// TestCloseBeforeStart needs no sockets.
func TestCloseBeforeStart(t *testing.T) {
	s := newServer(t, nil)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestStartFails: one listener that cannot be opened opens none, and the error says which.
func TestStartFails(t *testing.T) {
	taken := startServer(t, nil)
	for name, row := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"TLS port in use":  {func(cfg *Config) { cfg.Listen[2].Addr = listenerAddr(t, taken, "tcp") }, "tls://" + listenerAddr(t, taken, "tcp").String()},
		"DTLS port in use": {func(cfg *Config) { cfg.Listen[3].Addr = listenerAddr(t, taken, "udp") }, "dtls://" + listenerAddr(t, taken, "udp").String()},
		"UDP port in use":  {func(cfg *Config) { cfg.Listen[0].Addr = listenerAddr(t, taken, "udp") }, "udp://" + listenerAddr(t, taken, "udp").String()},
		"TCP port in use":  {func(cfg *Config) { cfg.Listen[1].Addr = listenerAddr(t, taken, "tcp") }, "tcp://" + listenerAddr(t, taken, "tcp").String()},
		"not this host":    {func(cfg *Config) { cfg.Listen[0].Addr = netip.MustParseAddrPort("198.51.100.9:3478") }, "198.51.100.9"},
		"relay elsewhere":  {func(cfg *Config) { cfg.Relay[0].Local = netip.MustParseAddr("198.51.100.9") }, "relay address 198.51.100.9"},
	} {
		s := newServer(t, row.change)
		err := s.Start()
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want an error about %s", name, err, row.want)
		}
	}
	// Where a listener is optional, a missing address family is no failure, but a port in use is.
	s := newServer(t, func(cfg *Config) {
		cfg.Listen = append(cfg.Listen, Listener{Network: "udp", Addr: netip.MustParseAddrPort("[2001:db8::1]:0"), Optional: true})
	})
	if err := s.Start(); err != nil || len(s.Addrs()) != 4 {
		t.Errorf("%v, and %v are open", err, s.Addrs())
	}
	s = newServer(t, func(cfg *Config) {
		cfg.Listen[0] = Listener{Network: "udp", Addr: listenerAddr(t, taken, "udp"), Optional: true}
	})
	if s.Start() == nil {
		t.Error("an optional listener on a port in use was left out")
	}
}

func TestBadConfig(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"realm":                    func(cfg *Config) { cfg.Realm = "" },
		"credentials":              func(cfg *Config) { cfg.Credentials = nil },
		"nonce key":                func(cfg *Config) { cfg.NonceKey = auth.Secret{} },
		"first is greater":         func(cfg *Config) { cfg.MinPort, cfg.MaxPort = 2, 1 },
		"begin at 1":               func(cfg *Config) { cfg.MinPort, cfg.MaxPort = 0, 100 },
		"no relay address":         func(cfg *Config) { cfg.Relay = nil },
		"address of an interface":  func(cfg *Config) { cfg.Relay[0].Local = netip.IPv4Unspecified() },
		"other family":             func(cfg *Config) { cfg.Relay[0].External = netip.IPv6Loopback() },
		"none of udp, tcp, tls":    func(cfg *Config) { cfg.Listen[0].Network = "sctp" },
		"there is no certificate":  func(cfg *Config) { cfg.Listen[0].Network = "tls" },
		"no proxy is trusted":      func(cfg *Config) { cfg.ProxyProtocol = true },
		"the address is not valid": func(cfg *Config) { cfg.Listen[0].Addr = netip.AddrPort{} },
		"UDP listener on 127.0.0.1:3479": func(cfg *Config) {
			cfg.Listen, cfg.Discovery = discoveryListeners(fakePair("127.0.0.1", "127.0.0.2"))[:1], []DiscoveryPair{fakePair("127.0.0.1", "127.0.0.2")}
		},
		"two addresses of one family": func(cfg *Config) { cfg.Discovery = []DiscoveryPair{fakePair("127.0.0.1", "::1")} },
		"two addresses, not":          func(cfg *Config) { cfg.Discovery = []DiscoveryPair{fakePair("127.0.0.1", "127.0.0.1")} },
		"two ports": func(cfg *Config) {
			cfg.Discovery = []DiscoveryPair{{Local: fakePair("127.0.0.1", "127.0.0.2").Local, External: fakePair("127.0.0.1", "127.0.0.2").Local}}
		},
		"one pair of addresses of each": func(cfg *Config) {
			a, b := fakePair("127.0.0.1", "127.0.0.2"), fakePair("127.0.0.3", "127.0.0.4")
			cfg.Listen, cfg.Discovery = append(discoveryListeners(a), discoveryListeners(b)...), []DiscoveryPair{a, b}
		},
		"alternate server": func(cfg *Config) { cfg.Alternates = []Alternate{{Addr: netip.MustParseAddrPort("9.9.9.9:0")}} },
		"for the same clients": func(cfg *Config) {
			cfg.Alternates = []Alternate{{Addr: netip.MustParseAddrPort("9.9.9.9:1")}, {Addr: netip.MustParseAddrPort("[::ffff:9.9.9.9]:2")}}
		},
	} {
		cfg := Config{
			Realm: testRealm, Credentials: testCredentials(), NonceKey: auth.NewSecret([]byte("key")),
			Listen: []Listener{{Network: "udp", Addr: netip.AddrPortFrom(loopback, 0)}},
			Relay:  []RelayAddress{{Local: loopback}},
		}
		if _, err := New(cfg); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

// TestCounters: names, reasons and transports are labels of metrics; two of the same would be one, and all of a name
// have the same labels.
func TestCounters(t *testing.T) {
	s := startServer(t, nil)
	seen, labels := make(map[Counter]bool), make(map[string][2]bool)
	for _, c := range s.Counters() {
		c.Value = 0
		if seen[c] || c.Name == "" {
			t.Errorf("%+v is listed twice, or has no name", c)
		}
		seen[c] = true
		has := [2]bool{c.Reason != "", c.Transport != ""}
		if before, ok := labels[c.Name]; ok && before != has {
			t.Errorf("%+v has other labels than those before", c)
		}
		labels[c.Name] = has
	}
	for r, l := range reasonLabels() {
		if unnamed := l.counter == "" || l.reason == ""; unnamed != (reason(r) == noReason) {
			t.Errorf("reason %d is counted as %q %q", r, l.counter, l.reason)
		}
	}
	c := dialREST(t, s, "udp", "alice")
	c.refuse(400, stun.MethodAllocate)
	if counterOf(t, s, "error_responses", "400") != 1 || counterOf(t, s, "error_responses", "401") != 1 {
		t.Error("errors are not counted by code")
	}
	if got := dial(t, s, "udp").barrier(); len(got) != 0 || counterOf(t, s, "binding_responses", "") != 1 {
		t.Error("Binding responses are not counted")
	}
}

// TestEverythingAtOnce lets clients make, use and end relays while their users end, the sweep runs, and the server is
// asked and closed. Each request may succeed or not, but nothing may be left in the end.
func TestEverythingAtOnce(t *testing.T) {
	s, clock := startClocked(t, allowLoopback)
	peer := at("127.0.0.2")
	var clients, others sync.WaitGroup
	stop := make(chan struct{})
	var dialed []*testClient
	for i := range 8 { // before any of them moves the clock, by which cookies of DTLS expire
		user := []string{"alice", "bob"}[i%2]
		dialed = append(dialed, dialREST(t, s, []string{"udp", "tcp", "tls", "dtls"}[i/2], user).challenged())
	}
	for _, c := range dialed {
		clients.Go(func() {
			for n := range 60 {
				for _, m := range [][]byte{
					c.build(stun.MethodAllocate, transport(transportUDP)).Raw,
					c.build(stun.MethodCreatePermission, peerAddr(at("127.0.0.3"))).Raw,
					c.build(stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(peer)).Raw,
					channelMessage(wire.MinChannel, pattern(n), true),
					sendIndication(t, peer, pattern(n)),
					c.build(stun.MethodRefresh, lifetime(uint32(n%2*600))).Raw,
				} {
					if _, err := c.conn.Write(m); err != nil {
						t.Error(err)
						return
					}
				}
				c.barrier()
				c.queued = nil
				clock.advance(time.Second) // less, in sum, than a nonce holds
			}
		})
	}
	for _, disturb := range []func(){
		func() { s.EndUser("alice") }, s.sweep, func() { _ = s.Counters(); _ = s.Addrs() }, s.readOwnHost,
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
	clients.Wait()
	close(stop)
	others.Wait()
	waitFor(t, "no ports to be held but those of allocations", func() bool { return s.Allocations() == heldPorts(s) })
	for _, user := range []string{"alice", "bob"} {
		s.EndUser(user)
	}
	if up, down := flowsOf(s); s.Allocations() != 0 || up != 0 || down != 0 {
		t.Errorf("%d allocations, %d and %d flows are left", s.Allocations(), up, down)
	}
	waitFor(t, "the ports to be free", func() bool { return heldPorts(s) == 0 })
}

func TestDefaultRelayAddresses(t *testing.T) {
	addrs, err := DefaultRelayAddresses()
	if err != nil {
		t.Skip("this host has no address to relay from: ", err)
	}
	first, err := firstGlobalUnicast() // what is left without a default route
	if err != nil {
		t.Error(err)
	}
	s := newServer(t, nil)
	for _, a := range append(addrs, first...) {
		if !s.isOwnHost(a) || a.IsLoopback() || a.IsUnspecified() {
			t.Errorf("%v is no address to relay from", a)
		}
	}
}
