package turnserver

import (
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// testHost is a host whose addresses a test changes. They are addresses of loopback, which can always be bound, so the
// test says which of them the host has.
type testHost struct {
	mu     sync.Mutex
	wanted []RelayAddress
	has    []netip.Addr
	looks  int
	deaf   bool // it has lost the address that the server listens on
}

// set changes the addresses that the server is told to use, and those that the host has.
func (h *testHost) set(wanted []RelayAddress, has ...netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted, h.has = wanted, has
}

func (h *testHost) find() []RelayAddress {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks++
	return h.wanted
}

func (h *testHost) probe(ip netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ip == loopback && !h.deaf {
		return nil
	}
	if !slices.Contains(h.has, ip) {
		return syscall.EADDRNOTAVAIL
	}
	return nil
}

// startOn runs a server on a host with addresses that change, and whose time the test moves. It begins with first.
func startOn(t *testing.T, first ...netip.Addr) (*Server, *testHost, *testClock) {
	t.Helper()
	host := new(testHost)
	host.set(relaysAt(first...), first...)
	s := newServer(t, func(cfg *Config) {
		allowLoopback(cfg)
		cfg.Relay, cfg.FindRelays = relaysAt(first...), host.find
	})
	clock := &testClock{srv: s}
	s.wallTime, s.probeRelay = clock.now, host.probe
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s, host, clock
}

func relaysAt(ips ...netip.Addr) (out []RelayAddress) {
	for _, ip := range ips {
		out = append(out, RelayAddress{Local: ip})
	}
	return out
}

// lets lets the server look at the host, and returns once it has done all that follows from it.
func (h *testHost) lets(t *testing.T, s *Server) {
	t.Helper()
	for range 2 { // the second look begins after the first
		h.mu.Lock()
		before := h.looks
		h.mu.Unlock()
		s.LookAgain()
		waitFor(t, "the server to look at the host", func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.looks > before
		})
	}
}

// wantOffered checks where new allocations may be.
func wantOffered(t *testing.T, s *Server, want ...RelayAddress) {
	t.Helper()
	for i := range want {
		want[i] = want[i].canonical()
	}
	if got := s.RelayAddresses(); !slices.Equal(got, want) {
		t.Errorf("new allocations may be at %v, want %v", got, want)
	}
	if unready := s.Unready() != ""; unready != (len(want) == 0) {
		t.Errorf("with %d relay addresses: %q", len(want), s.Unready())
	}
}

var (
	firstAddress  = netip.MustParseAddr("127.0.0.11")
	secondAddress = netip.MustParseAddr("127.0.0.12")
)

// TestAddressChanges: the host gets another address. New allocations are there, and old ones live on at the address
// before for as long as the host has it.
func TestAddressChanges(t *testing.T) {
	s, host, clock := startOn(t, firstAddress)
	peer := newPeer(t)
	old := dialREST(t, s, "udp", "alice")
	relayed := old.allocate()
	old.accept(stun.MethodCreatePermission, peerAddr(peer.addr))
	old.indicate(peer.addr, []byte("before"))
	peer.want(relayed, []byte("before"))

	host.set(relaysAt(secondAddress), firstAddress, secondAddress) // as when a temporary IPv6 address is superseded
	host.lets(t, s)
	wantOffered(t, s, RelayAddress{Local: secondAddress})
	if got := dialREST(t, s, "udp", "bob").allocate(); got.Addr() != secondAddress {
		t.Errorf("a new allocation is at %v, want %v", got, secondAddress)
	}
	old.indicate(peer.addr, []byte("after"))
	peer.want(relayed, []byte("after"))
	// The address that is not offered is still known as a relay's.
	bob := dialREST(t, s, "udp", "bob")
	bob.allocate()
	bob.accept(stun.MethodCreatePermission, peerAddr(relayed))

	host.set(relaysAt(secondAddress), secondAddress)
	host.lets(t, s)
	old.accept(stun.MethodRefresh, lifetime(600)) // the address may be back in a moment
	clock.advance(goneAfter)
	host.lets(t, s)
	old.refuse(437, stun.MethodRefresh, lifetime(600))
	waitCounted(t, s, "relayed_addresses_ended", "address_gone", 1)
	wantOffered(t, s, RelayAddress{Local: secondAddress})
	bob.accept(stun.MethodRefresh, lifetime(600))
}

