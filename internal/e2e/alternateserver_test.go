//go:build linux

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pion/turn/v4"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/netlab"
)

// TestAlternateServer drains a server that has a relay, and starts coturn's client there. The client follows to the
// other server by itself and relays there. The first server keeps the relay that it has.
func TestAlternateServer(t *testing.T) {
	need(t, "turnutils_uclient")
	t.Parallel()
	lab := netlab.New(t)
	old, next := lab.Public("old"), lab.Public("next")
	loopback := netip.MustParseAddrPort("127.0.0.1:8080")
	serveHere := func(host *netlab.Host, turn string) *server {
		config := filepath.Join(t.TempDir(), "turnpike.toml")
		text := fmt.Sprintf("drain_timeout = \"5m\"\n[turn]\nshared_secrets = [%q]\n%s\n", restSecret, turn)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return serve(t, host, "http://localhost:8080", loopback, nil, "--config", config)
	}
	serveHere(next, "")
	draining := serveHere(old, fmt.Sprintf("alternate_server = [\"%s:3478\", \"[%s]:3478\"]", next.Addr(), next.Addr6()))
	alice, bob := lab.Behind(netlab.Symmetric, "alice"), lab.Public("bob")

	stays := relayAt(t, alice, old.Addr())
	draining.drain(t)
	deadline := time.After(20 * time.Second)
	for ready := http.StatusOK; ready == http.StatusOK; { // Once /readyz says no, the server sends clients on.
		select {
		case <-deadline:
			t.Fatal("the server did not begin to drain")
		case <-time.After(20 * time.Millisecond):
		}
		ready, _ = fetch(t, old, 8080, "/readyz")
	}
	for _, test := range []struct {
		name string
		from *netlab.Host
		args []string
	}{
		{"udp", alice, []string{"-y", "-s", "-m", "2", old.Addr().String()}},
		{"tcp", alice, []string{"-t", "-y", "-s", "-m", "2", old.Addr().String()}},
		{"udp, IPv6", bob, []string{"-y", "-s", "-m", "2", old.Addr6().String()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			sent, made := counter(t, old, `turnpike_turn_error_responses_total{code="300"}`), counter(t, next, "turnpike_turn_allocations_made_total")
			ctx, cancel := within(t, 60*time.Second)
			defer cancel()
			out := uclient(ctx, t, test.from, test.args)
			if err := lossless(out); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			// The first of its clients is sent on; the second then goes there straight away.
			if counter(t, old, `turnpike_turn_error_responses_total{code="300"}`) == sent || counter(t, next, "turnpike_turn_allocations_made_total") < made+2 {
				t.Error("the clients were not sent to the other server")
			}
		})
	}
	if got := counter(t, old, "turnpike_turn_allocations_made_total"); got != 1 {
		t.Errorf("the draining server made %d relays, want only the one before the drain", got)
	}
	if _, err := stays.WriteTo([]byte("still there"), stays.LocalAddr()); err != nil { // WriteTo first asks for a permission
		t.Errorf("send on the relay from before the drain: %v", err)
	}
	if err := stays.Close(); err != nil {
		t.Errorf("close the relay from before the drain: %v", err)
	}
}

// relayAt makes a relay with pion's client. It lives until the test ends it.
func relayAt(t *testing.T, from *netlab.Host, server netip.Addr) net.PacketConn {
	t.Helper()
	conn, err := from.ListenUDP(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	cred, _ := auth.NewCredentials("turnpike", auth.NewSecret([]byte("unused")), []auth.Secret{auth.NewSecret([]byte(restSecret))}, time.Now).MintREST("alice", time.Hour)
	address := netip.AddrPortFrom(server, 3478).String()
	client, err := turn.NewClient(&turn.ClientConfig{TURNServerAddr: address, Conn: conn, Username: cred.Username, Password: cred.Password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	return relay
}
