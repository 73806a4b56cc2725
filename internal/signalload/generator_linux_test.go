package signalload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal"
)

// testConfig returns a Config of two pairs at a server in this process.
func testConfig(t *testing.T, secure bool, limit func(*signal.Limits)) Config {
	t.Helper()
	cfg := signal.Config{VerifyTicket: func(token string) (auth.Ticket, error) {
		if !strings.HasPrefix(token, "guest") {
			return auth.Ticket{}, auth.ErrUnauthorized
		}
		return auth.Ticket{User: auth.User{Issuer: auth.Issuer, Subject: token}, Name: token, Role: auth.RoleGuest, Rooms: []string{"*"}}, nil
	}}
	// TestMax sends more than any server carries. That must not end a session.
	many := signal.Rate{PerSecond: 1e6, Burst: 1e6}
	cfg.Limits = signal.Limits{Messages: many, UserMessages: many, QueueMessages: 1 << 20, QueueBytes: 1 << 30}
	if limit != nil {
		limit(&cfg.Limits)
	}
	srv := signal.New(cfg)
	ts := httptest.NewUnstartedServer(srv)
	out := Config{
		Host: "example.com", Sessions: 4,
		Dialect: Turnpike{Run: "test", Ticket: func(session int) (string, error) { return fmt.Sprintf("guest %d", session), nil }},
	}
	if secure {
		ts.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(ts.Certificate())
		out.TLS = &tls.Config{ServerName: "example.com", RootCAs: roots}
	} else {
		ts.Start()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		ts.Close()
	})
	out.Server = netip.MustParseAddrPort(ts.Listener.Addr().String())
	return out
}

// TestRun holds that a result counts the messages that were sent. It does not judge their speed, which depends on the
// machine.
func TestRun(t *testing.T) {
	for name, test := range map[string]struct {
		secure bool
		change func(*Config)
	}{
		"in clear":    {false, func(*Config) {}},
		"TLS":         {true, func(*Config) {}},
		"two workers": {false, func(c *Config) { c.Workers = 2 }},
		"big":         {false, func(c *Config) { c.Size = MaxSize }},
		"process":     {false, func(c *Config) { c.PID = os.Getpid() }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, test.secure, nil)
			test.change(&cfg)
			g, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			if s := g.Setup(); s.Sessions != 4 || s.Took <= 0 || (s.RSSAfter > 0) != (cfg.PID != 0) {
				t.Errorf("%+v", s)
			}
			for run := range 2 { // the second must not count messages of the first
				r, err := g.Run(t.Context(), Load{Rate: 100, Duration: 200 * time.Millisecond, Warmup: 20 * time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				if r.Received == 0 || r.Received > r.Sent || r.Latency.Count() != r.Received || r.Latency.Percentile(50) == 0 {
					t.Errorf("run %d: %d sent, %d received, %d latencies, p50 %v", run, r.Sent, r.Received, r.Latency.Count(), r.Latency.Percentile(50))
				}
				if r.Bytes < r.Received*(MinSize) {
					t.Errorf("run %d: %d bytes", run, r.Bytes)
				}
			}
		})
	}
}

func TestMax(t *testing.T) {
	g, err := Open(t.Context(), testConfig(t, false, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	trials := 0
	found, err := g.Max(t.Context(), Load{Rate: 1e6, Duration: 20 * time.Millisecond}, func(*Result) { trials++ })
	if err != nil || trials < 3 || found.Result != nil && found.Result.Rate >= 1e6 {
		t.Errorf("%+v after %d trials, %v", found.Result, trials, err)
	}
}

// TestRefused holds that a refusal at any point is returned with the server's own code.
func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		limit  func(*signal.Limits)
		ticket string
		want   RefusedError
	}{
		"sockets":  {func(l *signal.Limits) { l.SessionsPerAddr = 3 }, "guest", RefusedError{Code: "rate-limited"}},
		"ticket":   {nil, "stranger", RefusedError{Code: "unauthorized"}},
		"messages": {func(l *signal.Limits) { l.Messages = signal.Rate{PerSecond: 1, Burst: 2} }, "guest", RefusedError{Code: "rate-limited"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, false, test.limit)
			cfg.Dialect = Turnpike{Run: "test", Ticket: func(session int) (string, error) { return fmt.Sprintf("%s %d", test.ticket, session), nil }}
			g, err := Open(t.Context(), cfg)
			if err == nil {
				_, err = g.Run(t.Context(), Load{Rate: 1000, Duration: 5 * time.Second})
				g.Close()
			}
			refused, ok := errors.AsType[*RefusedError](err)
			if !ok || refused.Status != test.want.Status || refused.Code != test.want.Code || refused.Detail == "" {
				t.Errorf("%v, want %+v", err, test.want)
			}
		})
	}
}

// TestNoServer holds that the error tells a missing or wrong server from one that refuses.
func TestNoServer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := netip.MustParseAddrPort(silent.Addr().String())
	silent.Close()
	cfg := testConfig(t, false, nil)
	secure := cfg
	secure.TLS = &tls.Config{ServerName: "example.com"}
	elsewhere := cfg
	elsewhere.Server = closed
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		cfg  Config
		want string
	}{
		"nobody listens": {t.Context(), elsewhere, "nobody listens there"},
		"no TLS":         {t.Context(), secure, "TLS: "},
		"cancelled":      {gone, cfg, "context canceled"},
		"no pairs":       {t.Context(), Config{Server: closed, Dialect: PeerJS{}, Sessions: 3}, "3 sessions are no pairs"},
		"no server":      {t.Context(), Config{Dialect: PeerJS{}, Sessions: 2}, "there is no server"},
		"no dialect":     {t.Context(), Config{Server: closed, Sessions: 2}, "there is no dialect"},
		"short messages": {t.Context(), Config{Server: closed, Dialect: PeerJS{}, Sessions: 2, Size: 10}, "messages of 10 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := Open(test.ctx, test.cfg)
			if err == nil {
				g.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	fast, slow := Result{Sent: 1000, Received: 1000}, Result{Sent: 1000, Received: 1000}
	fast.Latency.Add(MaxP99)
	slow.Latency.Add(MaxP99 + 2*time.Millisecond)
	late, unsent := fast, fast
	late.Received--
	unsent.Sent, unsent.Received = 900, 900
	for name, test := range map[string]struct {
		r            Result
		good, loader bool
	}{
		"fast": {fast, true, false}, "slow": {slow, false, false}, "late": {late, false, false}, "unsent": {unsent, false, true},
	} {
		test.r.Rate, test.r.Duration = 1000, time.Second
		if v := test.r.verdict(); v.Good != test.good || v.Loader != test.loader {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
