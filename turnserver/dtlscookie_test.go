package turnserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"example.org/turnpike/turnserver/wire"
	"example.org/turnpike/turnserver/wire/wiretest"
)

// dtlsListenerOf is the server's DTLS listener.
func dtlsListenerOf(t testing.TB, s *Server) *dtlsListener {
	t.Helper()
	for _, sock := range s.sockets {
		if sock.dtls != nil {
			return sock.dtls
		}
	}
	t.Fatal("no DTLS listener")
	return nil
}

// rawDTLS is a client that speaks DTLS by hand.
func rawDTLS(t testing.TB, s *Server) *testClient {
	t.Helper()
	return dialAddr(t, "udp", listenerAddr(t, s, "dtls"))
}

// TestCookie: a hello is answered with a cookie, in fewer bytes, and the server keeps nothing. Only a hello that brings
// the cookie back in time, from the same address, begins an association.
func TestCookie(t *testing.T) {
	s, clock := startClocked(t, nil)
	hello := wiretest.ClientHello(t, testName)
	c, other := rawDTLS(t, s), rawDTLS(t, s)
	ask := func(c *testClient, sequence uint64) []byte {
		first := bytes.Clone(hello)
		binary.BigEndian.PutUint64(first[3:], sequence)
		c.write(first)
		answer := c.read()
		if len(answer) >= len(hello) || !wire.IsHelloVerify(answer) || binary.BigEndian.Uint64(answer[3:]) != sequence ||
			binary.BigEndian.Uint16(answer[17:]) != 0 || int(answer[wire.DTLSHelloHeaders+2]) != wire.DTLSCookieSize || len(answer) != wire.DTLSHelloHeaders+3+wire.DTLSCookieSize {
			t.Fatalf("answered % x", answer)
		}
		return bytes.Clone(answer[wire.DTLSHelloHeaders+3:])
	}
	cookie := ask(c, 0)
	if again := ask(c, 7); !bytes.Equal(again, cookie) {
		t.Error("asked again at once, the cookie is another")
	}
	if theirs := ask(other, 0); bytes.Equal(theirs, cookie) {
		t.Error("the cookie of another address is the same")
	}
	l := dtlsListenerOf(t, s)
	bad := uint64(0)
	refused := func(name string, c *testClient, hello []byte) {
		t.Helper()
		c.write(hello)
		bad++
		waitCounted(t, s, "packets_dropped", "bad_dtls_cookie", bad)
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.associations) != 0 {
			t.Errorf("%s began an association", name)
		}
	}
	flipped, changed := bytes.Clone(cookie), bytes.Clone(hello)
	flipped[wire.DTLSCookieSize-1] ^= 1
	changed[wire.DTLSHelloHeaders+2] ^= 1 // the random
	later := bytes.Clone(cookie)
	later[0]++
	refused("a wrong cookie", c, wiretest.WithCookie(hello, flipped, 1, 1))
	refused("a cookie of the next slot", c, wiretest.WithCookie(hello, later, 1, 1))
	refused("a short cookie", c, wiretest.WithCookie(hello, cookie[:wire.DTLSCookieSize-1], 1, 1))
	refused("no cookie", c, wiretest.WithCookie(hello, nil, 1, 1))
	refused("another hello", c, wiretest.WithCookie(changed, cookie, 1, 1))
	refused("somebody else", other, wiretest.WithCookie(hello, cookie, 1, 1))
	refused("a third hello", c, wiretest.WithCookie(hello, cookie, 2, 1))
	clock.advance(2 * wire.DTLSCookieLifetime)
	refused("an old cookie", c, wiretest.WithCookie(hello, cookie, 1, 1))

	fresh := ask(c, 0)
	clock.advance(wire.DTLSCookieLifetime)
	c.write(wiretest.WithCookie(hello, fresh, 1, 5))
	flight := c.read()
	if flight[0] != wire.DTLSTypeHandshake || flight[wire.DTLSRecordHeader] != 2 || binary.BigEndian.Uint64(flight[3:]) != 5 || binary.BigEndian.Uint16(flight[17:]) != 1 {
		t.Errorf("no ServerHello with the hello's record sequence number, and message 1: % x", flight[:wire.DTLSHelloHeaders])
	}
	if got := counterOf(t, s, "dtls_hello_verify_requests", ""); got != 4 {
		t.Errorf("%d were asked for a cookie", got)
	}
}

