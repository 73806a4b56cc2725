package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{
		"turnpike.toml": "turnpike.toml", "/etc/turn pike/a.toml": "'/etc/turn pike/a.toml'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'",
	} {
		if got := ShellWord(word); got != want {
			t.Errorf("%q is %s, want %s", word, got, want)
		}
	}
}

// TestInviteCommand: the command names what it needs to find the server's state, and what makes its link.
func TestInviteCommand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "turnpike.toml")
	if err := os.WriteFile(file, []byte("public_host = \"turn.example.org\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for name, test := range map[string]struct {
		file  string
		flags map[string]string
		env   map[string]string
		want  string
	}{
		"a file":            {file, nil, nil, "--config " + file},
		"here":              {"", nil, nil, "--config " + file},
		"a relative file":   {"turnpike.toml", nil, nil, "--config " + file},
		"state by flag":     {file, map[string]string{"state_dir": "x y"}, nil, "--config " + file + " --state '" + dir + "/x y'"},
		"state by variable": {file, nil, map[string]string{"TURNPIKE_STATE_DIR": "/v"}, "--config " + file + " --state /v"},
		"state by systemd":  {file, nil, map[string]string{"STATE_DIRECTORY": "/v"}, "--config " + file + " --state /v"},
		"the host by flag":  {file, map[string]string{"public_host": "x.example.org"}, nil, "--config " + file + " --public-host x.example.org"},
		"a port by variable": {file, nil, map[string]string{"TURNPIKE_HTTP_LISTEN": ":8443", "TURNPIKE_TURN_REALM": "x"},
			"--config " + file + " --http-listen :8443"},
	} {
		t.Run(name, func(t *testing.T) {
			flags := Flags{file: test.file, set: map[string][]string{}, names: map[string]string{}}
			for key, value := range test.flags {
				flags.set[key], flags.names[key] = []string{value}, "--"+key
			}
			cfg, err := flags.Load(func(name string) (string, bool) { v, ok := test.env[name]; return v, ok }, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.inviteCommand(cfg.HTTP.Listen); got != "turnpike invite --room NAME "+test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}
