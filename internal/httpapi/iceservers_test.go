package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
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
			s := ICEServers{PublicHost: test.publicHost}
			for _, l := range test.open {
				l, web := strings.CutPrefix(l, "web ")
				network, addr, _ := strings.Cut(l, "://")
				listener := Listener{network, netip.MustParseAddrPort(addr)}
				if web {
					s.Web = append(s.Web, listener)
				} else {
					s.Listeners = append(s.Listeners, listener)
				}
			}
			s.Relays = func() (now []netip.Addr) {
				for _, a := range test.relays {
					now = append(now, netip.MustParseAddr(a))
				}
				return now
			}
			var got []string
			for _, server := range s.List(test.host, auth.Credential{Username: "u", Password: "p"}) {
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

// TestDraining: a server that takes no new relays names another, or says when to ask again.
func TestDraining(t *testing.T) {
	a := newAPITest(GuestsNever)
	a.cfg.APIKeys = []auth.Secret{auth.NewSecret([]byte("an API key"))}
	a.cfg.Credentials = auth.NewCredentials("turnpike", auth.NewSecret([]byte("secret")), []auth.Secret{auth.NewSecret([]byte("shared"))}, a.cfg.Now)
	a.cfg.VerifyTicket = func(string) (auth.Ticket, error) { return auth.Ticket{}, nil }
	draining := false
	a.cfg.ICEServers.Draining = func() bool { return draining }
	for _, path := range []struct{ path, bearer string }{{"/api/v1/ice-servers", "a ticket"}, {"/api/v1/turn-credentials?service=turn", "an API key"}} {
		ask := func() (*http.Response, string) {
			resp, object := a.do("GET", path.path, "", request(stranger, "turn.example.org", "Authorization: Bearer "+path.bearer))
			return resp, fmt.Sprint(object)
		}
		draining, a.cfg.ICEServers.Alternates = false, nil
		if resp, body := ask(); resp.StatusCode != 200 || !strings.Contains(body, "turn:turn.example.org:3478") {
			t.Errorf("%s before: %d %s", path.path, resp.StatusCode, body)
		}
		draining = true
		if resp, body := ask(); resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "30" {
			t.Errorf("%s while draining: %d %s, Retry-After %q", path.path, resp.StatusCode, body, resp.Header.Get("Retry-After"))
		}
		a.cfg.ICEServers.Alternates = []Alternate{{netip.MustParseAddrPort("203.0.113.20:3478"), false}, {netip.MustParseAddrPort("203.0.113.20:5349"), true}}
		resp, body := ask()
		for _, want := range []string{"turn:203.0.113.20:3478?transport=udp", "turn:203.0.113.20:3478?transport=tcp", "turns:turn.example.org:5349?transport=tcp"} {
			if resp.StatusCode != 200 || !strings.Contains(body, want) || strings.Contains(body, "turn:turn.example.org") {
				t.Errorf("%s with another server: %d %s, want %s", path.path, resp.StatusCode, body, want)
			}
		}
	}
	// A session learns of the other server as well. Without one it keeps this one: STUN goes on.
	a.cfg.ICEServers.AlternateHost = "other.example.org"
	if got := fmt.Sprint(a.cfg.ICEServers.List("turn.example.org", auth.Credential{})); !strings.Contains(got, "turns:other.example.org:5349") || !strings.Contains(got, "stun:203.0.113.20:3478") {
		t.Errorf("a session gets %s", got)
	}
	a.cfg.ICEServers.Alternates = nil
	if got := fmt.Sprint(a.cfg.ICEServers.List("turn.example.org", auth.Credential{})); !strings.Contains(got, "stun:turn.example.org:3478") {
		t.Errorf("without another server a session gets %s", got)
	}
}

// TestUnready: /readyz says why clients should go elsewhere.
func TestUnready(t *testing.T) {
	a := newAPITest(GuestsNever)
	why := ""
	a.cfg.Unready = func() string { return why }
	a.SetReady(true)
	if resp, _ := a.do("GET", "/readyz", "", request(stranger, "turn.example.org")); resp.StatusCode != 200 {
		t.Errorf("ready: %d", resp.StatusCode)
	}
	why = "no relay address"
	if resp, _ := a.do("GET", "/readyz", "", request(stranger, "turn.example.org")); resp.StatusCode != 503 {
		t.Errorf("not ready: %d", resp.StatusCode)
	}
}

// TestKeysUnavailable: a page of keys that cannot be read is the server's fault, and no guess.
func TestKeysUnavailable(t *testing.T) {
	a := newAPITest(GuestsNever)
	a.cfg.VerifyTicket = func(string) (auth.Ticket, error) {
		return auth.Ticket{}, &auth.KeysUnavailableError{Issuer: "app", RetryAfter: 6500 * time.Millisecond, Err: errors.New("down")}
	}
	for range 20 {
		resp, object := a.do("GET", "/api/v1/ice-servers", "", request(stranger, "turn.example.org", "Authorization: Bearer x"))
		if resp.StatusCode != 503 || errorCode(object) != "internal" || resp.Header.Get("Retry-After") != "7" {
			t.Fatalf("%d %v, Retry-After %q", resp.StatusCode, object, resp.Header.Get("Retry-After"))
		}
	}
}

// TestRefusedTicketIsLogged: an operator finds the user whom a token claims to be, and never the token.
func TestRefusedTicketIsLogged(t *testing.T) {
	a := newAPITest(GuestsNever)
	var log bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(&log, nil))
	token := "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIn0.eyJpc3MiOiJhcHAiLCJzdWIiOiJib2IifQ.AAAA" // kid k1, iss app, sub bob
	a.do("GET", "/api/v1/ice-servers", "", request(stranger, "turn.example.org", "Authorization: Bearer "+token))
	a.do("POST", "/api/v1/tickets", `{"name":"Ada","invite":"`+token+`"}`, request(stranger, "turn.example.org"))
	for _, what := range []string{"ticket", "invite"} {
		want := `level=INFO msg="` + what + ` refused" client=203.0.113.5 claims.iss=app claims.sub=bob claims.kid=k1 err=`
		if !strings.Contains(log.String(), want) || strings.Contains(log.String(), "AAAA") {
			t.Errorf("the log is %s, want %s", log.String(), want)
		}
	}
}

