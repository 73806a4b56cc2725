package peerpolicy

import (
	"net/netip"
	"os"
	"strings"
	"testing"
)

// names are the reasons as testdata/denied.txt has them.
func names() []string {
	return []string{
		Allowed: "allowed", Unspecified: "unspecified", Loopback: "loopback", LinkLocal: "link_local", Private: "private",
		Multicast: "multicast", Reserved: "reserved", Configured: "configured",
	}
}

// deniedPeers are the addresses of testdata/denied.txt, with the reason.
func deniedPeers(t testing.TB) map[string]string {
	t.Helper()
	list, err := os.ReadFile("testdata/denied.txt")
	if err != nil {
		t.Fatal(err)
	}
	denied := make(map[string]string)
	for line := range strings.Lines(string(list)) {
		line, _, _ = strings.Cut(line, "#")
		switch words := strings.Fields(line); len(words) {
		case 0:
		case 2:
			denied[words[0]] = words[1]
		default:
			t.Fatalf("testdata/denied.txt: %q", line)
		}
	}
	if len(denied) < 55 {
		t.Fatalf("testdata/denied.txt has %d addresses", len(denied))
	}
	return denied
}

// openPeers are public, and so allowed.
func openPeers() []string {
	return []string{
		"1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "192.167.255.255",
		"192.169.0.0", "169.253.255.255", "169.255.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "192.0.1.1", "198.17.255.255", "198.20.0.0",
		"2606:4700:4700::1111", "2a00::1", "2001:4860:4860::8888", "2001:200::1", "64:ff9b::1.1.1.1", "2002:101:101::1", "2001:0:101:101::fefe:fefe",
		"2606::5efe:1.1.1.1", "fbff::1", "fe00::1", "2001:db7::1", "2001:db9::1",
	}
}

func TestDefaultPolicy(t *testing.T) {
	p := New(nil, nil)
	for ip, want := range deniedPeers(t) {
		if why := p.Judge(netip.MustParseAddr(ip)); names()[why] != want {
			t.Errorf("%s: judged %s, want %s", ip, names()[why], want)
		}
	}
	if why := p.Judge(netip.IPv6Loopback()); why != Loopback {
		t.Errorf("::1: judged %s", names()[why])
	}
	for _, ip := range openPeers() {
		if why := p.Judge(netip.MustParseAddr(ip)); why != Allowed {
			t.Errorf("%s is denied as %s", ip, names()[why])
		}
	}
}

