package turnload

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/testcert"
	"example.org/turnpike/turnserver"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// testConfig is a few calls at a server of this process, which relays to 127.0.0.2.
func testConfig(t *testing.T, change func(*turnserver.Config)) Config {
	t.Helper()
	secret := auth.NewSecret([]byte("shared"))
	cfg := turnserver.Config{
		Realm:       "load.test",
		Listen:      []turnserver.Listener{{Network: "udp", Addr: netip.AddrPortFrom(loopback, 0)}},
		Relay:       []turnserver.RelayAddress{{Local: loopback, External: loopback}},
		AllowPeers:  []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Credentials: auth.NewCredentials("load.test", auth.NewSecret([]byte("signaling")), []auth.Secret{secret}, time.Now),
		NonceKey:    auth.NewSecret([]byte("nonces")),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := turnserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	video, err := ProfileByName("video")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Server:     s.Addrs()[0].Addr,
		Credential: RESTLogin(secret, time.Now()),
		Calls:      3,
		Profile:    video,
		Direction:  Both,
		Peer:       netip.MustParseAddr("127.0.0.2"),
	}
}

func open(t *testing.T, cfg Config) *Generator {
	t.Helper()
	g, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// TestRun: the packets that a server relays become a result. It does not ask for their number, which depends on the
// machine.
func TestRun(t *testing.T) {
	mixed, err := ProfileByName("mixed")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"channels":          func(*Config) {},
		"indications":       func(c *Config) { c.Indications = true },
		"mixed, up":         func(c *Config) { c.Profile, c.Direction = mixed, Up },
		"mixed, down":       func(c *Config) { c.Profile, c.Direction = mixed, Down },
		"relayed":           func(c *Config) { c.Relayed = true },
		"relayed, indicate": func(c *Config) { c.Relayed, c.Indications = true, true },
		"direct":            func(c *Config) { c.Direct = true },
		"two workers":       func(c *Config) { c.Workers = 2 },
		"TCP":               func(c *Config) { c.Transport = OverTCP },
		"TLS":               func(c *Config) { c.Transport = OverTLS },
		"DTLS":              func(c *Config) { c.Transport = OverDTLS },
		"TLS, indications":  func(c *Config) { c.Transport, c.Indications = OverTLS, true },
		"DTLS, relayed":     func(c *Config) { c.Transport, c.Relayed = OverDTLS, true },
		"Binding":           func(c *Config) { c.Binding = true },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, nil)
			change(&cfg)
			if cfg.carried() {
				certFile, keyFile, roots := testcert.For(t, t.TempDir(), "load.test")
				pair, err := tls.LoadX509KeyPair(certFile, keyFile)
				if err != nil {
					t.Fatal(err)
				}
				network := string(cfg.Transport)
				cfg = testConfig(t, func(c *turnserver.Config) {
					c.Listen[0].Network = network
					c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
				})
				cfg.TLS = &tls.Config{ServerName: "load.test", RootCAs: roots}
				change(&cfg)
			}
			g := open(t, cfg)
			for run := range 2 { // the second must not count packets of the first
				r, err := g.Run(t.Context(), Load{Duration: 200 * time.Millisecond, Warmup: 20 * time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				if r.Sent == 0 || r.Received == 0 || r.Received > r.Sent || r.Reordered > 0 {
					t.Errorf("run %d: %d sent, %d received, %d reordered", run, r.Sent, r.Received, r.Reordered)
				}
				if r.Latency.Count() != r.Received || r.Latency.Percentile(99) == 0 {
					t.Errorf("run %d: %d latencies of %d packets, p99 %v", run, r.Latency.Count(), r.Received, r.Latency.Percentile(99))
				}
				if r.Bytes == 0 || r.Rate != g.cfg.NominalRate() {
					t.Errorf("run %d: %d bytes, rate %v", run, r.Bytes, r.Rate)
				}
			}
		})
	}
}

