package signal

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/signal/wire"
)

func TestCandidateAddrs(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
		names      int
	}{
		{"host", "candidate:1 1 udp 2122260223 192.168.1.7 54321 typ host", []string{"192.168.1.7"}, 0},
		{"attribute form", "a=candidate:1 1 udp 1 198.51.100.2 9 typ host", []string{"198.51.100.2"}, 0},
		{"related address grants nothing", "candidate:1 1 udp 1 203.0.113.7 9 typ srflx raddr 10.0.0.1 rport 9", []string{"203.0.113.7"}, 0},
		{"IPv6", "candidate:1 1 udp 1 2001:DB8::7 9 typ host", []string{"2001:db8::7"}, 0},
		{"mapped", "candidate:1 1 udp 1 ::ffff:192.0.2.1 9 typ host", []string{"192.0.2.1"}, 0},
		{"zone", "candidate:1 1 udp 1 fe80::1%eth0 9 typ host", nil, 1},
		{"mDNS", "candidate:1 1 udp 1 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 9 typ host", nil, 1},
		{"host name", "candidate:1 1 udp 1 example.org 9 typ host", nil, 1},
		{"too short", "candidate:1 1 udp 1 192.0.2.1", nil, 0},
		{"end", "", nil, 0},
		{"not a candidate", "end-of-candidates", nil, 0},
		{"SDP", "v=0\r\nc=IN IP4 192.0.2.9\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=mid:0\r\na=candidate:2 1 tcp 1 2001:db8::1 9 typ host tcptype active\r\n",
			[]string{"192.0.2.1", "2001:db8::1"}, 0},
	} {
		addrs, names := candidateAddrs(tc.text)
		var got []string
		for _, a := range addrs {
			got = append(got, a.String())
		}
		if !reflect.DeepEqual(got, tc.want) || names != tc.names {
			t.Errorf("%s: got %v and %d names, want %v and %d", tc.name, got, names, tc.want, tc.names)
		}
	}
}

func candidate(addr string) string {
	return "candidate:1 1 udp 1 " + addr + " 9 typ host"
}

func TestScope(t *testing.T) {
	h := newHarness(t, nil)
	a, b := h.pair("x")
	may := func(c *client, addr string) bool { return h.srv.MayRelay(c.session, netip.MustParseAddr(addr)) }

	if may(b, "192.0.2.1") || h.srv.MayRelay("nobody", netip.MustParseAddr("192.0.2.1")) {
		t.Error("open before anything was signalled")
	}
	a.signalTo(b, "x", candidate("192.0.2.1"))
	b.expect("signal")
	if !may(b, "192.0.2.1") || !may(b, "::ffff:192.0.2.1") {
		t.Error("closed for what a mate has signalled")
	}
	if may(b, "192.0.2.2") || may(a, "192.0.2.1") {
		t.Error("open for another address, or for the sender")
	}
	a.send(msg{"type": "signal", "room": "x", "to": b.session, "description": msg{"type": "offer",
		"sdp": "v=0\r\na=candidate:1 1 udp 1 ::ffff:198.51.100.1 9 typ host\r\n"}})
	b.expect("signal")
	if !may(b, "198.51.100.1") {
		t.Error("closed for a candidate of an SDP in mapped form")
	}

	// A session cannot widen its own scope, nor that of a session in another room.
	a.signalTo(a, "x", candidate("192.0.2.3"))
	a.expect("error", "code", "not-in-room")
	stranger := h.guest("stranger")
	stranger.signalTo(b, "x", candidate("192.0.2.3"))
	stranger.expect("error", "code", "not-in-room")
	if may(a, "192.0.2.3") || may(b, "192.0.2.3") {
		t.Error("open for what was not forwarded")
	}

	// The bound is 16 addresses of one mate, and two are in use; host names take no place.
	a.signalTo(b, "x", candidate("f00.local"))
	b.expect("signal")
	for i := range maxFromMate {
		a.signalTo(b, "x", candidate(fmt.Sprintf("203.0.113.%d", i)))
		b.expect("signal")
	}
	if !may(b, "203.0.113.13") || may(b, "203.0.113.14") || may(b, "203.0.113.15") {
		t.Error("the cap is not 16")
	}
	for _, want := range []Counter{{"scope_ignored", "host-name", 1}, {"scope_ignored", "full", 2}} {
		if !slices.Contains(h.srv.Counters(), want) {
			t.Errorf("no %v in %v", want, h.srv.Counters())
		}
	}

	// The scope outlives the mate, and the session's own connection, but not a bye.
	a.send(msg{"type": "bye"})
	a.expectClose(wire.CloseBye)
	b.expect("peer-left")
	if !may(b, "192.0.2.1") {
		t.Error("closed when the mate left")
	}
	if h.srv.SessionLive(a.session) || !h.srv.SessionLive(b.session) {
		t.Error("a should be dead and b alive")
	}
	b.send(msg{"type": "bye"})
	b.expectClose(wire.CloseBye)
	if may(b, "192.0.2.1") {
		t.Error("open after bye")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if want := []string{a.session, b.session}; !slices.Equal(h.ended, want) {
		t.Errorf("EndRelays for %v, want %v", h.ended, want)
	}
}

// TestScopeLingers holds that a session with a lost connection can make no allocation, but that its allocations may
// refresh their permissions for a day.
func TestScopeLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		a, b := h.guest("a"), h.guest("b")
		a.join("x")
		b.join("x")
		a.expect("peer-joined")
		b.signalTo(a, "x", candidate("192.0.2.1"))
		a.expect("signal")
		a.conn.NetConn().Close()
		b.expect("peer-left", "reason", "gone")
		h.guest("nobody's mate").conn.NetConn().Close()
		synctest.Wait()
		h.srv.mu.Lock()
		if kept := len(h.srv.lingering.values); kept != 1 || len(h.srv.sessions) != 1 {
			t.Errorf("%d scopes linger of %d sessions, want one: empty ones are not kept", kept, 3-len(h.srv.sessions))
		}
		h.srv.mu.Unlock()
		addr := netip.MustParseAddr("192.0.2.1")
		if h.srv.SessionLive(a.session) || !h.srv.MayRelay(a.session, addr) {
			t.Error("want a dead session whose relays may refresh")
		}
		b.drain()
		time.Sleep(h.srv.cfg.Limits.ScopeLinger + 2*sweepInterval)
		if h.srv.MayRelay(a.session, addr) {
			t.Error("still open after a day")
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.ended) != 0 {
			t.Errorf("EndRelays for %v, want none", h.ended)
		}
	})
}

