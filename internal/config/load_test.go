package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// parsed reads and checks the text of a file.
func parsed(t *testing.T, text string) (*Config, error) {
	t.Helper()
	cfg := Default(filepath.Join(t.TempDir(), "state"))
	bad := cfg.parse("turnpike.toml", text)
	if len(bad) == 0 {
		bad = cfg.check()
	}
	return cfg, errors.Join(bad...)
}

func TestUnknownVariables(t *testing.T) {
	got := UnknownVariables([]string{"HOME=/", "TURNPIKE_TURN_REALM=x", "TURNPIKE_CONFIG=y", "TURNPIKE_TRUN_REALM=z"})
	if len(got) != 1 || !strings.HasPrefix(got[0], "TURNPIKE_TRUN_REALM is not") {
		t.Errorf("got %q", got)
	}
}
