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

func TestParsePorts(t *testing.T) {
	for text, want := range map[string]PortRange{"7882": {7882, 7882}, " 7882 ": {7882, 7882}, "50000-50100": {50000, 50100}, "65535": {65535, 65535}} {
		got, err := parsePorts(text)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
		if again, err := parsePorts(showPorts(got)); err != nil || again != want {
			t.Errorf("%q is shown as %q", text, showPorts(got))
		}
	}
	for _, text := range []string{"", "0", "65536", "-1", "a", "0-5", "9-8", "1-2-3"} {
		if got, err := parsePorts(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
