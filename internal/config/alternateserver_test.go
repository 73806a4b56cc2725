package config

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAlternateServerConfig(t *testing.T) {
	for name, row := range map[string]struct {
		text string // of [turn]
		want string // the error; empty: none
	}{
		"one":                               {`alternate_server = ["203.0.113.20:3478"]`, ""},
		"of each kind":                      {`alternate_server = ["203.0.113.20:3478", "[2001:db8::20]:3478", "tls://203.0.113.20:443", "tls://[2001:db8::20]:443"]`, ""},
		"with a name":                       {"alternate_server = [\"tls://203.0.113.20:443\"]\nalternate_domain = \"turn2.example.org\"", ""},
		"on this machine, but another port": {`alternate_server = ["127.0.0.1:3479"]`, ""},

		"a name":               {`alternate_server = ["turn2.example.org:3478"]`, `turn.alternate_server[0]: "turn2.example.org:3478" is not the address of another server; write it like "203.0.113.20:3478", or "tls://203.0.113.20:5349" for clients on TLS`},
		"without a port":       {`alternate_server = ["203.0.113.20"]`, "is not the address of another server"},
		"port 0":               {`alternate_server = ["203.0.113.20:0"]`, "is not the address of another server"},
		"nobody's":             {`alternate_server = ["0.0.0.0:3478"]`, "is not the address of another server"},
		"everybody's":          {`alternate_server = ["224.0.0.1:3478"]`, "is not the address of another server"},
		"link-local":           {`alternate_server = ["[fe80::1%eth0]:3478"]`, "is not the address of another server"},
		"two of a family":      {`alternate_server = ["203.0.113.20:3478", "203.0.113.21:3478"]`, `turn.alternate_server[1]: "203.0.113.21:3478" is for the same clients as "203.0.113.20:3478"`},
		"mapped":               {`alternate_server = ["203.0.113.20:3478", "[::ffff:203.0.113.21]:3478"]`, `"203.0.113.21:3478" is for the same clients as`},
		"this one":             {"listen = [\"udp://203.0.113.9:3478\"]\nalternate_server = [\"203.0.113.9:3478\"]", `turn.alternate_server[0]: "203.0.113.9:3478" leads to this server's own listener "udp://203.0.113.9:3478"; name another server`},
		"this one by loopback": {`alternate_server = ["[::1]:3478"]`, `leads to this server's own listener "udp://[::]:3478"`},
		"where it relays from": {"relay_addresses = [\"203.0.113.9\"]\nalternate_server = [\"203.0.113.9:3478\"]", `leads to this server's own listener "udp://0.0.0.0:3478"`},
		"seen from outside": {"relay_addresses = [\"10.0.0.5\"]\nexternal_addresses = { \"10.0.0.5\" = \"203.0.113.9\" }\nlisten = [\"udp://10.0.0.5:3478\"]\n" +
			"alternate_server = [\"tls://203.0.113.9:3478\"]", `"tls://203.0.113.9:3478" leads to this server's own listener "udp://10.0.0.5:3478"`},
		"a name without TLS": {"alternate_server = [\"203.0.113.20:443\"]\nalternate_domain = \"turn2.example.org\"", `turn.alternate_domain: is the name in a certificate, but turn.alternate_server has no tls:// address`},
	} {
		_, err := parsed(t, "[turn]\n"+row.text+"\n")
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}

// TestAlternateServerIsAnother: addresses that only the start finds out count as this server's, too.
func TestAlternateServerIsAnother(t *testing.T) {
	cfg, err := parsed(t, "[turn]\nalternate_server = [\"192.0.2.7:3478\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	own := []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	if bad := cfg.CheckAlternates(own); len(bad) != 1 || !strings.Contains(bad[0].Error(), "own listener") {
		t.Errorf("%v", bad)
	}
	if bad := cfg.CheckAlternates([]netip.Addr{netip.MustParseAddr("192.0.2.8")}); len(bad) != 0 {
		t.Errorf("%v", bad)
	}
}
