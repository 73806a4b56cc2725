package config

import "testing"

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{
		"turnpike.toml": "turnpike.toml", "/etc/turn pike/a.toml": "'/etc/turn pike/a.toml'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'",
	} {
		if got := ShellWord(word); got != want {
			t.Errorf("%q is %s, want %s", word, got, want)
		}
	}
}
