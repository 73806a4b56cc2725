package config

import (
	"errors"
	"os"
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

// TestEmptyVariableIsTold: an empty variable that takes away what the file has is warned of, and another is not.
func TestEmptyVariableIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "turnpike.toml")
	if err := os.WriteFile(file, []byte("turn.realm = \"x\"\nturn.shared_secrets = [\"correct horse battery staple\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := Flags{file: file}
	cfg, err := flags.Load(func(name string) (string, bool) {
		return "", strings.HasPrefix(name, "TURNPIKE_") && name != "TURNPIKE_CONFIG"
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.Warnings(nil)
	want := "TURNPIKE_TURN_SHARED_SECRETS is empty, so turn.shared_secrets is too, although " + file + ":2 sets it; remove the variable if that is not meant"
	if len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestUnknownVariables(t *testing.T) {
	got := UnknownVariables([]string{"HOME=/", "TURNPIKE_TURN_REALM=x", "TURNPIKE_CONFIG=y", "TURNPIKE_SERVER=https://a", "TURNPIKE_TICKET=b", "TURNPIKE_INVITE=c", "TURNPIKE_TRUN_REALM=z"})
	if len(got) != 1 || got[0] != "TURNPIKE_TRUN_REALM is not a variable that turnpike reads; did you mean TURNPIKE_TURN_REALM?" {
		t.Errorf("got %q", got)
	}
}
