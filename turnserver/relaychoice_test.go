package turnserver

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// relayHosts makes the server relay from n addresses of this host, which no other test has at the time.
func relayHosts(n int) func(*Config) {
	pid := os.Getpid()
	return func(cfg *Config) {
		cfg.Relay = nil
		for i := range n {
			cfg.Relay = append(cfg.Relay, RelayAddress{Local: netip.AddrFrom4([4]byte{127, byte(100 + pid>>8%100), byte(pid), byte(1 + i)})})
		}
	}
}

// TestRelayAddresses: the relays of all users are spread over the addresses of a family, and those of one user are at one, whatever their
// kind. Relays at different addresses reach each other.
func TestRelayAddresses(t *testing.T) {
	const users, addresses = 40, 4
	s := startServer(t, relayHosts(addresses))
	used := make(map[netip.Addr]int)
	byUser := make(map[string]*testClient)
	at := make(map[string]netip.AddrPort)
	for i := range users {
		user := fmt.Sprint("user", i)
		cred := testCredentials().MintRelayOnly(user, time.Hour)
		c := dialAs(t, s, "udp", cred)
		first := c.allocate()
		used[first.Addr()]++
		byUser[user], at[user] = c, first
		for _, kind := range [][]stun.Setter{nil, {evenPortAttribute(true)}, {addressFamily(wire.IPv4)}} {
			if again := dialAs(t, s, "udp", cred).allocate(kind...); again.Addr() != first.Addr() {
				t.Errorf("relays of one user are at %v and %v", first, again)
			}
		}
		if s.relaysTCP() {
			if got := dialAs(t, s, "tcp", cred).allocateTCP(); got.Addr() != first.Addr() {
				t.Errorf("relays of one user are at %v, and for TCP at %v", first, got)
			}
		}
	}
	if len(used) != addresses {
		t.Errorf("of %d addresses are used %v", addresses, used)
	}
	one := at["user0"]
	for user, other := range at {
		if other.Addr() == one.Addr() {
			continue
		}
		byUser["user0"].permit(other)
		byUser[user].bind(wire.MinChannel, one)
		byUser["user0"].indicate(other, []byte("across"))
		byUser[user].wantData(wire.MinChannel, one, []byte("across"))
		break
	}
	dialREST(t, s, "udp", "alice").refuse(440, stun.MethodAllocate, transport(transportUDP), addressFamily(wire.IPv6))
}

// TestRelayAddressesChange: when an address goes, only those users get another who were there; and they have it back when it comes back.
func TestRelayAddressesChange(t *testing.T) {
	s := newServer(t, relayHosts(5))
	before := s.relays.Load()
	gone := before.udp[2]
	fewer := newRelaySet(slices.Concat(before.places[:2], before.places[3:]), before.known)
	moved := 0
	for i := range 200 {
		who := holder{owner: owner{user: fmt.Sprint(i)}}
		was := s.relaysFor(who, false, wire.IPv4)
		s.relays.Store(fewer)
		is := s.relaysFor(who, false, wire.IPv4)
		s.relays.Store(before)
		if was[0] == gone {
			moved++
			if is[0] != was[1] {
				t.Errorf("user %d moves to another address than the next", i)
			}
		} else if is[0] != was[0] {
			t.Errorf("user %d moves, though its address is still there", i)
		}
	}
	if moved < 15 || moved > 70 {
		t.Errorf("of 200 users %d were at one of five addresses", moved)
	}
}

// TestNextRelayAddress: when a user's address has no port left, the next has. A pair of ports is at one address.
func TestNextRelayAddress(t *testing.T) {
	const low = 22000 // the system gives it only to programs that ask for it
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, func(cfg *Config) {
			relayHosts(3)(cfg)
			cfg.MinPort, cfg.MaxPort = low, low+1
		})
		seen := make(map[netip.AddrPort]bool)
		c := dialREST(t, s, network, "alice")
		first := c.allocate()
		seen[first] = true
		pair := dialREST(t, s, network, "alice").allocate(evenPortAttribute(true))
		if pair.Addr() == first.Addr() || pair.Port() != low {
			t.Errorf("the first port of a pair is %v, beside %v", pair, first)
		}
		waitFor(t, "what is left of the tries for a pair", func() bool { return heldPorts(s) == 3 })
		seen[pair], seen[netip.AddrPortFrom(pair.Addr(), low+1)] = true, true
		for range 3 {
			got := dialREST(t, s, network, "alice").allocate()
			if seen[got] {
				t.Errorf("%v was given out twice", got)
			}
			seen[got] = true
		}
		dialREST(t, s, network, "alice").expectAllocate(508)
		for _, r := range s.relays.Load().udp {
			if !r.full() {
				t.Errorf("%v seems to have a port left", r.local)
			}
		}
		c.accept(stun.MethodRefresh, lifetime(0))
		waitFor(t, "its port to be free", func() bool { return heldPorts(s) == 5 })
		if got := dialREST(t, s, network, "alice").allocate(); got != first {
			t.Errorf("%v was given out, and %v is free", got, first)
		}
	})
}

// TestAmbiguousRelayAddresses: peers tell relay addresses apart.
func TestAmbiguousRelayAddresses(t *testing.T) {
	a, b, public := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6"), netip.MustParseAddr("192.0.2.1")
	for name, row := range map[string]struct {
		second RelayAddress
		ok     bool
	}{
		"another":                {RelayAddress{Local: b}, true},
		"the same":               {RelayAddress{Local: a}, false},
		"mapped":                 {RelayAddress{Local: netip.MustParseAddr("::ffff:10.0.0.5")}, false},
		"one external address":   {RelayAddress{Local: b, External: public}, false},
		"the other's external":   {RelayAddress{Local: public}, false},
		"the other's local form": {RelayAddress{Local: b, External: a}, false},
	} {
		_, err := New(Config{
			Realm: testRealm, Credentials: testCredentials(), NonceKey: auth.NewSecret([]byte("any")), Relay: []RelayAddress{{Local: a, External: public}, row.second},
		})
		if (err == nil) != row.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAmbiguousRelayAddressLater: an address that could not be told apart from another is not used, when it comes later.
func TestAmbiguousRelayAddressLater(t *testing.T) {
	a, b := netip.MustParseAddr("127.0.5.1"), netip.MustParseAddr("127.0.5.2")
	s, host, _ := startOn(t, a)
	host.set([]RelayAddress{{Local: a}, {Local: b, External: a}}, a, b)
	host.lets(t, s)
	if got := s.RelayAddresses(); len(got) != 1 || got[0].Local != a {
		t.Errorf("it relays from %v", got)
	}
	host.set([]RelayAddress{{Local: a}, {Local: b}}, a, b)
	host.lets(t, s)
	if got := s.RelayAddresses(); len(got) != 2 {
		t.Errorf("it relays from %v", got)
	}
}
