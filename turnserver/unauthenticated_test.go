package turnserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// frozen is a time that only the test moves.
type frozen struct{ at atomic.Int64 }

func (f *frozen) now() time.Time          { return time.Unix(0, f.at.Load()) }
func (f *frozen) advance(d time.Duration) { f.at.Add(int64(d)) }

// startFrozen runs a server whose time stands still.
func startFrozen(t testing.TB, change func(*Config)) (*Server, *frozen) {
	t.Helper()
	s, clock := newServer(t, change), new(frozen)
	clock.at.Store(time.Now().UnixNano())
	s.wallTime = clock.now
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s, clock
}

// dialFrom connects a client that has an address of its own.
func dialFrom(t testing.TB, s *Server, network, ip string) *testClient {
	t.Helper()
	var dialer net.Dialer
	if dialer.LocalAddr = net.Addr(&net.UDPAddr{IP: net.ParseIP(ip)}); network == "tcp" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(ip)}
	}
	conn, err := dialer.Dial(network, listenerAddr(t, s, network).String())
	if err != nil {
		t.Skip("this host lacks a loopback address: ", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return clientOn(t, conn)
}

// TestForgedSources: sources that use up their answers take along hardly anybody.
func TestForgedSources(t *testing.T) {
	s := newServer(t, func(cfg *Config) { cfg.Limits.UnauthenticatedAnswersPerSecond = 100 })
	random := rand.New(rand.NewPCG(1, 2))
	anybody := func() (e wire.Endpoint) {
		binary.BigEndian.PutUint64(e.IP[:], random.Uint64())
		return e
	}
	for range 2000 {
		source := sourceOf(anybody())
		for range 400 {
			s.answers.Take(source, 0)
		}
	}
	refused, among := 0, 10_000
	for range among {
		if !s.answers.Take(sourceOf(anybody()), 0) {
			refused++
		}
	}
	if refused > among/100 {
		t.Errorf("of %d others %d are refused", among, refused)
	}
}

// TestAnswersToAnybody: over UDP, a source without a credential gets so many answers that are longer than its
// questions. Then it gets only shorter ones. On a stream a client has shown that the address is its own.
func TestAnswersToAnybody(t *testing.T) {
	const perSecond, atOnce, asked = 10, 40, 100
	request := func(method stun.Method, attrs ...stun.Setter) func(t testing.TB) *stun.Message {
		return func(t testing.TB) *stun.Message {
			return buildMessage(t, stun.NewType(method, stun.ClassRequest), attrs...)
		}
	}
	long := request(stun.MethodBinding, stun.NewSoftware(strings.Repeat("x", 40)))
	longRefresh := request(stun.MethodRefresh, attribute{stun.AttrMessageIntegrity, nil}, stun.NewSoftware(strings.Repeat("x", 40)))
	for name, question := range map[string]func(testing.TB) *stun.Message{
		"Binding":                         request(stun.MethodBinding),
		"Binding with a fingerprint":      request(stun.MethodBinding, stun.Fingerprint),
		"Binding with unknown attributes": request(stun.MethodBinding, attribute{0x7ff0, nil}, attribute{0x7ff1, nil}),
		"Allocate":                        request(stun.MethodAllocate, transport(transportUDP)),
		"bad Refresh":                     request(stun.MethodRefresh, attribute{stun.AttrMessageIntegrity, nil}),
	} {
		t.Run(name, func(t *testing.T) {
			s, clock := startFrozen(t, func(cfg *Config) { cfg.Limits.UnauthenticatedAnswersPerSecond = perSecond })
			answered := func(c *testClient) int {
				t.Helper()
				c.queued = nil
				for range asked {
					c.write(question(t).Raw)
				}
				if name == "bad Refresh" { // which a Binding request may overtake
					c.wantCode(c.roundTrip(longRefresh(t)), 400)
				} else {
					c.wantCode(c.roundTrip(long(t)), 0)
				}
				return len(c.queued)
			}
			c := dialFrom(t, s, "udp", "127.0.0.5")
			if got := answered(c); got != atOnce {
				t.Fatalf("of %d questions %d were answered, want %d", asked, got, atOnce)
			}
			waitCounted(t, s, "packets_dropped", "unauthenticated_answers", asked-atOnce)
			sent := counterOf(t, s, "error_responses", "401") + counterOf(t, s, "error_responses", "420") + counterOf(t, s, "error_responses", "400")
			if name == "bad Refresh" {
				sent--
			}
			if sent != 0 && sent != atOnce {
				t.Errorf("%d error responses are counted, want those that were sent", sent)
			}
			for range asked {
				if m := long(t); len(c.wantCode(c.roundTrip(m), 0).Raw) > len(m.Raw) {
					t.Fatal("it gets more bytes than it sends")
				}
			}
			clock.advance(time.Second)
			if got := answered(c); got != perSecond {
				t.Errorf("a second later %d were answered, want %d", got, perSecond)
			}
			if got := answered(dialFrom(t, s, "udp", "127.0.0.6")); got != atOnce {
				t.Errorf("of another source %d were answered, want %d", got, atOnce)
			}
			if got := answered(dialFrom(t, s, "tcp", "127.0.0.5")); got != asked {
				t.Errorf("over TCP %d of %d were answered", got, asked)
			}
		})
	}
}

// TestLimitedSourceRelays: a source that gets no more answers keeps its relays, and its authenticated requests get
// answers.
func TestLimitedSourceRelays(t *testing.T) {
	s, _ := startFrozen(t, func(cfg *Config) {
		allowLoopback(cfg)
		cfg.Limits.UnauthenticatedAnswersPerSecond = 1
	})
	c, peer := dialFrom(t, s, "udp", "127.0.0.5").as(mintREST(t, "alice", time.Hour)), newPeer(t)
	relayed := c.allocate()
	c.bind(wire.MinChannel, peer.addr)
	for range 100 {
		c.write(buildMessage(t, stun.BindingRequest).Raw)
	}
	for i := range 100 {
		data := fmt.Appendf(nil, "packet %d", i)
		c.sendChannel(wire.MinChannel, data)
		peer.want(relayed, data)
		c.indicate(peer.addr, data)
		peer.want(relayed, data)
		c.accept(stun.MethodRefresh)
	}
	c.nonce = strings.ToLower(c.nonce)
	c.accept(stun.MethodRefresh) // after a 438
	waitCounted(t, s, "packets_dropped", "unauthenticated_answers", 100-3)
}

// TestFailedCredentials: the server ignores log-ins from a source that has failed too often, for a while. It hears
// other sources, and the owners of live allocations at that source.
func TestFailedCredentials(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		const perMinute = 6
		s, clock := startFrozen(t, func(cfg *Config) { cfg.Limits.FailedCredentialsPerMinute = perMinute })
		good := mintREST(t, "alice", time.Hour)
		wrong := []auth.Credential{
			{Username: good.Username, Password: "guess"},
			{Username: "nobody", Password: good.Password},
		}
		owner := dialFrom(t, s, network, "127.0.0.5").as(good)
		owner.allocate()
		newcomer := dialFrom(t, s, network, "127.0.0.5").as(good).challenged()
		guesser := dialFrom(t, s, network, "127.0.0.5")
		guess := func(i int) *stun.Message {
			t.Helper()
			guesser.as(wrong[i%len(wrong)])
			guesser.learn(guesser.wantCode(guesser.roundTrip(guesser.build(stun.MethodAllocate)), 401))
			return guesser.build(stun.MethodAllocate, transport(transportUDP))
		}
		silent := func(c *testClient, m *stun.Message) {
			t.Helper()
			c.write(m.Raw)
			c.wantSilence()
		}

		// The server does not look at a request with another client's nonce: its source may be forged.
		for range 2 * perMinute {
			guess(0)
			guesser.nonce = newcomer.nonce
			guesser.wantCode(guesser.roundTrip(guesser.build(stun.MethodAllocate, transport(transportUDP))), 438)
		}
		for i := range perMinute {
			guesser.wantCode(guesser.roundTrip(guess(i)), 401)
		}
		limited := uint64(0)
		for i := range 5 {
			silent(guesser, guess(i))
			limited++
		}
		allocate := newcomer.build(stun.MethodAllocate, transport(transportUDP))
		silent(newcomer, allocate)
		limited++
		owner.accept(stun.MethodRefresh)
		dialFrom(t, s, network, "127.0.0.6").as(good).allocate()
		waitCounted(t, s, "packets_dropped", "failed_credentials", limited)
		waitCounted(t, s, "authentications", "limited", limited)
		waitCounted(t, s, "authentications", "refused", perMinute)

		clock.advance(time.Minute / perMinute)
		guesser.wantCode(guesser.roundTrip(guess(0)), 401) // one more
		silent(guesser, guess(0))
		clock.advance(time.Minute / perMinute)
		newcomer.wantCode(newcomer.roundTrip(allocate), 0) // success takes no token
		guesser.wantCode(guesser.roundTrip(guess(0)), 401)
	})
}

