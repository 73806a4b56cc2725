package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/turnpike/internal/config"
)

// TestDefaultRooms: the page about tokens, to which README leads, says which rooms a token without rooms opens.
func TestDefaultRooms(t *testing.T) {
	file := filepath.Join(t.TempDir(), "turnpike.toml")
	const issuer = "[[auth.issuers]]\nname = \"app\"\nalgorithms = [\"HS256\"]\naudience = \"turnpike\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n"
	if err := os.WriteFile(file, []byte(issuer), 0o600); err != nil {
		t.Fatal(err)
	}
	var flags config.Flags
	cfg, err := flags.Load(func(name string) (string, bool) { return file, name == "TURNPIKE_CONFIG" }, nil)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	said := "`[\"" + strings.Join(cfg.Auth.Issuers[0].DefaultRooms, `", "`) + "\"]` if you set nothing"
	if !strings.Contains(string(page), said) {
		t.Errorf("configuration.md does not say that default_rooms is %s", said)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "one without `rooms` opens\n[every room, unless you say otherwise](docs/configuration.md#other-apps-tokens)") {
		t.Error("README.md does not lead to it")
	}
}