// TestScopeOfManyMates holds that nobody can fill a session's scope for others: the bound is for each mate, and what
// those who have left have signalled makes room.
func TestScopeOfManyMates(t *testing.T) {
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}) }
	var sc scope
	now := time.Now()
	there := map[string]bool{"mate": true}
	isMate := func(session string) bool { return there[session] }
	note := func(mate string, first, n int) (ignored int) {
		var addrs []netip.Addr
		for i := range n {
			addrs = append(addrs, addr(first+i))
		}
		return sc.note(mate, addrs, now, isMate)
	}

	if got := note("greedy", 0, 100); got != 100-maxFromMate {
		t.Errorf("%d of the addresses of one mate were ignored", got)
	}
	if got := note("mate", 1000, 5); got != 0 {
		t.Error("one mate keeps out another")
	}
	for i := range 100 { // it leaves, comes back as another session, and does it again
		note(fmt.Sprint("greedy ", i), 100*i, 100)
	}
	if len(sc.addrs) != maxScope {
		t.Fatalf("%d addresses are kept", len(sc.addrs))
	}
	for i := range 5 {
		if !sc.has(addr(1000+i), now) {
			t.Error("a mate that is there has lost an address")
		}
	}
	there["late"] = true
	if got := note("late", 2000, 3); got != 0 || !sc.has(addr(2002), now) {
		t.Error("those who have left keep out a newcomer")
	}

	// A mate that comes by other addresses gets them once its former ones are not needed.
	sc = scope{}
	note("mate", 0, maxFromMate)
	now = now.Add(scopeUse / 2)
	if !sc.has(addr(0), now) || note("mate", 500, 1) != 1 {
		t.Error("an address that is needed made room")
	}
	now = now.Add(scopeUse / 2)
	if note("mate", 500, 1) != 0 || !sc.has(addr(0), now) || sc.has(addr(1), now) {
		t.Error("the address that was needed the longest ago did not make room")
	}
}

// FuzzCandidateAddrs asserts that the addresses are canonical, and that their number is bounded by the text.
func FuzzCandidateAddrs(f *testing.F) {
	f.Add("a=candidate:1 1 udp 1 ::ffff:192.0.2.1 9 typ host\r\ncandidate:2 1 udp 1 x.local 9 typ host")
	f.Fuzz(func(t *testing.T, text string) {
		addrs, names := candidateAddrs(text)
		if len(addrs)+names > len(text) {
			t.Fatalf("%d addresses in %d bytes", len(addrs)+names, len(text))
		}
		for _, a := range addrs {
			if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
				t.Errorf("%v is not canonical", a)
			}
		}
	})
}
