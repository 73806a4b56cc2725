package signal

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

func TestAddrsAreForgotten(t *testing.T) {
	var l Limits
	l.fill()
	a, now := newAddrs(), time.Now()
	busy := a.pin(netip.MustParseAddr("2001:db8::1"))
	failed := a.pin(netip.MustParseAddr("2001:db8:0:1::1"))
	failed.take(now, l.FailedHellos, failedHellos)
	a.unpin(failed)
	a.unpin(a.pin(netip.MustParseAddr("192.0.2.1")))
	a.unpin(a.pin(netip.MustParseAddr("2001:db8:0:100::1"))) // of another /56
	if len(a.uses) != 7 {
		t.Errorf("%d ranges are known", len(a.uses))
	}
	now = now.Add(time.Second)
	for range 3 { // as the sweep does; a wider range is idle only once the narrower one is forgotten
		a.forgetIdle(now, &l, 100)
	}
	if len(a.uses) != 3 || a.uses[busy.prefix] != busy || busy.wider.pins != 1 || a.idle.Len() != 0 {
		t.Errorf("kept %v, %d idle", a.uses, a.idle.Len())
	}
	if busy.lack(now, l.FailedHellos, failedHellos) != 0 || busy.wider.failed.spent != 0 {
		t.Error("a failure was not forgotten")
	}
	a.unpin(busy)
	a.forgetIdle(now, &l, 100)
	if len(a.uses) != 0 {
		t.Errorf("kept %v", a.uses)
	}
}

// TestAddrsHaveABound holds that strangers from ever new addresses take no more memory than a table, and that the one that was idle
// for longest goes first.
func TestAddrsHaveABound(t *testing.T) {
	var l Limits
	l.fill()
	a, now := newAddrs(), time.Now()
	for i := range 3 * maxIdleAddrs {
		addr := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}) // of ever new /56s
		use := a.pin(addr)
		use.take(now, l.FailedHellos, failedHellos)
		a.unpin(use)
		if n := len(a.uses); n > 3*maxIdleAddrs || a.idle.Len() > maxIdleAddrs {
			t.Fatalf("after %d addresses: %d ranges, %d idle", i+1, n, a.idle.Len())
		}
	}
	first, _ := netip.MustParseAddr("2001:db8::").Prefix(64)
	if a.uses[first] != nil {
		t.Error("the first is still remembered")
	}
}

// TestIPv6Ranges holds that a /56 and a /48 have 4 and 16 times as much as a /64.
func TestIPv6Ranges(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.SessionsPerAddr, cfg.Limits.Sessions = 8, 1<<20 })
	const perAddr = 8 + 2 // with the room for resumes
	var all []*conn
	fill := func(prefix string, hosts int) (admitted int) {
		for host := range hosts {
			addr := netip.MustParseAddr(fmt.Sprintf(prefix, host))
			for range perAddr {
				c := newConn(h.srv, "")
				if _, refused := h.srv.reserve(c, addr); refused == "" {
					h.srv.signIn(c)
					all = append(all, c)
					admitted++
				} else if refused != refusedAddr {
					t.Fatalf("%v: %s", addr, refused)
				}
			}
		}
		return admitted
	}
	for _, row := range []struct {
		prefix string
		hosts  int
		want   int
	}{{"2001:db8:1:100::%x", 9, perAddr}, {"2001:db8:2:1%02x::1", 9, 4 * perAddr}, {"2001:db8:3:%x00::1", 40, 16 * perAddr}, {"192.0.2.%d", 9, 9 * perAddr}} {
		if strings.HasPrefix(row.prefix, "192") {
			row.prefix = "::ffff:192.0.2.%d"
		}
		if got := fill(row.prefix, row.hosts); got != row.want {
			t.Errorf("%s: %d were admitted, want %d", row.prefix, got, row.want)
		}
	}
	use := h.srv.addrs.pin(netip.MustParseAddr("2001:db8:9::1"))
	now, rate := time.Now(), Rate{PerSecond: 1, Burst: 3}
	for range 3 {
		use.take(now, rate, joins)
	}
	if use.take(now, rate, joins) != time.Second || use.wider.joins.spent != 3 || use.wider.wider.joins.spent != 3 {
		t.Errorf("rates: spent %v, %v, %v", use.joins.spent, use.wider.joins.spent, use.wider.wider.joins.spent)
	}
	h.srv.addrs.unpin(use)
	for _, c := range all {
		c.session = new(session)
		h.srv.forgetConn(c)
	}
	if h.srv.signedIn != 0 || h.srv.strangers.Len() != 0 || len(h.srv.addrs.uses) == 0 || h.srv.addrs.idle.Len() == 0 {
		t.Errorf("left are %d, %d, and %d ranges, of them %d idle", h.srv.signedIn, h.srv.strangers.Len(), len(h.srv.addrs.uses), h.srv.addrs.idle.Len())
	}
}