// TestExpiredCredentialIsNoGuess: an office with cached ICE servers asks with what was good once, as often as it likes, and
// others there get their relays. So does one whose secret has been replaced since: no key would make its username good.
func TestExpiredCredentialIsNoGuess(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		const perMinute, times = 6, 30
		s, _ := startFrozen(t, func(cfg *Config) { cfg.Limits.FailedCredentialsPerMinute = perMinute })
		expired := mintREST(t, "alice", -time.Minute)
		for i, cred := range []auth.Credential{expired, {Username: expired.Username, Password: "of a former secret"}} {
			office := dialFrom(t, s, network, "127.0.0.5").as(cred).challenged()
			allocate := office.build(stun.MethodAllocate, transport(transportUDP))
			for range times {
				office.wantCode(office.roundTrip(allocate), 401)
			}
			waitCounted(t, s, "authentications", "expired", uint64(times*(i+1)))
		}
		dialFrom(t, s, network, "127.0.0.5").as(mintREST(t, "bob", time.Hour)).allocate()
	})
}

// TestForgottenUserhashIsNoGuess: the hash of a username that has expired stands for nobody, and there is no password to guess.
func TestForgottenUserhashIsNoGuess(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock, credentials := startRemembering(t)
		perMinute := s.cfg.Limits.FailedCredentialsPerMinute
		cred := credentials.MintSession("S1", "alice", time.Minute)
		office := dialModern(t, s, network, cred, wire.AlgorithmSHA256)
		office.name = userhashOf(cred.Username)
		clock.advance(2 * time.Minute)
		credentials.MintSession("S2", "alice", time.Minute) // which forgets those that have expired
		for range 2 * perMinute {
			office.ask(401, stun.MethodAllocate)
		}
		good := credentials.MintSession("S3", "bob", time.Minute)
		dialModern(t, s, network, good, wire.AlgorithmSHA256).ask(0, stun.MethodAllocate)
	})
}

// syncBuffer is a buffer that any number of goroutines write to.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestWaitingIsLogged: the log names an address that begins to wait, and not each time.
func TestWaitingIsLogged(t *testing.T) {
	var logged syncBuffer
	s, _ := startFrozen(t, func(cfg *Config) {
		cfg.Limits.FailedCredentialsPerMinute = 2
		cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
	})
	good := mintREST(t, "alice", time.Hour)
	for i := range 20 {
		c := dialFrom(t, s, "udp", fmt.Sprintf("127.0.0.%d", 10+i)).as(auth.Credential{Username: good.Username, Password: "guess"}).challenged()
		guess := c.build(stun.MethodAllocate, transport(transportUDP))
		for range 2 {
			c.wantCode(c.roundTrip(guess), 401)
		}
	}
	text := logged.String()
	if n := strings.Count(text, "too many wrong credentials"); n != int(loggedAtOnce/loggedEvery) || !strings.Contains(text, "client=127.0.0.10") {
		t.Errorf("%d lines: %s", n, text)
	}
}