func TestICEServersEndpoint(t *testing.T) {
	a := newAPITest(GuestsNever)
	token, _, err := a.cfg.Tickets.Issue(auth.Ticket{Name: "Ada", Rooms: []string{"*"}, Role: auth.RoleMember}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	get := func(authorization ...string) (*http.Response, map[string]any) {
		return a.do("GET", "/api/v1/ice-servers", "", request(stranger, "turn.example.org", authorization...))
	}
	resp, object := get("Authorization: Bearer " + token)
	if resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("with a ticket: %d %v", resp.StatusCode, object)
	}
	servers, _ := json.Marshal(object["iceServers"])
	var list []struct{ Username, Credential string }
	if err := json.Unmarshal(servers, &list); err != nil || len(list) != 2 {
		t.Fatalf("iceServers: %s, %v", servers, err)
	}
	if object["ttl"] != 3600.0 || object["expires"] != a.now.Add(time.Hour).UTC().Format(time.RFC3339) {
		t.Errorf("good for %v seconds, until %v", object["ttl"], object["expires"])
	}
	candidates, ok := a.cfg.Credentials.Candidates([]byte(list[1].Username), nil)
	if !ok || candidates[0].Grant.Kind != auth.GrantRelayOnly || !candidates[0].Grant.Expires.Equal(a.now.Add(time.Hour)) {
		t.Errorf("the credential grants %+v", candidates)
	}
	for _, bad := range []string{"", "Bearer", "Bearer x", "Basic " + token} {
		resp, object := get("Authorization: " + bad)
		if resp.StatusCode != 401 || errorCode(object) != "unauthorized" || resp.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("Authorization %q: %d %v", bad, resp.StatusCode, object)
		}
		a.failures = newBuckets(3, a.failures.table.now)
	}
	a.now = a.now.Add(time.Hour)
	if resp, object := get("Authorization: Bearer " + token); resp.StatusCode != 401 || errorCode(object) != "expired" {
		t.Errorf("an old ticket: %d %v", resp.StatusCode, object)
	}
}

// TestICEServersWithMappedPorts: clients from elsewhere get the ports that a container maps, and clients on this machine the
// listeners' own.
func TestICEServersWithMappedPorts(t *testing.T) {
	at := netip.MustParseAddrPort("0.0.0.0:3478")
	web := netip.MustParseAddrPort("0.0.0.0:8443")
	mapped := map[string]uint16{"udp:3478": 13478, "tls:8443": 443}
	for name, row := range map[string]struct{ publicHost, host, want string }{
		"by public_host":       {"turn.example.org", "localhost:8080", "stun:turn.example.org:13478 turn:turn.example.org:13478?transport=udp turn:turn.example.org:3478?transport=tcp turns:turn.example.org:443?transport=tcp"},
		"by the host they use": {"", "box.lan:18443", "stun:box.lan:13478 turn:box.lan:13478?transport=udp turn:box.lan:3478?transport=tcp turns:box.lan:443?transport=tcp"},
		"on this machine":      {"", "localhost:18443", "stun:192.0.2.10:3478 turn:192.0.2.10:3478?transport=udp turn:192.0.2.10:3478?transport=tcp"},
	} {
		s := &ICEServers{PublicHost: row.publicHost, Relays: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.10")} },
			Listeners: []Listener{{"udp", at}, {"tcp", at}}, Web: []Listener{{"tls", web}},
			PublicPort: func(network string, port uint16) uint16 {
				if public, ok := mapped[fmt.Sprintf("%s:%d", network, port)]; ok {
					return public
				}
				return port
			}}
		var urls []string
		for _, server := range s.List(row.host, auth.Credential{}) {
			urls = append(urls, server.URLs...)
		}
		if got := strings.Join(urls, " "); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}