// TestAddressComesBack: while the host has no relay address, clients are told to come again, and the server is not
// ready. Relays survive if the address comes back soon.
func TestAddressComesBack(t *testing.T) {
	s, host, clock := startOn(t, firstAddress)
	old := dialREST(t, s, "udp", "alice")
	relayed := old.allocate()

	host.set(relaysAt(firstAddress))
	host.lets(t, s)
	wantOffered(t, s)
	dialREST(t, s, "udp", "bob").expectAllocate(508)
	bob := dialREST(t, s, "udp", "bob")
	bob.refuse(508, stun.MethodAllocate, transport(transportUDP), additionalFamily(wire.IPv6))
	bob.refuse(440, stun.MethodAllocate, transport(transportUDP), addressFamily(wire.IPv6)) // it never had one
	clock.advance(goneAfter / 2)
	host.lets(t, s)

	host.set(relaysAt(firstAddress), firstAddress)
	host.lets(t, s)
	wantOffered(t, s, RelayAddress{Local: firstAddress})
	old.accept(stun.MethodRefresh, lifetime(600))
	if got := dialREST(t, s, "udp", "bob").allocate(); got.Addr() != firstAddress || got == relayed {
		t.Errorf("a new allocation is at %v", got)
	}

	// It is gone for longer, and comes back when its relays have ended.
	host.set(relaysAt(firstAddress))
	host.lets(t, s)
	clock.advance(goneAfter)
	host.lets(t, s)
	old.refuse(437, stun.MethodRefresh, lifetime(600))
	waitFor(t, "the ports to be free", func() bool { return len(s.relays.Load().places) == 0 && s.Allocations() == 0 })
	host.set(relaysAt(firstAddress), firstAddress)
	host.lets(t, s)
	wantOffered(t, s, RelayAddress{Local: firstAddress})
	old.allocate()
	if got := counterOf(t, s, "relay_address_changes", ""); got != 4 {
		t.Errorf("the addresses have changed %d times, want 4", got)
	}
}

// TestExternalAddressChanges: the host stays where it is, and its NAT gets another address.
func TestExternalAddressChanges(t *testing.T) {
	s, host, _ := startOn(t, firstAddress)
	before, after := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	seenAs := func(ip netip.Addr) []RelayAddress { return []RelayAddress{{Local: firstAddress, External: ip}} }
	for _, ip := range []netip.Addr{before, after} {
		host.set(seenAs(ip), firstAddress)
		host.lets(t, s)
		wantOffered(t, s, seenAs(ip)...)
		c := dialREST(t, s, "tcp", "alice")
		if got := c.allocate(); got.Addr() != ip {
			t.Errorf("an allocation is at %v, want %v", got, ip)
		}
		host.lets(t, s)
		c.accept(stun.MethodRefresh, lifetime(600))
		defer c.refuse(437, stun.MethodRefresh, lifetime(600))
	}
	host.set(seenAs(before), firstAddress)
	host.lets(t, s)
}

// TestOneFamilyGoes: an allocation with an address of each family keeps the one that the host keeps, and so does a port
// that waits under a token.
func TestOneFamilyGoes(t *testing.T) {
	_ = listenAt(t, loopback6) // or skip
	s, host, clock := startOn(t, firstAddress, loopback6)
	both := dialREST(t, s, "udp", "alice")
	both.accept(stun.MethodAllocate, transport(transportUDP), additionalFamily(wire.IPv6))
	reserving := dialREST(t, s, "udp", "bob")
	_, token := reserving.reserve()
	host.set(relaysAt(firstAddress, loopback6), loopback6)
	host.lets(t, s)
	clock.advance(goneAfter)
	host.lets(t, s)
	wantOffered(t, s, RelayAddress{Local: loopback6})
	both.accept(stun.MethodRefresh, lifetime(600), addressFamily(wire.IPv6))
	both.refuse(443, stun.MethodRefresh, lifetime(600), addressFamily(wire.IPv4))
	reserving.refuse(437, stun.MethodRefresh, lifetime(600))
	dialREST(t, s, "udp", "bob").refuse(508, stun.MethodAllocate, transport(transportUDP), token)
	waitFor(t, "the ports to be free", func() bool { return heldPorts(s) == 1 })
}

// TestListenerAddressGoes: a server is not ready while no client reaches it over UDP, though it has a relay address.
func TestListenerAddressGoes(t *testing.T) {
	s, host, _ := startOn(t, firstAddress)
	for _, deaf := range []bool{false, true, false} {
		host.mu.Lock()
		host.deaf = deaf
		host.mu.Unlock()
		host.lets(t, s)
		if got := s.Unready(); (got != "") != deaf {
			t.Errorf("the address of the listener is gone: %v, and the server says %q", deaf, got)
		}
	}
}
