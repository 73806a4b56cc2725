package main

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/client"
)

// TestStatusLines: the first path is told at once, another one when it has lasted, or at the end.
func TestStatusLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &program{stderr: &out}
		s, peer := p.statusLines(false), quietPeer{}
		relayed := client.Path{Transport: client.QUIC, Relayed: true, Protocol: "udp", Relay: "turn.example.org", RTT: 40 * time.Millisecond}
		others := client.Path{Transport: client.QUIC, Relayed: true, Protocol: "udp", RTT: 41 * time.Millisecond}
		direct := client.Path{Transport: client.QUIC, Protocol: "udp", Remote: netip.MustParseAddrPort("198.51.100.7:5678"), RTT: 12 * time.Millisecond}
		want := ""
		wants := func(line string) {
			t.Helper()
			synctest.Wait()
			if want += line; out.String() != want {
				t.Fatalf("it printed %q, want %q", out.String(), want)
			}
		}
		tell := func(path client.Path) { s.changed(peer, path) }

		tell(relayed)
		wants("") // nobody has asked for it
		s.watch(peer)
		tell(relayed)
		wants("nas: relayed by turn.example.org over udp, 40ms\n")
		for range 3 { // to and fro, until it is as it was
			tell(others)
			time.Sleep(pathLasts / 2)
			tell(relayed)
			time.Sleep(pathLasts / 2)
		}
		time.Sleep(2 * pathLasts)
		wants("")
		tell(others)
		tell(direct)
		time.Sleep(pathLasts)
		wants("nas: direct udp 198.51.100.7:5678, 12ms\n")
		tell(others)
		s.finish()
		wants("nas: relayed by the other side over udp, 41ms\n")
	})
}

// quietPeer has no path until something tells of one.
type quietPeer struct{}

func (quietPeer) Name() string              { return "nas" }
func (quietPeer) Path() (client.Path, bool) { return client.Path{}, false }
func (quietPeer) Gone() <-chan struct{}     { return nil }

// TestSeldom: somebody who has a new name each time has a few lines, and what others cause is told all the same.
func TestSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		say := (&program{stderr: &out}).statusLines(false).seldom()
		lines := func() int {
			defer out.Reset()
			return bytes.Count(out.Bytes(), []byte("\n"))
		}
		for i := range 1000 {
			say("mallory", "refused %d", i)
		}
		if n := lines(); n != maxSeldomOfOne {
			t.Errorf("one peer has %d lines", n)
		}
		say("ann", "refused Ann")
		say("ann", "refused Ann")
		if n := lines(); n != 1 {
			t.Errorf("another peer has %d lines", n)
		}
		for i := range 1000 {
			say(i, "refused %d", i)
		}
		if n := lines(); n > 2*maxSeldom {
			t.Errorf("all together have %d lines", n)
		}
		time.Sleep(seldomAgain + time.Second)
		say("ann", "refused Ann")
		if n := lines(); n != 1 {
			t.Errorf("later there are %d lines", n)
		}
	})
}