// TestConfiguredPolicy: deny wins, at whatever length its prefix is, and neither list is fooled by an address's form.
func TestConfiguredPolicy(t *testing.T) {
	for _, row := range []struct {
		allow, deny, ip string
		want            bool
	}{
		{"10.0.0.0/8", "", "10.1.2.3", true},
		{"10.0.0.0/8", "", "11.1.2.3", true},
		{"10.0.0.0/8", "", "192.168.0.1", false},
		{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", false},
		{"10.0.0.0/8", "10.1.0.0/16", "10.2.2.3", true},
		{"10.1.2.3/32", "10.0.0.0/8", "10.1.2.3", false},
		{"", "1.1.1.0/24", "1.1.1.1", false},
		{"", "1.1.1.0/24", "64:ff9b::1.1.1.1", false},
		{"", "1.1.1.0/24", "2002:101:101::1", false},
		{"", "1.1.1.0/24", "::ffff:1.1.1.1", false},
		{"", "::ffff:1.1.1.0/120", "1.1.1.1", false}, // a prefix in mapped form means the same
		{"::ffff:10.0.0.0/104", "", "10.1.2.3", true},
		{"", "2606::/16", "2606:4700::1", false},
		{"fd00::/8", "", "fd00::1", true},
		{"fd00::/8", "", "fc00::1", false},
		{"64:ff9b::/96", "", "64:ff9b::10.0.0.1", false}, // the inner address is judged, too
		{"10.0.0.0/8", "", "64:ff9b::10.0.0.1", true},
		{"::1/128", "", "::1", true},
		{"127.0.0.0/8", "", "127.0.0.2", true},
		{"169.254.0.0/16", "169.254.169.254/32", "169.254.169.254", false},
		{"0.0.0.0/0", "0.0.0.0/0", "8.8.8.8", false},
	} {
		p := New(prefixes(row.allow), prefixes(row.deny))
		if got := p.Judge(netip.MustParseAddr(row.ip)) == Allowed; got != row.want {
			t.Errorf("allow %q, deny %q: %s allowed %v, want %v", row.allow, row.deny, row.ip, got, row.want)
		}
	}
}

// TestNames: an address is named by a prefix of its own, not by a range, and not if it is denied all the same.
func TestNames(t *testing.T) {
	for _, row := range []struct {
		allow, deny, ip string
		want            bool
	}{
		{"8.8.8.8/32", "", "8.8.8.8", true},
		{"8.8.8.8/32", "", "::ffff:8.8.8.8", true},
		{"::ffff:8.8.8.8/128", "", "8.8.8.8", true},
		{"10.0.0.5/32", "", "10.0.0.5", true},
		{"8.8.8.8/32", "", "8.8.8.9", false},
		{"8.8.8.8/31", "", "8.8.8.8", false},
		{"0.0.0.0/0", "", "8.8.8.8", false},
		{"", "", "8.8.8.8", false},
		{"8.8.8.8/32", "8.8.8.0/24", "8.8.8.8", false},
		{"2606::1/128", "", "2606::1", true},
		{"2606::1/127", "", "2606::1", false},
		{"64:ff9b::10.0.0.5/128", "", "64:ff9b::10.0.0.5", false}, // the inner address is judged, too
	} {
		if got := New(prefixes(row.allow), prefixes(row.deny)).Names(netip.MustParseAddr(row.ip)); got != row.want {
			t.Errorf("allow %q, deny %q: %s is named %v, want %v", row.allow, row.deny, row.ip, got, row.want)
		}
	}
}

func prefixes(s string) []netip.Prefix {
	if s == "" {
		return nil
	}
	return []netip.Prefix{netip.MustParsePrefix(s)}
}

// TestAddresses: an address of the set is found in every form that could reach it.
func TestAddresses(t *testing.T) {
	own := make(Addresses)
	for _, ip := range []string{"127.0.0.1", "::ffff:198.51.100.7", "fe80::1%eth0"} {
		own.Add(netip.MustParseAddr(ip))
	}
	for ip, want := range map[string]bool{
		"127.0.0.1": true, "::ffff:127.0.0.1": true, "64:ff9b::127.0.0.1": true, "::127.0.0.1": true, "2002:7f00:1::": true,
		"198.51.100.7": true, "fe80::1": true, "fe80::1%lo": true,
		"127.0.0.2": false, "64:ff9b::127.0.0.2": false, "::1": false, "fe80::2": false,
	} {
		if got := own.Reaches(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v, want %v", ip, got, want)
		}
	}
}

// FuzzPolicy: an IPv4 address that is denied stays so in every IPv6 address that carries it, and configured ranges are
// obeyed.
func FuzzPolicy(f *testing.F) {
	for ip := range deniedPeers(f) {
		b := netip.MustParseAddr(ip).As16()
		f.Add(b[:], uint8(128))
	}
	for _, ip := range openPeers() {
		b := netip.MustParseAddr(ip).As16()
		f.Add(b[:], uint8(100))
	}
	plain, none := New(nil, nil), netip.Addr{}
	f.Fuzz(func(t *testing.T, raw []byte, bits uint8) {
		if len(raw) != 16 {
			return
		}
		ip := canonical(netip.AddrFrom16([16]byte(raw)))
		ok := plain.Judge(ip) == Allowed
		if special := ip.IsLoopback() || ip.IsPrivate() || ip.IsMulticast() || ip.IsUnspecified() || ip.IsLinkLocalUnicast(); special && ok {
			t.Fatalf("%v is allowed", ip)
		}
		for _, form := range carriersOf(ip) {
			if plain.Judge(form) == Allowed && !ok {
				t.Errorf("%v is denied, but %v is not", ip, form)
			}
		}
		around := netip.PrefixFrom(ip, min(int(bits), ip.BitLen()))
		if why := New([]netip.Prefix{around}, []netip.Prefix{around}).Judge(ip); why != Configured {
			t.Errorf("%v is in deny_peers, but judged %s", ip, names()[why])
		}
		if embedded, n := embeddedIPv4(ip); n == 0 {
			if New([]netip.Prefix{around}, nil).Judge(ip) != Allowed {
				t.Errorf("%v is in allow_peers, but denied", ip)
			}
		} else if embedded[0] == none {
			t.Errorf("%v carries an address that is none", ip)
		}
	})
}

// carriersOf lists IPv6 addresses through which a network might deliver to an IPv4 address.
func carriersOf(ip netip.Addr) (out []netip.Addr) {
	if !ip.Is4() {
		return nil
	}
	v4 := ip.As4()
	put := func(prefix string, at int) {
		b := netip.MustParseAddr(prefix).As16()
		copy(b[at:], v4[:])
		out = append(out, netip.AddrFrom16(b))
	}
	put("64:ff9b::", 12)
	put("::ffff:0:0:0", 12)
	put("2002::1:2:3", 2)
	put("2606::5efe:0:0", 12)
	put("2606::200:5efe:0:0", 12)
	put("2001:0::fefe:fefe", 4) // Teredo's server
	if b := ip.As4(); b[0]|b[1]|b[2]|b[3] != 0 && ip != netip.AddrFrom4([4]byte{0, 0, 0, 1}) {
		put("::", 12)
	}
	for i := range v4 {
		v4[i] = ^v4[i]
	}
	put("2001:0:101:101::", 12) // Teredo's client
	return out
}