// TestForgedHellos: a flood of hellos from addresses that nobody has costs no heap, no goroutine and no association.
func TestForgedHellos(t *testing.T) {
	s := startServer(t, nil)
	l := dtlsListenerOf(t, s)
	sink := listenPeer(t)
	sock := &udpSocket{srv: s, conn: listenPeer(t), shard: newShard(s)} // so that the cookies go to nobody
	mine := &dtlsListener{srv: s, sock: sock, cookies: wire.NewDTLSCookies(), associations: l.associations}
	hello := wiretest.ClientHello(t, testName)
	forge := func(i int) client {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 4000)
		return client{tuple: wire.FiveTuple{Client: wire.EndpointOf(from), Protocol: wire.UDP}, remote: wire.AddrPortOf(sink.LocalAddr())}
	}
	started := startedBy(t, func() {
		i := 0
		if allocs := testing.AllocsPerRun(2000, func() {
			c := forge(i)
			i++
			mine.receive(&c, hello)
		}); allocs != 0 {
			t.Errorf("%v allocations a hello", allocs)
		}
	})
	s.mu.Lock()
	kept := len(s.associations)
	s.mu.Unlock()
	if kept != 0 || started != 0 {
		t.Errorf("%d associations, and %d stacks of goroutines", kept, started)
	}
	if got := counterOf(t, s, "dtls_hello_verify_requests", ""); got < 2000 {
		t.Errorf("only %d were answered", got)
	}
}

// startedBy runs do, and counts the stacks of the goroutines that live because of it. These inherit a label, which
// tells them from goroutines that other tests leave behind.
func startedBy(t testing.TB, do func()) int {
	t.Helper()
	pprof.Do(context.Background(), pprof.Labels("startedBy", t.Name()), func(context.Context) { do() })
	return stillThere(t)
}

// stillThere counts again.
func stillThere(t testing.TB) int {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	return strings.Count(profile.String(), fmt.Sprintf("%q:%q", "startedBy", t.Name()))
}

// TestStartedBy: startedBy counts goroutines, and those that they start, and no others.
func TestStartedBy(t *testing.T) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() { <-stop })
	if n := startedBy(t, func() {}); n != 0 {
		t.Errorf("%d were there before", n)
	}
	running := make(chan struct{})
	n := startedBy(t, func() {
		wg.Go(func() { wg.Go(func() { close(running); <-stop }) })
		<-running
	})
	for begin := time.Now(); n > 1 && time.Since(begin) < patience; n = stillThere(t) { // the outer one has not ended yet
		runtime.Gosched()
	}
	if n != 1 {
		t.Errorf("%d stacks of the one", n)
	}
}

// TestOldDTLS: a client that speaks at most DTLS 1.0 gets an alert in its own version, and costs nothing.
func TestOldDTLS(t *testing.T) {
	s := startServer(t, nil)
	c := rawDTLS(t, s)
	hello := wiretest.ClientHello(t, testName)
	hello[wire.DTLSHelloHeaders], hello[wire.DTLSHelloHeaders+1] = 0xFE, 0xFF
	c.write(hello)
	if got, want := c.read(), []byte{21, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 70}; !bytes.Equal(got, want) {
		t.Errorf("answered % x, want % x", got, want)
	}
	waitCounted(t, s, "dtls_handshakes_failed", "failed", 1)
	if got := counterOf(t, s, "dtls_hello_verify_requests", ""); got != 0 {
		t.Error("it was asked for a cookie")
	}
}
