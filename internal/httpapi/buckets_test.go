package httpapi

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuckets(6, time.Now)
		addr, neighbour := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
		for i := range 6 {
			if wait := b.take(addr); wait != 0 {
				t.Fatalf("number %d waits %v", i, wait)
			}
		}
		for range 3 { // a refusal costs nothing
			if wait := b.take(addr); wait != 10*time.Second || b.lack(addr) != wait {
				t.Errorf("one too many waits %v", wait)
			}
		}
		if wait := b.take(neighbour); wait != 0 {
			t.Errorf("another address waits %v", wait)
		}
		time.Sleep(10 * time.Second)
		if b.take(addr) != 0 || b.take(addr) != 10*time.Second {
			t.Error("one does not come back every ten seconds")
		}
		time.Sleep(time.Hour)
		for range 6 {
			b.take(addr)
		}
		if b.lack(addr) == 0 {
			t.Error("a long rest allows more than the limit at once")
		}
	})
}

// TestBucketsOfIPv6 holds that a /56 and a /48 may have 4 and 16 times as much as a /64.
func TestBucketsOfIPv6(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for i, row := range []struct{ step, want int }{{0, 3}, {1, 12}, {256, 48}} {
		b := newBuckets(3, func() time.Time { return now })
		taken := 0
		for host := range 200 {
			third := 0x1000 + host*row.step
			addr := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i), byte(third >> 8), byte(third), 15: 1})
			for range 4 {
				if b.take(addr) == 0 {
					taken++
				}
			}
		}
		if taken != row.want {
			t.Errorf("with /64s %d apart: %d, want %d", row.step, taken, row.want)
		}
	}
}

func TestBucketsHaveABound(t *testing.T) {
	b := newBuckets(1, time.Now)
	addr := netip.MustParseAddr("10.0.0.0")
	for range maxFailing + 1000 {
		b.take(addr)
		addr = addr.Next()
	}
	if len(b.table.fullAt) > maxFailing {
		t.Errorf("%d addresses are remembered, want at most %d", len(b.table.fullAt), maxFailing)
	}
}
