package httpapi

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(3, time.Now)
		addr, neighbour := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
		for range 3 {
			if wait := l.wait(addr); wait != 0 {
				t.Fatalf("refused before the limit, for %v", wait)
			}
			l.failed(addr)
		}
		if wait := l.wait(addr); wait != 20*time.Second {
			t.Errorf("after three failures the wait is %v, want 20s", wait)
		}
		if wait := l.wait(neighbour); wait != 0 {
			t.Errorf("another address waits %v", wait)
		}
		time.Sleep(20 * time.Second)
		if wait := l.wait(addr); wait != 0 {
			t.Errorf("a third of a minute later the wait is %v", wait)
		}
		l.failed(addr)
		if wait := l.wait(addr); wait != 40*time.Second {
			t.Errorf("after a failure more the wait is %v, want twice as long", wait)
		}
		time.Sleep(time.Hour)
		for range 3 {
			l.failed(addr)
		}
		if l.wait(addr) == 0 {
			t.Error("a long rest allows more than the limit at once")
		}
	})
}

// TestLimiterDelayGrows guesses for a day, each time as soon as the limiter allows it.
func TestLimiterDelayGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const longest = 5 * time.Minute
		l := newLimiter(10, time.Now)
		addr := netip.MustParseAddr("203.0.113.1")
		var last time.Duration
		guesses := 0
		for start := time.Now(); time.Since(start) < 24*time.Hour; guesses++ {
			l.failed(addr)
			l.failed(addr) // at the same time, which the wait does not hold up
			wait := l.wait(addr)
			if wait < last || wait > longest {
				t.Fatalf("after guess %d the wait is %v, and was %v", guesses, wait, last)
			}
			last = wait
			time.Sleep(wait)
		}
		if last != longest || guesses > 24*12+20 {
			t.Errorf("%d guesses in a day, with %v at the end", guesses, last)
		}
		time.Sleep(10 * time.Minute)
		for range 9 {
			l.failed(addr)
		}
		if wait := l.wait(addr); wait != 0 {
			t.Errorf("after a rest the wait is %v", wait)
		}
	})
}

func TestLimiterCountsIPv6BySubnet(t *testing.T) {
	l := newLimiter(1, time.Now)
	l.failed(netip.MustParseAddr("2001:db8::1"))
	if l.wait(netip.MustParseAddr("2001:db8::ffff")) == 0 {
		t.Error("another address of the same /64 is counted apart")
	}
	if l.wait(netip.MustParseAddr("2001:db8:0:1::1")) != 0 {
		t.Error("the next /64 waits as well")
	}
}

func TestLimiterIsBounded(t *testing.T) {
	l := newLimiter(1, time.Now)
	addr := netip.MustParseAddr("10.0.0.0")
	for range maxFailing + 1000 {
		l.failed(addr)
		addr = addr.Next()
	}
	if len(l.failing) > maxFailing {
		t.Errorf("%d addresses are remembered, want at most %d", len(l.failing), maxFailing)
	}
}
