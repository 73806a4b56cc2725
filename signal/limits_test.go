package signal

import (
	"net/netip"
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	rate := Rate{PerSecond: 2, Burst: 3}
	now := time.Now()
	var b bucket
	for i := range 3 {
		if wait := b.take(now, rate); wait != 0 {
			t.Fatalf("token %d of the burst: wait %v", i, wait)
		}
	}
	if got, want := b.wait(now, rate), b.take(now, rate); got != want || want != time.Second/2 {
		t.Errorf("wait says %v, take %v, want 500ms", got, want)
	}
	if wait := b.take(now.Add(time.Second/2), rate); wait != 0 {
		t.Errorf("half a second later: wait %v", wait)
	}
	if wait := b.take(now.Add(time.Hour), rate); wait != 0 || b.spent != 1 {
		t.Errorf("an hour later: wait %v, spent %v", wait, b.spent)
	}
}

func TestLimitPrefix(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":          "192.0.2.1/32",
		"::ffff:192.0.2.1":   "192.0.2.1/32",
		"2001:db8:1:2:3::4":  "2001:db8:1:2::/64",
		"fe80::1:2:3:4%eth0": "fe80::/64",
	} {
		if got := limitPrefix(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
	if got := limitPrefix(netip.Addr{}); got.IsValid() {
		t.Errorf("no address: got %v", got)
	}
}

func TestAddrsAreForgotten(t *testing.T) {
	srv := &Server{addrs: make(map[netip.Prefix]*addrUse)}
	srv.cfg.Limits.fill()
	now := time.Now()
	busy, failed, idle := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("192.0.2.3/32")
	srv.addrs[busy] = &addrUse{sockets: 1}
	srv.addrs[failed] = new(addrUse)
	srv.countFailedHello(failed)
	srv.addrs[idle] = new(addrUse)
	srv.forgetAddrs(now)
	if len(srv.addrs) != 2 || srv.addrs[idle] != nil {
		t.Errorf("kept %v", srv.addrs)
	}
	srv.forgetAddrs(now.Add(time.Minute))
	if len(srv.addrs) != 1 || srv.addrs[busy] == nil {
		t.Errorf("kept %v", srv.addrs)
	}
}
