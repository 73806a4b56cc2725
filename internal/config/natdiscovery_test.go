package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestDiscoveryConfig(t *testing.T) {
	const both = `"udp://192.0.2.1:3478", "udp://192.0.2.2:3478"`
	for name, row := range map[string]struct {
		listen, more string
		want         string // the added listeners, or the one error
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
		"a wildcard too":         {both + `, "udp://0.0.0.0:3478"`, "", `turn.listen[2]: "udp://0.0.0.0:3478" stands for every address, and turn.nat_discovery_port needs two in particular; write out two`},
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
		pairs := cfg.Discovery()
		added := cfg.DiscoveryListeners()
		words := make([]string, len(added))
		for i, l := range added {
			words[i] = l.String()
		}
		if got := strings.Join(words, " "); got != row.want {
			t.Errorf("%s: adds %q, want %q", name, got, row.want)
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
	}
}
