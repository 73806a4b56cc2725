package turnserver

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/coverage"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

const testRealm = "turnpike.test"

var (
	loopback  = netip.MustParseAddr("127.0.0.1")
	loopback6 = netip.IPv6Loopback()
	// peerIP is the address of peers that are not relays of the server under test. It is not in the list of the host's
	// addresses.
	peerIP = netip.MustParseAddr("127.0.0.2")
)

// portable and offloaded say which data path the servers of the tests use, beside loops.
var portable, offloaded bool

// TestMain runs everything on each data path that there is. It fails if a goroutine outlives its server.
func TestMain(m *testing.M) {
	offloaded = enterOffloaded()
	runtime.GOMAXPROCS(2 * testLoops()) // so that loops may keep a P
	before := runtime.NumGoroutine()
	code := m.Run()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" // fuzzing chooses its own path, and keeps goroutines
	listing := flag.Lookup("test.list").Value.String() != ""
	if code == 0 && loops && !offloaded && !fuzzing && !listing {
		portable = true
		fmt.Println("once more on the portable path")
		code = m.Run()
		writeCoverage()
		if code == 0 {
			code = againOffloaded()
		}
	}
	if code == 0 && !fuzzing && !goroutinesEnd(before) {
		fmt.Fprintln(os.Stderr, "goroutines were left behind:")
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		code = 1
	}
	os.Exit(code)
}

// writeCoverage writes the coverage of the second path, as m.Run writes only the first. With -coverprofile the last
// process would overwrite the files of the others; -covermode=atomic and -args -test.gocoverdir keep a file of each.
func writeCoverage() {
	if dir := flag.Lookup("test.gocoverdir").Value.String(); dir != "" {
		if err := coverage.WriteCountersDir(dir); err != nil {
			fmt.Fprintln(os.Stderr, "write what was covered:", err)
		}
	}
}

func testLoops() int { return max(2, runtime.NumCPU()) }

// goroutinesEnd waits for all but n goroutines to end: runtime and timers take a moment after the last test.
func goroutinesEnd(n int) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); runtime.NumGoroutine() > n; {
		select {
		case <-tick.C:
		case <-deadline:
			return false
		}
	}
	return true
}

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
		portable:    portable,
		Loops:       testLoops(),
		Relay:       []RelayAddress{{Local: loopback, External: loopback}},
		Credentials: testCredentials(),
		NonceKey:    auth.NewSecret([]byte("nonce key of the tests, 32 bytes")),
		Limits:      Limits{UnauthenticatedAnswersPerSecond: math.MaxInt, FailedCredentialsPerMinute: math.MaxInt}, // all clients have one address

		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return testCertificate(), nil },
	}
	for _, network := range []string{"udp", "tcp", "tls", "dtls"} {
		cfg.Listen = append(cfg.Listen, Listener{Network: network, Addr: netip.AddrPortFrom(loopback, 0)})
	}
	if offloaded {
		cfg.Offload = OffloadRequire
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.spare.granted.Store(true) // TestMain saw to it
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return s
}

// testClock is the real time, moved into the future.
type testClock struct {
	srv   *Server // nil: it has no flows
	ahead atomic.Int64
}

