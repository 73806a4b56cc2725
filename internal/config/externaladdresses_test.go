package config

import (
	"net/netip"
	"strings"
	"testing"
)

func TestExternalAddresses(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"an address":         {`{ "10.0.0.5" = "203.0.113.9" }`, ""},
		"a name":             {`{ "10.0.0.5" = "home.example.org" }`, ""},
		"any address":        {`{ "0.0.0.0" = "203.0.113.9", "::" = "home.example.org" }`, ""},
		"a short name":       {`{ "0.0.0.0" = "gateway" }`, ""},
		"a mistyped address": {`{ "10.0.0.5" = "203.0.113.900" }`, `turnpike.toml:1: turn.external_addresses."10.0.0.5": "203.0.113.900" is not an IP address`},
		"a URL":              {`{ "10.0.0.5" = "http://home.example.org" }`, `or a name that has one, like "home.example.org"`},
		"an empty label":     {`{ "10.0.0.5" = "home..org" }`, `is not an IP address`},
		"the other family":   {`{ "::" = "203.0.113.9" }`, `"203.0.113.9" is of the other address family`},
		"a name on the left": {`{ "home.example.org" = "203.0.113.9" }`, `"home.example.org" is not an IP address`},
	} {
		cfg, err := parsed(t, "turn.external_addresses = "+row.text+"\n")
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
		if name != "any address" {
			continue
		}
		if v := (addrPairs{&cfg.TURN.ExternalAddresses, &cfg.TURN.ExternalNames}); v.String() != `{ "0.0.0.0" = "203.0.113.9", "::" = "home.example.org" }` {
			t.Errorf("printed as %v", v)
		}
		if got := cfg.Externals(); len(got) != 2 || got[0] != netip.IPv4Unspecified() {
			t.Errorf("the left sides are %v", got)
		}
	}
}

// TestExternalNamesAndOthers: a row for any address goes with relay_addresses, and a name does not go with an address
// that NAT discovery tells clients.
func TestExternalNamesAndOthers(t *testing.T) {
	if _, err := parsed(t, "turn.relay_addresses = [\"10.0.0.5\"]\nturn.external_addresses = { \"0.0.0.0\" = \"home.example.org\" }\n"); err != nil {
		t.Error(err)
	}
	_, err := parsed(t, "turn.relay_addresses = [\"10.0.0.5\"]\nturn.external_addresses = { \"10.0.0.6\" = \"home.example.org\" }\n")
	if err == nil || !strings.Contains(err.Error(), `"10.0.0.6" is not among turn.relay_addresses`) {
		t.Errorf("a row for an address that is not relayed from: %v", err)
	}
	_, err = parsed(t, "turn.listen = [\"udp://192.0.2.1:3478\", \"udp://192.0.2.2:3478\"]\nturn.nat_discovery_port = 3479\n"+
		"turn.external_addresses = { \"192.0.2.1\" = \"home.example.org\" }\n")
	if err == nil || !strings.Contains(err.Error(), "turn.nat_discovery_port needs an address that stays") {
		t.Errorf("a name for an address of NAT discovery: %v", err)
	}
}
