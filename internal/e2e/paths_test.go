//go:build linux

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"turnpike/internal/netlab"
)

// The server of most tests: a public address, a certificate, and no entrance without an invite.
const (
	publicName = "turn.lab"
	publicURL  = "https://" + publicName
	restSecret = "north-by-northwest"
)

// open starts such a server in lab.
func open(t *testing.T, lab *netlab.Lab) (s *server, config string, ca *authority) {
	t.Helper()
	return openOn(t, lab, lab.Public("server"), defaultListen)
}

// defaultListen is what such a server listens on for TURN.
const defaultListen = `listen = ["udp://0.0.0.0:3478", "tcp://0.0.0.0:3478", "tls://0.0.0.0:5349", "dtls://0.0.0.0:5349"]`

// openOn starts it on a host, with these lines under [turn].
func openOn(t *testing.T, lab *netlab.Lab, host *netlab.Host, turn string) (s *server, config string, ca *authority) {
	t.Helper()
	config, ca = configure(t, lab, host, turn)
	s = serve(t, host, publicURL, netip.AddrPortFrom(host.Addr(), 443), ca, "--config", config)
	return s, config, ca
}

// configure makes such a server's configuration and certificate.
func configure(t *testing.T, lab *netlab.Lab, host *netlab.Host, turn string) (config string, ca *authority) {
	t.Helper()
	lab.AddName(publicName, host)
	ca = newAuthority(t, publicName, host.Addr())
	config = filepath.Join(t.TempDir(), "turnpike.toml")
	text := fmt.Sprintf(`
public_host = %q
state_dir   = %q

[http]
listen = [":443"]

[tls]
mode      = "files"
cert_file = %q
key_file  = %q

[turn]
shared_secrets = [%q]
%s

[auth]
guests = "never"
`, publicName, t.TempDir(), ca.certFile, ca.keyFile, restSecret, turn)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, ca
}

// A person follows a link, in the scenario meet.
type person struct {
	place
	Name string `json:"name"`
	URL  string `json:"url"`
	Over string `json:"over"` // how their own half of the path to the other is to go
}

// TestPaths is what turnpike is for: two people behind whatever NATs talk and see each other,
// through the relay where nothing else connects them, and only there.
func TestPaths(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	s, config, ca := open(t, lab)
	for i, test := range []struct {
		a, b netlab.Kind
		path string
		over [2]string // how each side's own half of the path goes

		userSpace bool
	}{
		{netlab.Symmetric, netlab.Symmetric, "relayed", [2]string{"UDP", "UDP"}, true},
		{netlab.Symmetric, netlab.UDPBlocked, "relayed", [2]string{"UDP", "TCP"}, true},
		{netlab.UDPBlocked, netlab.UDPBlocked, "relayed", [2]string{"TCP", "TCP"}, false},
		{netlab.Only443, netlab.Symmetric, "relayed", [2]string{"TLS", "UDP"}, true},
		{netlab.Only443, netlab.Only443, "relayed", [2]string{"TLS", "TLS"}, false},
		{netlab.PortRestricted, netlab.Symmetric, "relayed", [2]string{"UDP", "UDP"}, false},
		{netlab.FullCone, netlab.FullCone, "direct", [2]string{"UDP", "UDP"}, false},
		{netlab.AddressRestricted, netlab.PortRestricted, "direct", [2]string{"UDP", "UDP"}, false},
		{netlab.PortRestricted, netlab.PortRestricted, "direct", [2]string{"UDP", "UDP"}, false},
	} {
		if leftOut(test.userSpace) {
			continue
		}
		t.Run(test.a.String()+" x "+test.b.String(), func(t *testing.T) {
			link := s.link(t, config, fmt.Sprintf("standup-%d", i))
			var people []person
			for side, kind := range []netlab.Kind{test.a, test.b} {
				name := []string{"ann", "ben"}[side]
				host := lab.Behind(kind, fmt.Sprintf("%s%d", name, i))
				people = append(people, person{at(t, host, ca), name, link, test.over[side]})
			}
			drive(t, "meet", map[string]any{"people": people, "path": test.path})
		})
	}
}

// TestStranger shows the door to those without an invite that holds.
func TestStranger(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	s, config, ca := open(t, lab)
	type link struct {
		URL  string `json:"url"`
		Code string `json:"code"`
	}
	good := s.link(t, config, "standup")
	forged := good[:len(good)-6] + "AAAAAA"
	drive(t, "stranger", map[string]any{
		"place": at(t, lab.Behind(netlab.Symmetric, "alice"), ca),
		"links": []link{{publicURL, "invite-required"}, {publicURL + "/r/standup", "invite-required"}, {forged, "unauthorized"}},
	})
}
