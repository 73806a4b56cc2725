package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"turnpike/auth"
	"turnpike/internal/config"
	"turnpike/turnserver"
)

func TestICEServers(t *testing.T) {
	everywhere := []string{"udp://0.0.0.0:3478", "tcp://0.0.0.0:3478", "udp://[::]:3478", "tcp://[::]:3478"}
	relays := []string{"192.0.2.10", "2001:db8::10"}
	tests := []struct {
		name       string
		publicHost string
		open       []string
		relays     []string
		host       string // header
		want       string // URLs; a semicolon between servers
	}{
		{"443 on the http port", "turn.example.org", slices.Concat(everywhere, []string{"web tls://0.0.0.0:443", "web tls://[::]:443"}), relays, "turn.example.org",
			"stun:turn.example.org:3478; turn:turn.example.org:3478?transport=udp turn:turn.example.org:3478?transport=tcp turns:turn.example.org:443?transport=tcp"},
		{"443 before other ports", "turn.example.org", []string{"web tls://[::]:8443", "tls://0.0.0.0:5349", "tls://0.0.0.0:443"}, relays, "x",
			"turns:turn.example.org:443?transport=tcp"},
		{"the http port before others", "", []string{"tls://0.0.0.0:5349", "web tls://0.0.0.0:8443"}, relays, "box.lan:8443",
			"turns:box.lan:8443?transport=tcp"},
		{"a listener of TLS", "", []string{"tls://[::]:5349"}, relays, "[2001:db8::5]:8443", "turns:[2001:db8::5]:5349?transport=tcp"},
		{"the http port in clear, if there is no other", "", []string{"udp://0.0.0.0:3478", "web tcp://0.0.0.0:8080"}, relays, "box.lan:8080",
			"stun:box.lan:3478; turn:box.lan:3478?transport=udp turn:box.lan:8080?transport=tcp"},
		{"the http port in clear, if there is another", "", []string{"tcp://0.0.0.0:3478", "web tcp://0.0.0.0:8080"}, relays, "box.lan:8080",
			"turn:box.lan:3478?transport=tcp"},
		{"no certificate is for the address in loopback's stead", "", []string{"web tls://0.0.0.0:8443"}, relays, "localhost:8443", ""},
		{"DTLS is for no browser", "turn.example.org", []string{"dtls://0.0.0.0:5349"}, relays, "x", ""},
		{"everything", "turn.example.org", slices.Concat(everywhere, []string{"tls://0.0.0.0:5349", "dtls://0.0.0.0:5349", "web tls://[::]:443", "web tls://0.0.0.0:8443"}), relays, "x",
			"stun:turn.example.org:3478; turn:turn.example.org:3478?transport=udp turn:turn.example.org:3478?transport=tcp turns:turn.example.org:443?transport=tcp"},
		{"public_host wins", "turn.example.org", everywhere, relays, "other.example",
			"stun:turn.example.org:3478; turn:turn.example.org:3478?transport=udp turn:turn.example.org:3478?transport=tcp"},
		{"public_host for this machine too", "turn.example.org", everywhere, relays, "localhost:8080",
			"stun:turn.example.org:3478; turn:turn.example.org:3478?transport=udp turn:turn.example.org:3478?transport=tcp"},
		{"the host the client came by", "", everywhere, relays, "box.lan:8080",
			"stun:box.lan:3478; turn:box.lan:3478?transport=udp turn:box.lan:3478?transport=tcp"},
		{"loopback becomes a relay address", "", everywhere, relays, "localhost:8080",
			"stun:192.0.2.10:3478; turn:192.0.2.10:3478?transport=udp turn:192.0.2.10:3478?transport=tcp"},
		{"loopback on a host without IPv4", "", everywhere, relays[1:], "[::1]:8080",
			"stun:[2001:db8::10]:3478; turn:[2001:db8::10]:3478?transport=udp turn:[2001:db8::10]:3478?transport=tcp"},
		{"IPv6 has brackets, and the listener of its family", "", []string{"udp://0.0.0.0:1", "udp://[::]:2"}, relays, "[2001:db8::5]:8080",
			"stun:[2001:db8::5]:2; turn:[2001:db8::5]:2?transport=udp"},
		{"an IPv6 public_host", "2001:db8::5", everywhere, relays, "box.lan",
			"stun:[2001:db8::5]:3478; turn:[2001:db8::5]:3478?transport=udp turn:[2001:db8::5]:3478?transport=tcp"},
		{"only what is open: TCP", "", []string{"tcp://0.0.0.0:443"}, relays, "box.lan", "turn:box.lan:443?transport=tcp"},
		{"only what is open: no IPv6", "", []string{"udp://0.0.0.0:3478"}, relays, "[2001:db8::5]", ""},
		{"ports of their own", "", []string{"udp://0.0.0.0:1000", "tcp://0.0.0.0:2000"}, relays, "10.0.0.5",
			"stun:10.0.0.5:1000; turn:10.0.0.5:1000?transport=udp turn:10.0.0.5:2000?transport=tcp"},
		{"a listener on loopback, for this machine", "", []string{"udp://127.0.0.1:3478"}, relays, "localhost",
			"stun:127.0.0.1:3478; turn:127.0.0.1:3478?transport=udp"},
		{"a listener on loopback is not for others", "", []string{"udp://127.0.0.1:3478", "udp://0.0.0.0:3479"}, relays, "box.lan",
			"stun:box.lan:3479; turn:box.lan:3479?transport=udp"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := iceServers{publicHost: test.publicHost}
			for _, l := range test.open {
				l, web := strings.CutPrefix(l, "web ")
				network, addr, _ := strings.Cut(l, "://")
				listener := turnserver.Listener{Network: network, Addr: netip.MustParseAddrPort(addr)}
				if web {
					s.web = append(s.web, listener)
				} else {
					s.open = append(s.open, listener)
				}
			}
			for _, a := range test.relays {
				s.relays = append(s.relays, netip.MustParseAddr(a))
			}
			var got []string
			for _, server := range s.list(test.host, auth.Credential{Username: "u", Password: "p"}) {
				got = append(got, strings.Join(server.URLs, " "))
				wantCredential := strings.HasPrefix(server.URLs[0], "turn")
				if (server.Username == "u" && server.Credential == "p") != wantCredential {
					t.Errorf("%v has the credential %q", server.URLs, server.Username)
				}
			}
			if joined := strings.Join(got, "; "); joined != test.want {
				t.Errorf("got  %s\nwant %s", joined, test.want)
			}
		})
	}
}

