package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

// parsed is the configuration of a file, checked.
func parsed(t *testing.T, text string) (*Config, error) {
	t.Helper()
	cfg := defaultConfig(filepath.Join(t.TempDir(), "state"))
	bad := cfg.parse("turnpike.toml", text)
	if len(bad) == 0 {
		bad = cfg.check()
	}
	return cfg, errors.Join(bad...)
}

func TestDiscoveryConfig(t *testing.T) {
	const both = `"udp://192.0.2.1:3478", "udp://192.0.2.2:3478"`
	for name, row := range map[string]struct {
		listen, more string
		want         string // the listeners that it adds, or the one complaint
	}{
		"two addresses":         {both, "", "udp://192.0.2.1:3479 udp://192.0.2.2:3479"},
		"of each family":        {both + `, "udp://[2001:db8::1]:80", "udp://[2001:db8::2]:80"`, "", "udp://192.0.2.1:3479 udp://192.0.2.2:3479 udp://[2001:db8::1]:3479 udp://[2001:db8::2]:3479"},
		"the other family none": {both + `, "udp://[::]:3478", "tcp://0.0.0.0:3478"`, "", "udp://192.0.2.1:3479 udp://192.0.2.2:3479"},
		"behind 1:1 NAT": {both, `external_addresses = { "192.0.2.1" = "198.51.100.1", "192.0.2.2" = "198.51.100.2" }
			relay_addresses = ["192.0.2.1"]`, "udp://192.0.2.1:3479 udp://192.0.2.2:3479"},
		"off": {both, "nat_discovery_port = 0", ""},

		"one address":            {`"udp://192.0.2.1:3478", "tcp://192.0.2.2:3478"`, "", `turn.nat_discovery_port: needs two addresses of this machine in turn.listen`},
		"of two families":        {`"udp://192.0.2.1:3478", "udp://[2001:db8::1]:3478"`, "", `turn.nat_discovery_port: needs two addresses`},
		"wildcards":              {`"udp://0.0.0.0:3478", "udp://[::]:3478"`, "", `write them out instead of 0.0.0.0 or [::], like turn.listen = ["udp://203.0.113.9:3478", "udp://203.0.113.10:3478", `},
		"a wildcard too":         {both + `, "udp://0.0.0.0:3478"`, "", `turn.listen[2]: "udp://0.0.0.0:3478" is every address, of which turn.nat_discovery_port could not tell two apart; write out two`},
		"three":                  {`"tcp://192.0.2.1:3478", ` + both + `, "udp://127.0.0.1:3478"`, "", `turn.listen[3]: "udp://127.0.0.1:3478" is the third UDP listener of its family`},
		"two ports":              {`"udp://192.0.2.1:3478", "udp://192.0.2.2:3480"`, "", `turn.listen[1]: "udp://192.0.2.2:3480" has another port than "udp://192.0.2.1:3478", and turn.nat_discovery_port needs the same on both; write 3478`},
		"one address, two ports": {`"udp://192.0.2.1:3478", "udp://192.0.2.1:3480"`, "", `turn.listen[1]: "udp://192.0.2.1:3480" has the address of "udp://192.0.2.1:3478"`},
		"any port":               {`"udp://192.0.2.1:0", "udp://192.0.2.2:0"`, "", `turn.listen[0]: "udp://192.0.2.1:0" has no port of its own`},
		"the same port":          {`"udp://192.0.2.1:3479", "udp://192.0.2.2:3479"`, "", `turn.listen[0]: "udp://192.0.2.1:3479" has the port of turn.nat_discovery_port`},
		"no port":                {both, "nat_discovery_port = 65536", `turnpike.toml:5: turn.nat_discovery_port: 65536 is not a port; use one like 3479, or 0 for none`},
		"half behind NAT":        {both, `external_addresses = { "192.0.2.1" = "198.51.100.1" }`, `turn.external_addresses: has "192.0.2.1", but not "192.0.2.2", which turn.nat_discovery_port tells clients too`},
		"behind one address":     {both, `external_addresses = { "192.0.2.1" = "198.51.100.1", "192.0.2.2" = "198.51.100.1" }`, `turn.external_addresses: has "198.51.100.1" for both "192.0.2.1" and "192.0.2.2"`},
		"the other is the first": {both, `external_addresses = { "192.0.2.1" = "192.0.2.2" }`, `turn.external_addresses: has "192.0.2.1", but not "192.0.2.2"`},
	} {
		if !strings.Contains(row.more, "nat_discovery_port") {
			row.more = "nat_discovery_port = 3479\n" + row.more
		} else {
			row.more = "\n" + row.more
		}
		cfg, err := parsed(t, fmt.Sprintf("[turn]\n# \nlisten = [%s]\n%s\n", row.listen, row.more))
		if err != nil {
			if !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "turnpike.toml:") || row.want == "" {
				t.Errorf("%s: %v, want %s", name, err, row.want)
			}
			continue
		}
		pairs, _ := cfg.discovery()
		added := discoveryListeners(pairs)
		if got := strings.ReplaceAll(joinStrings(added), "  ", " "); got != row.want {
			t.Errorf("%s: adds %q, want %q", name, got, row.want)
		}
		if all := turnListeners(cfg); len(all) != len(cfg.TURN.Listen)+len(added) {
			t.Errorf("%s: listens on %v", name, all)
		}
		for _, p := range pairs {
			for i, local := range p.Local {
				want := local
				if external, ok := cfg.TURN.ExternalAddresses[local]; ok {
					want = external
				}
				if p.External[i] != want {
					t.Errorf("%s: %v is told as %v, want %v", name, local, p.External[i], want)
				}
			}
		}
		// What the configuration passes, the server takes.
		cfg.TURN.RelayAddresses = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		if _, err := newNode(cfg, 1, slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAlternateServerConfig(t *testing.T) {
	for name, row := range map[string]struct {
		text string // of [turn]
		want string // the complaint; empty: none
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
	if bad := cfg.checkAlternates(own); len(bad) != 1 || !strings.Contains(bad[0].Error(), "own listener") {
		t.Errorf("%v", bad)
	}
	if bad := cfg.checkAlternates([]netip.Addr{netip.MustParseAddr("192.0.2.8")}); len(bad) != 0 {
		t.Errorf("%v", bad)
	}
}
