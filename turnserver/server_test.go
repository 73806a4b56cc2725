package turnserver

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"turnpike/auth"
)

const testRealm = "turnpike.test"

var loopback = netip.MustParseAddr("127.0.0.1")

// startServer runs a server on loopback, relaying from loopback; change may adjust its configuration.
func startServer(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	s := newServer(t, change)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

func newServer(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	cfg := Config{
		Realm:       testRealm,
		Listen:      []Listener{{Network: "udp", Addr: netip.AddrPortFrom(loopback, 0)}, {Network: "tcp", Addr: netip.AddrPortFrom(loopback, 0)}},
		Relay:       []RelayAddress{{Local: loopback, External: loopback}},
		Credentials: testCredentials(),
		NonceKey:    auth.NewSecret([]byte("nonce key of the tests, 32 bytes")),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return s
}

func testCredentials() *auth.Credentials {
	return auth.NewCredentials(testRealm, auth.NewSecret([]byte("signaling")), []auth.Secret{auth.NewSecret([]byte("shared"))}, time.Now)
}

// listenerAddr is the address of the server's first listener of a network.
func listenerAddr(t testing.TB, s *Server, network string) netip.AddrPort {
	t.Helper()
	for _, l := range s.Addrs() {
		if l.Network == network {
			return l.Addr
		}
	}
	t.Fatalf("no %s listener", network)
	return netip.AddrPort{}
}

// listenPeer opens a plain UDP socket for a peer, or a client.
func listenPeer(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// waitFor polls for what another goroutine brings about.
func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(5 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain for ", what)
		}
	}
}
