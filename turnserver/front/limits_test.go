package front

import (
	"net/netip"
	"testing"
)

// TestSource: one customer of a network has an IPv4 address or an IPv6 /64.
func TestSource(t *testing.T) {
	of := func(ip string) Source { return SourceOf(netip.MustParseAddr(ip)) }
	v4, v6 := of("192.0.2.1"), of("2001:db8:1:2::1")
	for ip, want := range map[string]Source{
		"192.0.2.1": v4, "::ffff:192.0.2.1": v4, // the same, as a socket of both families shows it
		"2001:db8:1:2:ffff::1": v6, "2001:db8:1:2::": v6,
		"fe80::1": of("fe80::1%eth0"),
	} {
		if got := of(ip); got != want {
			t.Errorf("%s: %x, want %x", ip, got, want)
		}
	}
	for _, ip := range []string{"192.0.2.2", "2001:db8:1:3::1"} {
		if got := of(ip); got == v4 || got == v6 {
			t.Errorf("%s is taken for another source", ip)
		}
	}
}

// TestAddressLimit: an IPv6 customer has a /64, and none has more than the limit.
func TestAddressLimit(t *testing.T) {
	a := newAddressLimit(2)
	for _, row := range []struct {
		ip string
		ok bool
	}{
		{"2001:db8::1", true}, {"2001:db8::ffff:1", true}, {"2001:db8::2", false}, {"2001:db8:0:1::1", true},
		{"192.0.2.1", true}, {"::ffff:192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true},
	} {
		if got := a.enter(netip.MustParseAddr(row.ip)); got != row.ok {
			t.Errorf("%s: %v", row.ip, got)
		}
	}
	for _, ip := range []string{"2001:db8::3", "2001:db8::4", "2001:db8:0:1::1", "192.0.2.1", "192.0.2.1", "192.0.2.2"} {
		a.leave(netip.MustParseAddr(ip))
	}
	if len(a.count) != 0 {
		t.Errorf("left: %v", a.count)
	}
}

// TestAddressLimitOfIPv6: a /56 and a /48 have 4 and 16 times as many connections as a /64, and leave no trace.
func TestAddressLimitOfIPv6(t *testing.T) {
	for _, row := range []struct{ step, want int }{{0, 3}, {1, 12}, {256, 48}} {
		a := newAddressLimit(3)
		var entered []netip.Addr
		for host := range 200 {
			third := host * row.step
			ip := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, byte(third >> 8), byte(third), 15: 1})
			for range 4 {
				if a.enter(ip) {
					entered = append(entered, ip)
				}
			}
		}
		if len(entered) != row.want {
			t.Errorf("with /64s %d apart: %d, want %d", row.step, len(entered), row.want)
		}
		for _, ip := range entered {
			a.leave(ip)
		}
		if len(a.count) != 0 {
			t.Errorf("left: %v", a.count)
		}
	}
}

// TestEnter: a connection that the Front has not accepted counts as those do that it has, and a trusted proxy's does
// not.
func TestEnter(t *testing.T) {
	f := newTestFront(t, func(cfg *Config) {
		cfg.ConnectionsPerAddress = 2
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	addr := f.listen(carries{stun: true})
	c := dial(t, addr)
	c.write(binding(t))
	c.answer()
	if !f.Enter(loopback) || f.Enter(loopback) {
		t.Error("not two places")
	}
	dial(t, addr).wantClosed()
	f.waitCounted(TooManyFrom, 1)
	f.Leave(loopback)
	next := dial(t, addr)
	next.write(binding(t))
	next.answer()
	for range 10 {
		if !f.Enter(netip.MustParseAddr("::ffff:192.0.2.1")) {
			t.Error("a trusted proxy has no place")
		}
	}
	_, _ = c.Close(), next.Close()
	f.wantNothingLeft()
}