func (c *testClock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// advance moves the time ahead. The kernel has a clock of its own, so advance tells it all expiries anew.
func (c *testClock) advance(d time.Duration) {
	c.ahead.Add(int64(d))
	if c.srv == nil || c.srv.offloader == nil {
		return
	}
	c.srv.mu.Lock()
	shards := c.srv.shards
	c.srv.mu.Unlock()
	c.srv.flowQueue.later(func() {
		for _, sh := range shards {
			for _, f := range sh.flows.fromPeer.All() {
				if f.below = 0; !f.gone.Load() {
					c.srv.offloader.set(f)
				}
			}
		}
	})
	c.srv.flowQueue.told()
}

// startClocked runs a server whose time the test moves.
func startClocked(t testing.TB, change func(*Config)) (*Server, *testClock) {
	t.Helper()
	s := newServer(t, change)
	clock := &testClock{srv: s}
	s.wallTime = clock.now
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s, clock
}

// allowLoopback lets relays send to peerIP.
func allowLoopback(cfg *Config) {
	cfg.AllowPeers = append(cfg.AllowPeers, netip.MustParsePrefix("127.0.0.0/8"))
}

// counterOf reads one counter, of all transports together.
func counterOf(t testing.TB, s *Server, name, reason string) uint64 {
	t.Helper()
	sum, found := uint64(0), false
	for _, c := range s.Counters() {
		if c.Name == name && c.Reason == reason {
			sum, found = sum+c.Value, true
		}
	}
	if !found {
		t.Fatalf("no counter %s of %s", name, reason)
	}
	return sum
}

// waitCounted waits for a counter to reach a value.
func waitCounted(t testing.TB, s *Server, name, reason string, want uint64) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s of %s to be %d", name, reason, want), func() bool { return counterOf(t, s, name, reason) >= want })
	if got := counterOf(t, s, name, reason); got != want {
		t.Fatalf("%s of %s is %d, want %d", name, reason, got, want)
	}
}

// wantClosedFor checks how many reasons were counted for which connections were closed: one each.
func wantClosedFor(t *testing.T, s *Server, want uint64) {
	t.Helper()
	got := uint64(0)
	for _, c := range s.Counters() {
		if c.Name == "streams_closed" || c.Name == "tls_handshakes_failed" {
			got += c.Value
		}
	}
	if got != want {
		t.Errorf("%d reasons were counted for %d connections", got, want)
	}
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

// listenPeer opens a plain UDP socket for a client.
func listenPeer(t testing.TB) *net.UDPConn {
	t.Helper()
	return listenAt(t, loopback)
}

func listenAt(t testing.TB, ip netip.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if familyMissing(err) {
		t.Skipf("this host has no address %v: %v", ip, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// testPeer is a peer on a real socket.
type testPeer struct {
	t    testing.TB
	conn *net.UDPConn
	addr netip.AddrPort
}

// newPeer opens a peer at peerIP.
func newPeer(t testing.TB) *testPeer {
	t.Helper()
	return newPeerAt(t, peerIP)
}

func newPeerAt(t testing.TB, ip netip.Addr) *testPeer {
	t.Helper()
	conn := listenAt(t, ip)
	_ = conn.SetReadBuffer(1 << 20)
	return &testPeer{t, conn, wire.AddrPortOf(conn.LocalAddr())}
}

func (p *testPeer) send(to netip.AddrPort, data []byte) {
	p.t.Helper()
	if _, err := p.conn.WriteToUDPAddrPort(data, to); err != nil {
		p.t.Fatalf("peer: send %d bytes: %v", len(data), err)
	}
}

// want checks the next datagram that reaches the peer.
func (p *testPeer) want(from netip.AddrPort, data []byte) {
	p.t.Helper()
	if got := p.receive(from); !bytes.Equal(got, data) {
		p.t.Fatalf("the peer got %d bytes, want %d (the same bytes: %v)", len(got), len(data), bytes.Equal(got, data))
	}
}

// receive returns the next datagram that reaches the peer, which must come from from.
func (p *testPeer) receive(from netip.AddrPort) []byte {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	buf := make([]byte, maxDatagram)
	n, got, err := p.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		p.t.Fatal("peer: ", err)
	}
	if wire.Unmapped(got) != from {
		p.t.Fatalf("the peer got %d bytes from %v, want some from %v", n, got, from)
	}
	return buf[:n]
}

// wantAll checks what comes next, in the order of want unless some of it goes through the kernel and some through the
// process.
func wantAll(t testing.TB, next func() []byte, want [][]byte, mixed bool) {
	t.Helper()
	var got [][]byte
	for range want {
		got = append(got, next())
	}
	if offloaded && mixed {
		slices.SortFunc(got, bytes.Compare)
		slices.SortFunc(want, bytes.Compare)
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("datagram %d has %d bytes, want %d (the same bytes: %v)", i, len(got[i]), len(want[i]), bytes.Equal(got[i], want[i]))
		}
	}
}

// waitFor polls until another goroutine has brought done about.
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