func TestRelayAddresses(t *testing.T) {
	found := func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("10.0.0.5")}, nil }
	none := func() ([]netip.Addr, error) { return nil, nil }

	cfg := config.Default("state")
	cfg.TURN.ExternalAddresses = map[netip.Addr]netip.Addr{netip.MustParseAddr("10.0.0.5"): netip.MustParseAddr("203.0.113.9")}
	got, err := relayAddresses(cfg, found)
	want := []turnserver.RelayAddress{{Local: netip.MustParseAddr("10.0.0.5"), External: netip.MustParseAddr("203.0.113.9")}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("behind 1:1 NAT: %v, %v; want %v", got, err, want)
	}

	cfg.TURN.ExternalAddresses = map[netip.Addr]netip.Addr{netip.MustParseAddr("10.0.0.6"): netip.MustParseAddr("203.0.113.9")}
	if _, err := relayAddresses(cfg, found); err == nil || !strings.HasPrefix(err.Error(), `turn.external_addresses: "10.0.0.6" is not an address that this server relays from`) {
		t.Errorf("a wrong external address: %v", err)
	}

	cfg = config.Default("state")
	if _, err := relayAddresses(cfg, none); err == nil || !strings.HasPrefix(err.Error(), "turn.relay_addresses: no relay address found") {
		t.Errorf("no default route: %v", err)
	}
	cfg.TURN.RelayAddresses = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	if got, err := relayAddresses(cfg, none); err != nil || len(got) != 1 || got[0].External != got[0].Local {
		t.Errorf("configured: %v, %v", got, err)
	}
}
