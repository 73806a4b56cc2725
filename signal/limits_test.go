package signal

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

func TestBucket(t *testing.T) {
	rate := Rate{PerSecond: 2, Burst: 3}
	now := time.Now()
	var b bucket
	for i := range 3 {
		if wait := b.takeToken(now, rate); wait != 0 {
			t.Fatalf("token %d of the burst: wait %v", i, wait)
		}
	}
	if wait := b.takeToken(now, rate); wait != time.Second/2 {
		t.Errorf("with no token left: wait %v, want 500ms", wait)
	}
	if wait := b.takeToken(now.Add(time.Second/2), rate); wait != 0 {
		t.Errorf("half a second later: wait %v", wait)
	}
	if wait := b.takeToken(now.Add(time.Hour), rate); wait != 0 || b.spent != 1 {
		t.Errorf("an hour later: wait %v, spent %v", wait, b.spent)
	}
}

// counted returns the value of a counter.
func (h *harness) counted(name, reason string) uint64 {
	h.t.Helper()
	all := h.srv.Counters()
	i := slices.IndexFunc(all, func(c Counter) bool { return c.Name == name && c.Reason == reason })
	if i < 0 {
		h.t.Fatalf("no counter %s of %s", name, reason)
	}
	return all[i].Value
}

func TestSessionsPerUser(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.SessionsPerUser = 2 })
	first, _ := h.guest("ann"), h.guest("ann")
	third := h.dial()
	hello := msg{"type": "hello", "id": "1", "ticket": testTicket("ann", "ann", auth.RoleGuest)}
	third.send(hello)
	third.expect("error", "ref", "1", "code", "forbidden")
	h.guest("bob")
	first.leaveForGood()
	third.send(hello)
	third.expect("welcome")
	if n := h.counted("limited", limitedUserSessions); n != 1 {
		t.Errorf("counted %d", n)
	}
}

// TestUserRates holds that the sessions of one user together send no more than the user may, that other users are not
// held back, and that coming back gives nothing back.
func TestUserRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, func(cfg *Config) {
			cfg.Limits.UserMessages = Rate{PerSecond: 1, Burst: 20}
			cfg.Limits.UserJoins = Rate{PerSecond: 0.1, Burst: 2}
		})
		a, a2, b := h.guest("a"), h.guest("a"), h.guest("b")
		a.join("x", "size", 9)
		a2.join("x")
		a.expect("peer-joined")
		a2.send(msg{"type": "join", "room": "y", "create": true})
		a2.expect("error", "code", "rate-limited", "retryAfter", 10)
		a2.send(msg{"type": "call", "to": "nobody"})
		a2.expect("error", "code", "rate-limited")
		b.join("x")
		a.expect("peer-joined")
		a2.expect("peer-joined")

		// Four messages are gone. The two take turns with the other sixteen.
		for range 8 {
			for _, from := range []*client{a, a2} {
				from.signalTo(b, "x", "")
				b.expect("signal", "from", from.session)
			}
		}
		a.signalTo(b, "x", "")
		a.expect("error", "code", "rate-limited", "retryAfter", 1)
		b.expectNothing()

		// Leave and come back.
		a.conn.Close()
		a2.conn.Close()
		synctest.Wait()
		b.skipTo("peer-left")
		b.skipTo("peer-left")
		a = h.guest("a")
		a.send(msg{"type": "leave", "room": "x"})
		a.expect("error", "code", "rate-limited")
		if n, m := h.counted("limited", limitedUserMessages), h.counted("limited", limitedUserJoins); n != 2 || m != 2 {
			t.Errorf("counted %d messages, %d joins, want 2 of each", n, m)
		}
		a.conn.Close()
		time.Sleep(time.Minute)
		h.srv.mu.Lock()
		defer h.srv.mu.Unlock()
		if len(h.srv.spent.by)+h.srv.spent.all.len() != 0 {
			t.Errorf("a minute later %d users are remembered", len(h.srv.spent.by))
		}
	})
}

func TestAddressRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, func(cfg *Config) {
			cfg.Limits.AddrHellos = Rate{PerSecond: 1, Burst: 3}
			cfg.Limits.AddrJoins = Rate{PerSecond: 0.5, Burst: 1}
		})
		a, b := h.guest("a"), h.guest("b")
		c := h.dial()
		c.send(msg{"type": "hello", "ticket": "expired"}) // counts, though it is refused
		c.expect("error", "code", "unauthorized")
		c.send(msg{"type": "hello", "id": "1", "ticket": testTicket("c", "c", auth.RoleGuest)})
		c.expect("error", "ref", "1", "code", "rate-limited", "retryAfter", 1)
		time.Sleep(time.Second)
		c.send(msg{"type": "hello", "id": "2", "ticket": testTicket("c", "c", auth.RoleGuest)})
		c.expect("welcome", "ref", "2")

		a.join("x")
		b.send(msg{"type": "join", "room": "y", "create": true})
		b.expect("error", "code", "rate-limited", "retryAfter", 2)
		time.Sleep(2 * time.Second)
		b.join("y")
		if n, m := h.counted("limited", limitedAddrHellos), h.counted("limited", limitedAddrJoins); n != 1 || m != 1 {
			t.Errorf("counted %d hellos, %d joins, want 1 of each", n, m)
		}
		for _, other := range []*client{a, b, c} {
			other.send(msg{"type": "bye"})
			other.expectClose(wire.CloseBye)
			other.conn.Close()
		}
		time.Sleep(time.Minute)
		h.srv.mu.Lock()
		defer h.srv.mu.Unlock()
		if n := len(h.srv.addrs.uses); n != 0 {
			t.Errorf("a minute later %d addresses are remembered", n)
		}
	})
}

// TestBucketWhenClockIsSet: a clock that is set fills no bucket.
func TestBucketWhenClockIsSet(t *testing.T) {
	rate := Rate{PerSecond: 2, Burst: 3}
	var b bucket
	now := time.Now()
	for range 3 {
		b.takeToken(now, rate)
	}
	set := now
	*(*uint64)(unsafe.Pointer(&set)) += 3600 << 30 // its seconds of wall time; the monotonic time stays
	if set.Unix()-now.Unix() != 3600 || set.Sub(now) != 0 {
		t.Fatalf("package time keeps its times in another way: %v, %v", now, set)
	}
	if wait := b.takeToken(set, rate); wait == 0 {
		t.Error("an hour that has not passed gave a token")
	}
}
