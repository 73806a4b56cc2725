package signal

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
)

type placedInTest struct{ at, turns int }

func (p *placedInTest) walkedAt() *int { return &p.at }

// TestWalked: a walk in parts has a turn for all that stay, whatever comes and goes in between.
func TestWalked(t *testing.T) {
	const most = 7
	var w walked[*placedInTest]
	all := make([]*placedInTest, 100)
	for i := range all {
		all[i] = new(placedInTest)
		w.add(all[i])
	}
	removed := 0
	for next := math.MaxInt; next > 0; {
		turns := 0
		next = w.before(next, most, func(p *placedInTest) {
			turns++
			if p.turns++; p.at%3 == 0 { // as what is due is removed in its turn
				w.remove(p)
				removed++
			}
		})
		if turns > most {
			t.Fatalf("%d turns at once", turns)
		}
		w.add(new(placedInTest)) // somebody else comes, and goes
		if next > 50 {
			w.remove(w.all[next-1])
			removed++
		}
	}
	for i, p := range all {
		if w.has(p) && p.turns == 0 {
			t.Errorf("element %d had no turn", i)
		}
		if w.has(p) && w.all[p.at] != p {
			t.Errorf("element %d is elsewhere", i)
		}
	}
	if removed < 30 {
		t.Errorf("only %d were removed", removed)
	}
	stranger := new(placedInTest)
	before := w.len()
	w.remove(stranger)
	if w.has(stranger) || w.len() != before {
		t.Error("an element was removed that was never there")
	}
	for w.len() > 0 {
		w.remove(w.all[0])
	}
	if w.before(math.MaxInt, most, func(*placedInTest) { t.Error("a turn in an empty set") }) != 0 {
		t.Error("an empty set goes on")
	}
}

// TestSweepInParts: the sweep lets others have the lock between a few absent sessions, users, addresses and
// ended sessions, however many there are.
func TestSweepInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 20 * sweptAtOnce
		srv := New(Config{ResumeWindow: testWindow, ResumeTokens: auth.NewResumeTokens(testSecret, time.Now, nil)})
		defer srv.Shutdown(t.Context())
		now := time.Now()
		late := now.Add(testWindow + time.Hour)
		for what, fill := range map[string]func(){
			"absent sessions": func() {
				for i := range many {
					s := newSession(srv, fmt.Sprint(i), auth.Ticket{User: auth.User{Issuer: "turnpike", Subject: fmt.Sprint(i)}, Role: auth.RoleGuest})
					if e := srv.begin(s, askedName{shown: s.id, canonical: s.id}); e != nil {
						t.Fatal(e.Message)
					}
					s.away = &absence{since: now, until: late.Add(-time.Second), use: srv.addrs.pin(netip.MustParseAddr("192.0.2.1"))}
					srv.away.add(s)
				}
			},
			"users": func() {
				for i := range many {
					u := &user{id: fmt.Sprint("spent", i), use: new(userUse)}
					u.use.takeJoin(now, srv.cfg.Limits.UserJoins)
					srv.rememberUse(u)
				}
			},
			"addresses": func() {
				for i := range many {
					srv.addrs.unpin(srv.addrs.pin(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})))
				}
			},
			"ended sessions": func() {
				for i := range many {
					srv.lingering.keep(fmt.Sprint("lingering", i), scope{}, now)
				}
			},
			"calls": func() {
				for i := range many {
					srv.ringing = append(srv.ringing, &call{id: fmt.Sprint(i), ringsUntil: now})
				}
			},
		} {
			srv.mu.Lock()
			fill()
			before := srv.mu.held
			srv.mu.Unlock()
			srv.sweep(nil, late)
			srv.mu.Lock()
			if held := srv.mu.held - before; held < many/sweptAtOnce {
				t.Errorf("%d %s were swept while the lock was held %d times, want %d at least", many, what, held, many/sweptAtOnce)
			}
			srv.mu.Unlock()
		}
		if st := srv.Stats(); st.Away != 0 || len(srv.spent.by) != 0 || len(srv.lingering.order) != 0 || len(srv.ringing) != 0 {
			t.Errorf("left: %+v", st)
		}
	})
}

// TestSweepOfConnectionsInParts is TestSweepInParts for connections, which need their sockets.
func TestSweepOfConnectionsInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parts, others = 8, 3 // the rest of a sweep
		h := newMemoryHarness(t, unlimited)
		for range parts * sweptAtOnce {
			h.dial()
		}
		synctest.Wait()
		h.srv.mu.Lock()
		before, conns := h.srv.mu.held, h.srv.conns.len()
		h.srv.mu.Unlock()
		h.srv.sweep(nil, time.Now())
		h.srv.mu.Lock()
		defer h.srv.mu.Unlock()
		if held := h.srv.mu.held - before; conns != parts*sweptAtOnce || held < parts+others {
			t.Errorf("%d connections were swept while the lock was held %d times", conns, held)
		}
	})
}
