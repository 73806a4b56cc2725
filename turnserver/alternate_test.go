package turnserver

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v3"
)

func alternates(change func(*Config)) func(*Config) {
	return func(cfg *Config) {
		cfg.Alternates = []Alternate{
			{Addr: netip.MustParseAddrPort("9.9.9.9:3478")},
			{Addr: netip.MustParseAddrPort("[2620:fe::fe]:3479")},
			{Addr: netip.MustParseAddrPort("9.9.9.10:443"), Secured: true},
			{Addr: netip.MustParseAddrPort("[2620:fe::9]:5349"), Secured: true},
		}
		cfg.AlternateDomain = "other.example.org"
		if change != nil {
			change(cfg)
		}
	}
}

// alternatesIn reads each ALTERNATE-SERVER of an answer, in order, with pion's code.
func alternatesIn(t testing.TB, m *stun.Message) (out []netip.AddrPort) {
	t.Helper()
	for _, a := range m.Attributes {
		if a.Type != stun.AttrAlternateServer {
			continue
		}
		alone := new(stun.Message)
		alone.Add(a.Type, a.Value)
		var read stun.AlternateServer
		if err := read.GetFrom(alone); err != nil {
			t.Fatal(err)
		}
		ip, _ := netip.AddrFromSlice(read.IP)
		out = append(out, netip.AddrPortFrom(ip.Unmap(), uint16(read.Port)))
	}
	return out
}

// TestAlternateServer: a draining server sends clients that may have a relay elsewhere, first to an address of the
// family by which they came (RFC 8489 §10). It goes on serving its own relays.
func TestAlternateServer(t *testing.T) {
	for _, ip := range []netip.Addr{loopback, netip.IPv6Loopback()} {
		t.Run(ip.String(), func(t *testing.T) {
			listenAt(t, ip) // or skip
			onEach(t, func(t *testing.T, network string) { redirect(t, ip, network) })
		})
	}
}

func redirect(t *testing.T, ip netip.Addr, network string) {
	s := startServer(t, alternates(func(cfg *Config) {
		for i := range cfg.Listen {
			cfg.Listen[i].Addr = netip.AddrPortFrom(ip, 0)
		}
	}))
	stays, comes := dialREST(t, s, network, "alice"), dialREST(t, s, network, "bob")
	stays.allocate()
	s.Drain()
	comes.wantCode(comes.roundTrip(comes.build(stun.MethodAllocate, transport(transportUDP))), 401)
	comes.refuse(442, stun.MethodAllocate, transport(132))
	res := comes.refuse(300, stun.MethodAllocate, transport(transportUDP)) // whose signature it checks
	want := []netip.AddrPort{netip.MustParseAddrPort("9.9.9.9:3478"), netip.MustParseAddrPort("[2620:fe::fe]:3479")}
	name := ""
	if network == "tls" || network == "dtls" {
		want = []netip.AddrPort{netip.MustParseAddrPort("9.9.9.10:443"), netip.MustParseAddrPort("[2620:fe::9]:5349")}
		name = "other.example.org"
	}
	if ip.Is6() {
		slices.Reverse(want)
	}
	domain, _ := res.Get(stun.AttrAlternateDomain) // only clients that use TLS need the name in the certificate
	if got := alternatesIn(t, res); !slices.Equal(got, want) || string(domain) != name {
		t.Errorf("sent to %v, %q, want %v, %q", got, domain, want, name)
	}
	if s.Allocations() != 1 || counterOf(t, s, "error_responses", "300") != 1 {
		t.Errorf("%d allocations, %d redirections", s.Allocations(), counterOf(t, s, "error_responses", "300"))
	}
	stays.accept(stun.MethodRefresh, lifetime(700))
	stays.refuse(437, stun.MethodAllocate, transport(transportUDP))
}

// TestAlternateServerOfOneFamily: without an address of its family a client is refused as if there were no other
// server.
func TestAlternateServerOfOneFamily(t *testing.T) {
	for name, row := range map[string]struct {
		network    string
		alternates []Alternate
		want       int
	}{
		"none":             {"udp", nil, 508},
		"IPv6":             {"udp", []Alternate{{Addr: netip.MustParseAddrPort("[2620:fe::fe]:3478")}}, 508},
		"TLS":              {"udp", []Alternate{{Addr: netip.MustParseAddrPort("9.9.9.9:443"), Secured: true}}, 508},
		"IPv4":             {"udp", []Alternate{{Addr: netip.MustParseAddrPort("9.9.9.9:3478")}}, 300},
		"no TLS":           {"tls", []Alternate{{Addr: netip.MustParseAddrPort("9.9.9.9:3478")}}, 508},
		"IPv4-mapped IPv6": {"udp", []Alternate{{Addr: netip.MustParseAddrPort("[::ffff:9.9.9.9]:3478")}}, 300},
	} {
		s := startServer(t, func(cfg *Config) { cfg.Alternates = row.alternates })
		s.Drain()
		c := dialREST(t, s, row.network, "alice")
		res := c.refuse(row.want, stun.MethodAllocate, transport(transportUDP))
		if got := alternatesIn(t, res); row.want == 300 && !slices.Equal(got, []netip.AddrPort{netip.MustParseAddrPort("9.9.9.9:3478")}) {
			t.Errorf("%s: sent to %v", name, got)
		}
	}
}