// TestIPv6: calls go through a server at an IPv6 address.
func TestIPv6(t *testing.T) {
	home := netip.IPv6Loopback()
	probe, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(home, 0)))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("this host has no IPv6: ", err)
	}
	_ = probe.Close()
	for _, indications := range []bool{false, true} {
		cfg := testConfig(t, func(c *turnserver.Config) {
			c.Listen[0].Addr = netip.AddrPortFrom(home, 0)
			c.Relay = []turnserver.RelayAddress{{Local: home, External: home}}
		})
		cfg.Relayed, cfg.Peer, cfg.Indications = true, netip.Addr{}, indications
		g := open(t, cfg)
		r, err := g.Run(t.Context(), Load{Duration: 100 * time.Millisecond})
		if err != nil || r.Received == 0 || !g.clients()[0].relayed.Addr().Is6() {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// TestHold: allocations can be made and measured without sending.
func TestHold(t *testing.T) {
	cfg := testConfig(t, nil)
	cfg.Hold, cfg.PID, cfg.Calls = true, os.Getpid(), 50
	g := open(t, cfg)
	s := g.Setup()
	if s.Allocations != 50 || s.Took <= 0 || s.RSSBefore <= 0 || s.RSSAfter <= 0 || s.SlabBefore <= 0 || s.SlabAfter <= 0 {
		t.Errorf("%+v", s)
	}
	if _, err := g.Run(t.Context(), Load{Duration: time.Second}); err == nil {
		t.Error("calls that have no sockets to send from were run")
	}
}

// TestMax: the search ends with a rate that was tried.
func TestMax(t *testing.T) {
	cfg := testConfig(t, nil)
	cfg.Direct = true
	g := open(t, cfg)
	tried := map[float64]bool{}
	found, err := g.Max(t.Context(), Load{Duration: 20 * time.Millisecond}, func(r *Result) { tried[r.Rate] = true })
	if err != nil {
		t.Fatal(err)
	}
	if found.Result != nil && !tried[found.Result.Rate] || len(tried) < 2 {
		t.Errorf("%+v of %v", found, tried)
	}
}

// TestRefresh: allocations stay alive, also after their nonce has become stale.
func TestRefresh(t *testing.T) {
	g := open(t, testConfig(t, nil))
	g.refreshed = time.Time{}
	for _, c := range g.clients() {
		c.nonce = "of another time"
	}
	if _, err := g.Run(t.Context(), Load{Duration: 500 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	for _, c := range g.clients() {
		if c.nonce == "of another time" {
			t.Error("the nonce is still the stale one")
		}
	}
	err := perform(t.Context(), g.clients(), performer{
		request: func(*client) (stun.Method, []stun.Setter) {
			return stun.MethodRefresh, []stun.Setter{lifetime(allocationLife)}
		},
	})
	if err != nil {
		t.Error("an allocation is gone: ", err)
	}
}

func TestCancel(t *testing.T) {
	g := open(t, testConfig(t, nil))
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := g.Run(ctx, Load{Duration: time.Hour, Progress: func(float64) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRefusals: errors say what is wrong.
func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		server func(*turnserver.Config)
		change func(*Config)
		want   string
	}{
		"peer forbidden": {server: func(c *turnserver.Config) { c.AllowPeers = nil }, want: "403"},
		"wrong secret": {change: func(c *Config) { c.Credential = RESTLogin(auth.NewSecret([]byte("another")), time.Now()) },
			want: "401"},
		"nobody there":  {change: func(c *Config) { c.Server = netip.AddrPortFrom(loopback, 9) }, want: "nobody listens there"},
		"no calls":      {change: func(c *Config) { c.Calls = 0 }, want: "0 calls are too few"},
		"no server":     {change: func(c *Config) { c.Server = netip.AddrPort{} }, want: "no server"},
		"too big":       {change: func(c *Config) { c.Profile.Streams = []Stream{{1400, 1, time.Second}} }, want: "cannot be sent"},
		"contradiction": {change: func(c *Config) { c.Direct, c.Relayed = true, true }, want: "exclude each other"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, test.server)
			if test.change != nil {
				test.change(&cfg)
			}
			g, err := Open(t.Context(), cfg)
			if err == nil {
				g.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q does not say %q", err, test.want)
			}
		})
	}
}
