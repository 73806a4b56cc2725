//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestHostAddressChanges changes the addresses of the server's host while the server runs, and takes them away. New relays
// are at the new addresses, those on an address that the host keeps go on, and /readyz says whether there is any.
func TestHostAddressChanges(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	host, alice, bob := lab.Public("server"), lab.Public("alice"), lab.Public("bob")
	config := filepath.Join(t.TempDir(), "turnpike.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "turn.shared_secrets = [%q]\n", restSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, host, "http://localhost:8080", netip.MustParseAddrPort("127.0.0.1:8080"), nil, "--config", config)
	peer, err := bob.ListenUDP(0)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	changes := func() int { return counter(t, host, "turnpike_turn_relay_address_changes_total") }
	awaitChange := func(before int) {
		t.Helper()
		await(t, "the server to follow its host", func() bool { return changes() > before })
	}
	wantAt := func(relay net.PacketConn, at netip.Addr) {
		t.Helper()
		if got := addrOf(t, relay.LocalAddr()); got != at {
			t.Errorf("a relay is at %v, want %v", got, at)
		}
		wantRelayed(t, relay, peer)
	}

	former, former6 := host.Addr(), host.Addr6()
	old := relayAt(t, alice, former)
	wantAt(old, former)

	n := changes()
	lab.Supersede(host)
	awaitChange(n)
	wantAt(relayAt(t, alice, former), host.Addr()) // the server still listens everywhere
	wantAt(relayAt(t, alice, host.Addr()), host.Addr())
	wantAt(old, former)

	lab.Withdraw(host, former, former6)
	await(t, "the relay at the former address to end", func() bool {
		return counter(t, host, `turnpike_turn_relayed_addresses_ended_total{reason="address_gone"}`) == 1
	})
	wantAt(relayAt(t, alice, host.Addr()), host.Addr())

	lab.Withdraw(host, host.Addr(), host.Addr6())
	ready := func() int { status, _ := fetch(t, host, 8080, "/readyz"); return status }
	await(t, "the server not to be ready", func() bool { return ready() == http.StatusServiceUnavailable })
	lab.Supersede(host)
	await(t, "the server to be ready again", func() bool { return ready() == http.StatusOK })
	await(t, "relays at the new addresses", func() bool { return counter(t, host, "turnpike_turn_relay_addresses") == 2 }) // the kernel adds one after the other
	wantAt(relayAt(t, alice, host.Addr()), host.Addr())
	if t.Failed() {
		t.Log(s.log.String())
	}
}

// await polls until something has come about.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for tick := time.NewTicker(50 * time.Millisecond); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func addrOf(t *testing.T, a net.Addr) netip.Addr {
	t.Helper()
	addr, err := netip.ParseAddrPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return addr.Addr()
}

// wantRelayed sends something to a peer by a relay, until it arrives.
func wantRelayed(t *testing.T, relay net.PacketConn, peer *net.UDPConn) {
	t.Helper()
	from, err := netip.ParseAddrPort(relay.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for range 10 {
		if _, err := relay.WriteTo([]byte("hello"), peer.LocalAddr()); err != nil { // WriteTo first asks for a permission
			t.Fatalf("send on the relay at %v: %v", from, err)
		}
		_ = peer.SetReadDeadline(time.Now().Add(time.Second))
		switch _, got, err := peer.ReadFromUDPAddrPort(buf); {
		case err == nil && netip.AddrPortFrom(got.Addr().Unmap(), got.Port()) == from:
			return
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			t.Fatal(err)
		}
	}
	t.Errorf("nothing came by the relay at %v", from)
}
