package main

import (
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"example.org/turnpike/client"
	"example.org/turnpike/internal/machine"
)

// TestTrustIsBounded: no room mate takes all places for exchanges, and what is remembered of all has a bound.
func TestTrustIsBounded(t *testing.T) {
	tr := newTrust(&program{}, access{})
	one := new(client.Peer)
	take := func(peer *client.Peer) (taken int) {
		for tr.takePlace(peer) {
			taken++
		}
		return taken
	}
	if n := take(one); n != maxExchangesOfOne {
		t.Errorf("one peer has %d places", n)
	}
	all := maxExchangesOfOne
	for range 2 * maxExchanges {
		all += take(new(client.Peer))
	}
	if all != maxExchanges {
		t.Errorf("all have %d places", all)
	}
	tr.freePlace(one)
	if !tr.takePlace(one) || tr.takePlace(one) {
		t.Error("a place that is free is not taken once")
	}
	cert := func(n int) (c [32]byte) {
		binary.BigEndian.PutUint64(c[:], uint64(n))
		return c
	}
	for i := range 3 * maxVerdicts {
		tr.note(cert(i), verdict{name: "nas"})
		if v, found := tr.verdictOf(cert(i)); !found || v.name != "nas" {
			t.Fatalf("verdict %d is forgotten at once", i)
		}
	}
	if len(tr.verdicts) != maxVerdicts {
		t.Errorf("%d verdicts are remembered", len(tr.verdicts))
	}
}

// startWithMachine starts a server, which nas has joined with its files in dir.
func startWithMachine(t *testing.T) (s *testServer, dir string, me *machine.Machine) {
	t.Helper()
	state := t.TempDir()
	s = startServer("--state", state)
	t.Cleanup(s.stop)
	dir = joinMachine(t, s, state, "nas").dir
	me, err := machine.Load(dir, s.url())
	if err != nil {
		t.Fatal(err)
	}
	return s, dir, me
}

// TestVouchIsSeldom: a room mate that proves itself again and again makes this side ask the server once.
func TestVouchIsSeldom(t *testing.T) {
	s, _, me := startWithMachine(t)
	target, err := url.Parse(s.url())
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	forward := httputil.NewSingleHostReverseProxy(target)
	counting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		forward.ServeHTTP(w, r)
	}))
	defer counting.Close()
	me.Server = counting.URL
	tr := newTrust(&program{}, access{machine: me})
	for range 5 {
		if key, err := tr.vouch(t.Context(), "nas"); err != nil || !key.Equal(me.Key()) {
			t.Errorf("%v, %v", key, err)
		}
		if _, err := tr.vouch(t.Context(), "pi"); !errors.Is(err, machine.ErrUnknown) {
			t.Errorf("no machine: %v", err)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// TestRevokedIsNoMachine: a machine that comes back as a guest after it was revoked is the machine no more, although its certificate and its
// key are the old ones.
func TestRevokedIsNoMachine(t *testing.T) {
	tr := newTrust(&program{}, access{})
	cert := [32]byte{1}
	tr.note(cert, verdict{name: "nas"})
	for _, c := range []struct {
		peer saidPeer
		cert [32]byte
		is   bool
	}{
		{saidPeer{"1", "machine:nas", "nas"}, cert, true},
		{saidPeer{"1", "machine:nas", "nas"}, [32]byte{2}, false},
		{saidPeer{"1", "machine:pi", "pi"}, cert, false},
		{saidPeer{"1", "guest:7", "Guest 7"}, cert, false},
		{saidPeer{"1", "guest:7", "nas"}, cert, false},
	} {
		if name, is := tr.machineBehind(c.peer, c.cert); is != c.is || is != (name == "nas") {
			t.Errorf("%v with the certificate %d: %q, %v", c.peer, c.cert[0], name, is)
		}
	}
}

// TestRecognizedIsRemembered: room mates with many certificates do not make this side forget a machine that it has recognized.
func TestRecognizedIsRemembered(t *testing.T) {
	tr := newTrust(&program{}, access{})
	nas, cert := new(client.Peer), [32]byte{1}
	tr.recognized[nas] = recognized{"nas", cert}
	for i := range 2 * maxVerdicts {
		tr.note([32]byte{2, byte(i), byte(i >> 8)}, verdict{})
	}
	if got, ok := tr.before(nas, "nas"); !ok || got != cert {
		t.Fatalf("%v, %v", got, ok)
	}
	if name, ok := tr.machineBehind(saidPeer{"1", "machine:nas", "nas"}, cert); !ok {
		t.Errorf("its streams are those of %q", name)
	}
}

// TestUndecidedMayProveAgain: a machine that was met while the server was away can prove itself again on the same connection. One that the
// server does not vouch for cannot.
func TestUndecidedMayProveAgain(t *testing.T) {
	s, dir, me := startWithMachine(t)
	p := &program{configDir: func() (string, error) { return dir, nil }}
	tr := newTrust(p, access{base: s.url(), machine: me})
	cert, peer := [32]byte{1}, saidPeer{"1", "machine:nas", "nas"}
	judge := func(peer saidPeer) (why string, here error) {
		_, err := tr.judge(t.Context(), identify(peer, ""), machine.Proven{Name: peer.name, Key: me.Key()})
		found := verdict{err: err}
		if err == nil {
			found.name = peer.name
		}
		tr.note(cert, found)
		return tr.against(peer, cert)
	}
	if why, here := judge(saidPeer{"1", "machine:pi", "pi"}); strings.HasPrefix(why, proveFirst) || why == "" || here == nil {
		t.Errorf("no machine: %q, %v", why, here)
	}
	away := httptest.NewServer(nil)
	away.Close()
	me.Server = away.URL
	if why, here := judge(peer); !strings.HasPrefix(why, proveFirst) || here == nil || !strings.Contains(here.Error(), "cannot be reached") {
		t.Errorf("while the server is away: %q, %v", why, here)
	}
	me.Server = s.url()
	clear(tr.vouched) // as after a pause
	if why, here := judge(peer); why != "" || here != nil {
		t.Errorf("once it is back: %q, %v", why, here)
	}
}