// TestBeforeHello holds that connections which say nothing push out each other, and never one that has said hello, nor a newcomer.
func TestBeforeHello(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.BeforeHello = 4 })
	ann := h.guest("ann")
	var silent []*client
	for range 12 {
		silent = append(silent, h.dial())
	}
	bob := h.guest("bob") // pushes out one more
	for i, c := range silent[:9] {
		if _, err := c.read(); err == nil {
			t.Errorf("silent connection %d was answered", i)
		}
	}
	for _, c := range silent[9:] { // the newest are there
		c.send(msg{"type": "hello", "ticket": "forged"})
		c.expect("error", "code", "unauthorized")
	}
	ann.join("x")
	bob.join("x")
	if n := h.counted("limited", limitedBeforeHello); n != 9 {
		t.Errorf("counted %d", n)
	}
	h.srv.mu.Lock()
	defer h.srv.mu.Unlock()
	if h.srv.strangers.Len() != 3 || h.srv.signedIn != 2 {
		t.Errorf("%d strangers, %d signed in", h.srv.strangers.Len(), h.srv.signedIn)
	}
}

// TestSilentNeighbours holds that somebody who fills an address with connections that say nothing keeps nobody there out.
func TestSilentNeighbours(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.SessionsPerAddr = 4 })
	for range 20 {
		h.dial()
	}
	for i := range 4 {
		h.guest(fmt.Sprint("guest ", i))
	}
}

// TestRoomForResumes holds that a session comes back where a new one is refused, and that the answer to that comes on the socket.
func TestRoomForResumes(t *testing.T) {
	for name, limit := range map[string]func(*Limits){
		"address": func(l *Limits) { l.SessionsPerAddr = 1 },
		"server":  func(l *Limits) { l.Sessions = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newMemoryHarness(t, func(cfg *Config) {
					resuming(cfg)
					limit(&cfg.Limits)
				})
				ann := h.guest("ann")
				ann.lose()
				synctest.Wait()
				h.guest("bob")
				carol := h.dial()
				carol.send(msg{"type": "hello", "id": "1", "ticket": testTicket("carol", "carol", auth.RoleGuest)})
				carol.expect("error", "ref", "1", "code", "rate-limited", "retryAfter", 2)
				h.back(ann.identity(), wire.ResumedReplayed)
			})
		})
	}
}

// TestBadTicketsOfNeighbours holds that bad tickets cost those who send them, and nobody else at their address: no upgrade is
// refused, no resume, and no first ticket of a connection.
func TestBadTicketsOfNeighbours(t *testing.T) {
	var logged lockedBuffer
	h := newHarness(t, func(cfg *Config) {
		resuming(cfg)
		cfg.Limits.FailedHellos = Rate{PerSecond: 0.01, Burst: 4}
		cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
	})
	ann := h.guest("ann")
	ann.lose()
	for range 10 {
		c := h.dial()
		c.send(msg{"type": "hello", "ticket": "forged"})
		c.expect("error", "code", "unauthorized")
		c.send(msg{"type": "hello", "ticket": "forged"})
		c.expect("error")
	}
	bad := h.dial()
	bad.send(msg{"type": "hello", "ticket": "forged"})
	bad.expect("error", "code", "unauthorized")
	bad.send(msg{"type": "hello", "id": "1", "ticket": testTicket("x", "x", auth.RoleGuest)})
	if e := bad.expect("error", "ref", "1", "code", "rate-limited"); e["retryAfter"].(float64) < 50 {
		t.Errorf("retryAfter %v", e["retryAfter"])
	}
	h.guest("bob")
	h.back(ann.identity(), wire.ResumedReplayed)
	if n := h.counted("limited", limitedFailedHellos); n < 8 {
		t.Errorf("counted %d", n)
	}
	if text := logged.String(); strings.Count(text, "too many bad tickets") != waitLogRate.Burst || !strings.Contains(text, "client=127.0.0.1 ") {
		t.Errorf("logged %s", text)
	}
}

// TestHellosOfNeighbours holds that a flood of hellos from an address keeps no session there from coming back.
func TestHellosOfNeighbours(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		resuming(cfg)
		cfg.Limits.AddrHellos = Rate{PerSecond: 0.01, Burst: 3}
	})
	ann := h.guest("ann")
	ann.lose()
	for range 2 {
		h.dial().send(msg{"type": "hello", "ticket": "forged"})
	}
	for {
		c := h.dial()
		c.send(msg{"type": "hello", "ticket": "forged"})
		if c.expect("error")["code"] == "rate-limited" {
			break
		}
	}
	h.back(ann.identity(), wire.ResumedReplayed)
}
