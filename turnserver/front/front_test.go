package front

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/internal/testcert"
)

const (
	patience = 5 * time.Second
	testName = "turn.test"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// testCertificate signs itself, so that clients can trust it and nothing else.
var testCertificate = sync.OnceValue(func() *tls.Certificate { return testcert.Pair(testName) })

func clientTLS(protocols ...string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(testCertificate().Leaf)
	return &tls.Config{RootCAs: pool, ServerName: testName, NextProtos: protocols}
}

// testFront is a Front whose connections are owned by stubs: they answer the first bytes with who they are and who the
// client is.
type testFront struct {
	*Front
	t testing.TB

	owners sync.WaitGroup

	mu      sync.Mutex
	counted [ReasonCount]int
	owned   map[net.Conn]bool
}

func newTestFront(t testing.TB, change func(*Config)) *testFront {
	t.Helper()
	f := &testFront{t: t, owned: make(map[net.Conn]bool)}
	cfg := Config{
		GetCertificate:        func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return testCertificate(), nil },
		ConnectionsPerAddress: 1024, Openings: 1024,
		Count: func(why Reason) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.counted[why]++
		},
	}
	if change != nil {
		change(&cfg)
	}
	f.Front = New(cfg)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error("close:", err)
		}
		f.Wait()
		f.mu.Lock()
		for conn := range f.owned {
			_ = conn.Close()
		}
		f.mu.Unlock()
		f.owners.Wait()
	})
	return f
}

// carries are what a listener of a testFront takes.
type carries struct{ tls, stun, other bool }

func (f *testFront) options(c carries) Options {
	opts := Options{TLS: c.tls}
	if c.stun {
		opts.STUN = func(conn *Conn) { f.own(conn, "STUN") }
	}
	if c.other {
		opts.Other = func(conn net.Conn) { f.own(conn, "other") }
	}
	return opts
}

// own answers the first bytes of a connection, and keeps it until the client has gone.
func (f *testFront) own(conn net.Conn, name string) {
	f.mu.Lock()
	f.owned[conn] = true
	f.mu.Unlock()
	f.owners.Go(func() {
		b := make([]byte, peekSize)
		if _, err := io.ReadFull(conn, b); err == nil {
			_, _ = io.WriteString(conn, name+" for "+conn.RemoteAddr().String()+"\n")
			_, _ = io.Copy(io.Discard, conn)
		}
		f.mu.Lock()
		delete(f.owned, conn)
		f.mu.Unlock()
		_ = conn.Close()
	})
}

// listen serves a listener on loopback.
func (f *testFront) listen(c carries) netip.AddrPort {
	f.t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	l, err := f.Add(ln, f.options(c))
	if err != nil {
		f.t.Fatal(err)
	}
	f.owners.Go(l.Serve)
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func (f *testFront) countOf(why Reason) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counted[why]
}

// waitCounted waits until so many connections were closed for a reason, and checks that there are no more.
func (f *testFront) waitCounted(why Reason, want int) {
	f.t.Helper()
	f.waitFor("connections to be counted", func() bool { return f.countOf(why) >= want })
	if got := f.countOf(why); got != want {
		f.t.Fatalf("%d connections were closed for reason %d, want %d", got, why, want)
	}
}

// wantClosed checks how many connections were closed, for whatever reason.
func (f *testFront) wantClosed(want int) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	got := 0
	for _, n := range f.counted {
		got += n
	}
	if got != want {
		f.t.Errorf("%d connections were counted as closed, want %d", got, want)
	}
}

func (f *testFront) openings() int {
	f.opening.mu.Lock()
	defer f.opening.mu.Unlock()
	return f.opening.waiting.Len()
}

// connections is how many connections of an address are counted.
func (f *testFront) connections(ip netip.Addr) int {
	f.addresses.mu.Lock()
	defer f.addresses.mu.Unlock()
	ranges, _ := RangesOf(ip)
	return f.addresses.count[ranges[0]]
}

// wantNothingLeft waits until nothing is left of connections that ended.
func (f *testFront) wantNothingLeft() {
	f.t.Helper()
	f.waitFor("every connection to be forgotten", func() bool {
		f.addresses.mu.Lock()
		defer f.addresses.mu.Unlock()
		return len(f.addresses.count) == 0 && f.openings() == 0
	})
}

func (f *testFront) waitFor(what string, done func() bool) {
	f.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatal("waited in vain for ", what)
		}
	}
}

// testClient is a client of a testFront.
type testClient struct {
	t testing.TB
	net.Conn
}

func dial(t testing.TB, addr netip.AddrPort) *testClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &testClient{t, conn}
}

func (c *testClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("write %d bytes: %v", len(b), err)
	}
}

// answer reads the line that a stub writes.
func (c *testClient) answer() string {
	c.t.Helper()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		c.t.Fatalf("answered %q, %v", line, err)
	}
	return line[:len(line)-1]
}

// wantClosed checks that the connection is ended without a word.
func (c *testClient) wantClosed() {
	c.t.Helper()
	n, err := c.Read(make([]byte, 100))
	if n > 0 || err == nil || isTimeout(err) {
		c.t.Fatalf("read %d bytes, %v, want the end", n, err)
	}
}

