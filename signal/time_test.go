package signal

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/socket"
	"example.org/turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// drain reads in the background, so that the client answers pings.
func (c *client) drain() {
	go func() {
		for {
			if _, _, err := c.conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
}

func TestHelloTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		c := h.dial()
		start := time.Now()
		c.expectClose(wire.CloseHelloTimeout)
		if took := time.Since(start); took < wire.HelloTimeout || took > wire.HelloTimeout+sweepInterval {
			t.Errorf("closed after %v", took)
		}
	})
}

func TestPingsKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		c := h.member("a")
		c.drain()
		time.Sleep(time.Hour) // of the bubble's clock
		if st := h.srv.Stats(); st.Sessions != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		a, b := h.guest("a"), h.guest("b")
		a.join("x")
		start := time.Now()
		together(func() {
			b.join("x")
			b.conn.SetPingHandler(func(string) error { return nil }) // no pong
			b.expectClose(wire.CloseDead)
			b.conn.Close()
		}, func() {
			a.expect("peer-joined")
			a.expect("peer-left", "session", b.session, "reason", "gone")
		})
		if took := time.Since(start); took < wire.DeadAfter || took > wire.DeadAfter+sweepInterval+socket.CloseGrace {
			t.Errorf("dead after %v", took)
		}
	})
}

func TestClientPingIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		c := h.member("a")
		pong := make(chan string, 1)
		c.conn.SetPongHandler(func(data string) error {
			pong <- data
			return nil
		})
		c.drain()
		if err := c.conn.WriteControl(websocket.PingMessage, []byte("hi"), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := <-pong; got != "hi" {
			t.Errorf("pong %q", got)
		}
	})
}

func TestCredentialRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hosts []string
		h := newMemoryHarness(t, func(cfg *Config) {
			cfg.ICEServers = func(session string, user auth.User, host string, until time.Time) ([]wire.ICEServer, time.Time) {
				hosts = append(hosts, host)
				return testICEServers(session, user, host, until)
			}
		})
		start := time.Now()
		c := h.member("a")
		for i := range 3 {
			m := c.expect("ice-servers")
			due := time.Duration(i+1) * 45 * time.Minute
			if late := time.Since(start) - due; late < 0 || late > 5*time.Second {
				t.Errorf("renewal %d came %v late", i, late)
			}
			expires, err := time.Parse(time.RFC3339, m["iceExpires"].(string))
			if left := time.Until(expires); err != nil || left < 59*time.Minute {
				t.Errorf("%v left, %v", left, err)
			}
		}
		for _, host := range hosts {
			if host != "turnpike.test" {
				t.Errorf("asked for %q, want the host that the client reached", host)
			}
		}
	})
}

// TestSlow freezes one of three clients in a room while the others talk on. The sender is never blocked, the frozen
// client is cut off within a second of filling its queue, and the others notice nothing else.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 3 * wire.AckEvery // clients that read acknowledge in time
		h := newMemoryHarness(t, func(cfg *Config) {
			cfg.Limits.QueueMessages = queue
			cfg.Limits.Messages = Rate{PerSecond: 1e6, Burst: 1e6}
		})
		a, b, frozen := h.guest("a"), h.guest("b"), h.guest("frozen")
		for _, c := range []*client{a, b, frozen} {
			c.join("x", "size", 3)
		}
		a.expect("peer-joined")
		a.expect("peer-joined")
		b.expect("peer-joined")

		start := time.Now()
		// The writer holds one message, a full queue waits, and one is too many.
		for range queue + 2 {
			a.signalTo(frozen, "x", "")
			a.signalTo(b, "x", "")
			b.expect("signal", "from", a.session)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the sender was blocked for %v", took)
		}
		b.expect("peer-left", "session", frozen.session, "reason", "slow")
		a.expect("peer-left", "session", frozen.session, "reason", "slow")
		if took := time.Since(start); took > time.Second {
			t.Errorf("cut off after %v", took)
		}
		a.signalTo(b, "x", "")
		b.expect("signal")
	})
}

// TestSlowHearsWhy thaws the frozen client in time to read the close code.
func TestSlowHearsWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, func(cfg *Config) { cfg.Limits.QueueBytes = 1000 })
		a, b := h.guest("a"), h.guest("b")
		a.join("x")
		b.join("x")
		a.expect("peer-joined")
		for range 20 {
			a.signalTo(b, "x", "candidate:1 1 udp 1 192.0.2.1 9 typ host")
		}
		synctest.Wait()
		b.expectClose(wire.CloseSlow)
		a.expect("peer-left", "reason", "slow")
	})
}

func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		a, b := h.guest("a"), h.guest("b")
		a.join("x")
		b.join("x")
		a.expect("peer-joined")
		start := time.Now()
		a.signalTo(b, "x", "") // b never reads it
		a.expect("peer-left", "reason", "slow")
		if took := time.Since(start); took != socket.WriteTimeout {
			t.Errorf("cut off after %v, want %v", took, socket.WriteTimeout)
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		a, b := h.pair("x")
		mute := h.dial() // never says hello
		h.guest("stuck") // never reads
		synctest.Wait()  // until the server knows of all of them
		start := time.Now()
		toldToGo := func(c *client) func() {
			return func() {
				c.expect("going-away", "retryAfter", int(retryAfter.Seconds()))
				c.expectClose(wire.CloseGoingAway)
			}
		}
		together(toldToGo(a), toldToGo(b), func() {
			mute.expectClose(wire.CloseGoingAway)
			if _, resp, err := h.dialer.Dial(h.url, nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("dial: %v, %v, want 503", resp, err)
			}
		}, func() {
			if err := h.srv.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
		if took := time.Since(start); took < socket.CloseGrace || took > socket.CloseGrace {
			t.Errorf("took %v, want the %v that the stuck client has", took, socket.CloseGrace)
		}
		if st := h.srv.Stats(); st != (Stats{}) {
			t.Errorf("left %+v", st)
		}
		if err := h.srv.Shutdown(context.Background()); err != nil {
			t.Errorf("second Shutdown: %v", err)
		}
	})
}

func TestShutdownDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		h.guest("stuck")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		if err := h.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}
