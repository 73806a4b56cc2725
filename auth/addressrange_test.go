package auth

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestAddressRanges(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":          "[{192.0.2.1/32 1}]",
		"::ffff:192.0.2.1":   "[{192.0.2.1/32 1}]",
		"2001:db8:1:203::4":  "[{2001:db8:1:203::/64 1} {2001:db8:1:200::/56 4} {2001:db8:1::/48 16}]",
		"fe80::1:2:3:4%eth0": "[{fe80::/64 1} {fe80::/56 4} {fe80::/48 16}]",
	} {
		if got := fmt.Sprint(AddressRanges(netip.MustParseAddr(addr))); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
	if got := AddressRanges(netip.Addr{}); len(got) != 1 || got[0].Prefix.IsValid() {
		t.Errorf("no address: got %v", got)
	}
}
