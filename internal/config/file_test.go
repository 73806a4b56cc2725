package config

import (
	"slices"
	"strings"
	"testing"
)

func FuzzConfigFile(f *testing.F) {
	f.Add("public_host = \"turn.example.org\"\nhttp.listen = [\":443\"]\n[turn]\nexternal_addresses = { \"10.0.0.5\" = \"203.0.113.9\" }\n")
	f.Add("turn = { listen = [\"udp://[::]:3478\"], relay_ports = \"1-2\" }\n[limits]\nsessions = 7\n[[auth.issuers]]\n")
	f.Add("[auth]\nissuers = [{ name = \"a\", algorithms = [\"EdDSA\"], audience = \"*\", key_file = \"a.pem\", leeway = \"1m\" }]\n")
	f.Add("[[auth.issuers]]\nname = \"b\"\nalgorithms = [\"ES256\"]\naudience = \"x\"\njwks_url = \"https://x/y\"\nrole_claim = \"\"\n")
	f.Add("[turn]\nrealm = \"a\\u0007b\"\nallow_peers = [\"10.0.0.0/99\"]\n")
	f.Fuzz(func(t *testing.T, data string) {
		cfg := Default("state")
		if bad := cfg.parse("fuzz.toml", data); len(bad) > 0 {
			for _, err := range bad {
				if s := err.Error(); !strings.HasPrefix(s, "fuzz.toml") {
					t.Errorf("%q does not say which file", s)
				}
			}
			return
		}
		var first, second strings.Builder
		cfg.sources, cfg.TURN.SharedSecrets, cfg.Auth.APIKeys = map[string]string{}, nil, nil
		cfg.Auth.Issuers = slices.DeleteFunc(cfg.Auth.Issuers, func(is Issuer) bool { return !is.Secret.IsZero() })
		if err := cfg.Print(&first); err != nil {
			t.Fatal(err)
		}
		again := Default("other")
		if bad := again.parse("printed.toml", first.String()); len(bad) > 0 {
			t.Fatalf("what was printed is refused: %v\n%s", bad, first.String())
		}
		again.sources = map[string]string{}
		if err := again.Print(&second); err != nil {
			t.Fatal(err)
		}
		if first.String() != second.String() {
			t.Errorf("printed, read and printed again it differs:\n%s\n%s", first.String(), second.String())
		}
	})
}
