package rtclink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/turn/v5"
	"github.com/pion/webrtc/v4"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/internal/testcert"
	"example.org/turnpike/signal/wire"
)

// relayOver starts a TURN server of pion's over TCP or TLS, and returns its URL and the authority of its certificate.
func relayOver(t *testing.T, scheme string) (string, *x509.CertPool) {
	t.Helper()
	cert, key, roots := testcert.For(t, t.TempDir(), "localhost")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if scheme == "turns" {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "test",
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			return a.Username, turn.GenerateAuthKey(a.Username, a.Realm, "secret"), true
		},
		ListenerConfigs: []turn.ListenerConfig{{
			Listener: listener, RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return scheme + ":localhost:" + port + "?transport=tcp", roots
}

// TestOwnAuthority holds that a relay by TLS works whose certificate the program alone trusts, and that one is not asked whose
// certificate nobody trusts.
func TestOwnAuthority(t *testing.T) {
	noLeaks(t)
	for _, test := range []struct {
		scheme         string
		trusts, relays bool
	}{{"turns", true, true}, {"turns", false, false}, {"turn", false, true}} {
		url, roots := relayOver(t, test.scheme)
		config := link.Config{Offers: true, RelayOnly: true, ICEServers: []wire.ICEServer{{URLs: []string{url}, Username: "user", Credential: "secret"}}}
		if test.trusts {
			config.TLS = &tls.Config{RootCAs: roots}
		}
		e := newEnd(t, config)
		for said := ""; !strings.Contains(said, "null"); {
			select {
			case p := <-e.queue:
				said += string(p.Candidates)
			case <-time.After(20 * time.Second):
				t.Fatal("gathering does not end")
			}
			if found := strings.Contains(said, " typ relay"); strings.Contains(said, "null") && found != test.relays {
				t.Errorf("%s, trusted: %v: %s", test.scheme, test.trusts, said)
			}
		}
	}
}

// TestCloseEndsDials holds that a server that says nothing does not hold up the end of a link.
func TestCloseEndsDials(t *testing.T) {
	silent, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	d := newStreamDialer(nil)
	d.serve([]webrtc.ICEServer{{URLs: []string{"turns:" + silent.Addr().String() + "?transport=tcp"}}})
	ended := make(chan error, 1)
	go func() {
		_, err := d.Dial("tcp4", silent.Addr().String())
		ended <- err
	}()
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d.end()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the dial ended with %v", err)
	}
}