// binding is a STUN Binding request.
func binding(t testing.TB) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// pipeEnd is one end of a net.Pipe with addresses.
type pipeEnd struct {
	net.Conn
	local, remote netip.AddrPort
}

func (p pipeEnd) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(p.local) }
func (p pipeEnd) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(p.remote) }

// TestSlowBeginnings: OpenTime is the time for all that comes before the content, however slowly it comes.
func TestSlowBeginnings(t *testing.T) {
	hello, header := clientHello(t), []byte("PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n")
	for name, row := range map[string]struct {
		carries carries
		proxy   bool
		first   []byte // said at once
		script  []byte // then a byte each second
		why     Reason
	}{
		"TLS, silent":              {carries{tls: true, stun: true}, false, nil, nil, TLSTimeout},
		"TLS, slowly":              {carries{tls: true, stun: true}, false, nil, hello, TLSTimeout},
		"one port, silent":         {carries{stun: true, other: true}, false, nil, nil, Silent},
		"one port, slowly":         {carries{stun: true, other: true}, false, nil, binding(t)[:7], Silent},
		"one port TLS, silent":     {carries{tls: true, stun: true, other: true}, false, nil, nil, TLSTimeout},
		"PROXY, silent":            {carries{stun: true}, true, nil, nil, Silent},
		"PROXY, slowly":            {carries{stun: true}, true, nil, header, Silent},
		"PROXY, TLS slowly behind": {carries{tls: true, stun: true}, true, header, hello, TLSTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newTestFront(t, func(cfg *Config) {
					cfg.ProxyProtocol = row.proxy
					cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
				})
				near, far := net.Pipe()
				client, server := netip.MustParseAddrPort("192.0.2.1:40000"), netip.MustParseAddrPort("192.0.2.2:443")
				l := &Listener{front: f.Front, options: f.options(row.carries)}
				l.receive(pipeEnd{far, server, client})
				begun := time.Now()
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := near.Write(row.first)
					for i := 0; i < len(row.script) && err == nil; i++ {
						_, err = near.Write(row.script[i : i+1])
						time.Sleep(time.Second)
					}
				})
				if _, err := io.Copy(io.Discard, near); err != nil {
					t.Error(err)
				}
				if got := time.Since(begun); got != OpenTime {
					t.Errorf("closed after %v, want %v", got, OpenTime)
				}
				wg.Wait()
				synctest.Wait()
				f.waitCounted(row.why, 1)
				f.wantNothingLeft()
			})
		})
	}
}

// clientHello is what crypto/tls says first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		_ = tls.Client(near, clientTLS()).Handshake()
		_ = near.Close()
	}()
	b := make([]byte, 4096)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// TestHalfOpenFlood: connections that never say what they are cost a bounded number of places, and a client gets
// through.
func TestHalfOpenFlood(t *testing.T) {
	const places, flood = 8, 100
	f := newTestFront(t, func(cfg *Config) { cfg.Openings = places })
	addr := f.listen(carries{tls: true, stun: true, other: true})
	var silent []*testClient
	for range flood {
		silent = append(silent, dial(t, addr))
	}
	f.waitCounted(CrowdedOut, flood-places)
	if got := f.openings(); got != places {
		t.Errorf("%d wait", got)
	}
	for _, c := range silent[:flood-places] {
		c.wantClosed()
	}
	c := dial(t, addr)
	c.Conn = tls.Client(c.Conn, clientTLS())
	c.write(binding(t))
	if got, want := c.answer(), "STUN for "+c.LocalAddr().String(); got != want {
		t.Errorf("answered %q, want %q", got, want)
	}
	for _, c := range silent {
		_ = c.Close()
	}
	_ = c.Close()
	f.wantNothingLeft()
}

// TestCloseSocket: a connection whose socket is in other hands keeps its place until it is closed itself.
func TestCloseSocket(t *testing.T) {
	f := newTestFront(t, nil)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handed := make(chan net.Conn)
	l, err := f.Add(ln, Options{Other: func(c net.Conn) { handed <- c }})
	if err != nil {
		t.Fatal(err)
	}
	f.owners.Go(l.Serve)
	client := dial(t, ln.Addr().(*net.TCPAddr).AddrPort())
	client.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	conn := <-handed
	if err := conn.(interface{ CloseSocket() error }).CloseSocket(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, client); err != nil && isTimeout(err) {
		t.Error("the socket is open")
	}
	if n := f.connections(loopback); n != 1 {
		t.Errorf("%d places with the socket closed, want 1", n)
	}
	_ = conn.Close()
	if n := f.connections(loopback); n != 0 {
		t.Errorf("%d places in the end", n)
	}
}

// TestCloseWhileOpening: a closed Front closes connections that have not said yet what they want, and takes no
// listener.
func TestCloseWhileOpening(t *testing.T) {
	f := newTestFront(t, nil)
	c := dial(t, f.listen(carries{tls: true, stun: true, other: true}))
	f.waitFor("the connection to be accepted", func() bool { return f.openings() == 1 })
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.Wait()
	c.wantClosed()
	f.wantClosed(0)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add(ln, f.options(carries{stun: true})); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed Front takes a listener: %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}
