package main

import (
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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

// TestVouchIsSeldom: a room mate that proves itself again and again makes this side ask the server once.
func TestVouchIsSeldom(t *testing.T) {
	state := t.TempDir()
	s := startServer("--state", state)
	defer s.stop()
	nas := joinMachine(t, s, state, "nas")
	me, err := machine.Load(nas.dir, s.url())
	if err != nil {
		t.Fatal(err)
	}
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
