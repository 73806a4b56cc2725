package config

import (
	"strings"
	"testing"
)

func TestPublicPorts(t *testing.T) {
	const tls = "http.listen = [\"127.0.0.1:8443\"]\npublic_host = \"turn.example.org\"\ntls = { mode = \"files\", cert_file = \"a\", key_file = \"b\" }\n"
	for name, row := range map[string]struct{ text, want string }{
		"udp and tcp":       {`turn.public_ports = { "udp:3478" = 13478, "tcp:3478" = 13479 }`, ""},
		"https":             {tls + `turn.public_ports = { "tls:8443" = 443 }`, ""},
		"http":              {`turn.public_ports = { "tcp:8080" = 80 }`, ""},
		"https without TLS": {`turn.public_ports = { "tls:8080" = 443 }`, `turn.public_ports."tls:8080": is no port of turn.listen or http.listen`},
		"another port":      {`turn.public_ports = { "udp:3479" = 13478 }`, `turnpike.toml:1: turn.public_ports."udp:3479": is no port of turn.listen or http.listen`},
		"the other way":     {`turn.public_ports = { "udp:13478" = 3478 }`, `write the port of this server on the left`},
		"no network":        {`turn.public_ports = { "3478" = 13478 }`, `turn.public_ports."3478": "3478" is not a port of this server; write it like "udp:3478"`},
		"text":              {`turn.public_ports = { "udp:3478" = "13478" }`, `turn.public_ports."udp:3478": "13478" is not a port; write it like 13478, without quotes`},
		"no port":           {`turn.public_ports = { "udp:3478" = 70000 }`, `turn.public_ports."udp:3478": 70000 is not a port; use one from 1 to 65535`},
		"zero":              {`turn.public_ports = { "udp:3478" = 0 }`, `is not a port; use one from 1 to 65535`},
		"a list":            {`turn.public_ports = ["udp:3478"]`, `is not a table; write it like { "udp:3478" = 13478 }`},
		"NAT discovery": {"turn.listen = [\"udp://192.0.2.1:3478\", \"udp://192.0.2.2:3478\"]\nturn.nat_discovery_port = 3479\n" +
			`turn.public_ports = { "udp:3478" = 13478 }`, `turn.nat_discovery_port needs the same ports there`},
	} {
		cfg, err := parsed(t, row.text+"\n")
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
		if name == "https" {
			if got := cfg.PublicURL(cfg.HTTP.Listen); got != "https://turn.example.org" {
				t.Errorf("the public URL is %s", got)
			}
			if got := cfg.ListenerURL(cfg.HTTP.Listen[0]); got != "https://localhost:8443" {
				t.Errorf("the listener's URL is %s", got)
			}
		}
	}
}

// TestPublicPortsAsText: as a variable or a flag has them, and as they are printed.
func TestPublicPortsAsText(t *testing.T) {
	cfg := Default("state")
	v := portPairs{&cfg.TURN.PublicPorts}
	if err := v.fromText("udp:3478=13478, tcp:3478=13479"); err != nil || v.String() != `{ "tcp:3478" = 13479, "udp:3478" = 13478 }` {
		t.Errorf("%v, %v", v, err)
	}
	if cfg.PublicPort("udp", 3478) != 13478 || cfg.PublicPort("udp", 3479) != 3479 || cfg.PublicPort("tls", 3478) != 3478 {
		t.Error("the public port of a listener is another's")
	}
	if err := v.fromText(""); err != nil || v.String() != "{}" {
		t.Errorf("%v, %v", v, err)
	}
	if err := v.fromText("udp:3478"); err == nil {
		t.Error("half a pair is taken")
	}
}
