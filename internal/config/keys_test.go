package config

import (
	"strings"
	"testing"
)

func TestKeysHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]string{"config": "--config", "state": "--state"}
	for _, k := range new(Config).keys() {
		for _, name := range []string{k.flag(), k.env()} {
			if other := seen[name]; other != "" {
				t.Errorf("%s and %s are both %s", k.name, other, name)
			}
			seen[name] = k.name
		}
		if k.help == "" {
			t.Errorf("%s has no help", k.name)
		}
	}
}

// TestSecretKeysRedact holds that a key marked secret never prints its value.
func TestSecretKeysRedact(t *testing.T) {
	cfg := Default("state")
	cfg.TURN.SharedSecrets = []Secret{NewSecret("correcthorsebatterystaple")}
	for _, k := range cfg.keys() {
		if k.secret && strings.Contains(k.value.String(), "correcthorse") {
			t.Errorf("%s prints its secret", k.name)
		}
	}
}
