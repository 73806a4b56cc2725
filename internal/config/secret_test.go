package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shown = "correct horse battery staple"

// leaks looks for the secret in a text, in the forms that Go's printers give it.
func leaks(printed string) bool {
	key := []byte(shown)
	for _, form := range []string{
		shown, fmt.Sprintf("%x", key), fmt.Sprintf("%X", key),
		strings.Trim(fmt.Sprint(key), "[]"), strings.TrimSuffix(fmt.Sprintf("%#v", key), "}")[len("[]byte{"):],
	} {
		if strings.Contains(printed, form) {
			return true
		}
	}
	return false
}

// printings returns v as everything that might print it prints it.
func printings(t *testing.T, v any) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%T", "%y"} {
		out["fmt "+verb] = fmt.Sprintf(verb, v)
	}
	out["fmt.Sprint"] = fmt.Sprint(v)
	out["error %v"] = fmt.Errorf("wrapped: %v", v).Error()
	var text, jsons bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).With("with", v).Info("m", "v", v, slog.Group("g", "v", v))
	slog.New(slog.NewJSONHandler(&jsons, nil)).With("with", v).Info("m", "v", v, slog.Group("g", "v", v))
	out["slog text"], out["slog json"] = text.String(), jsons.String()
	return out
}

func TestSecretIsRedacted(t *testing.T) {
	s := NewSecret(shown)
	type hidden struct {
		name   string
		secret Secret // Unexported: fmt does not ask its methods.
		list   []Secret
	}
	cfg := Default("state")
	cfg.TURN.SharedSecrets = []Secret{s}
	cfg.Auth.Issuers = []Issuer{{Secret: s}}
	for name, v := range map[string]any{
		"secret":  s,
		"pointer": &s,
		"slice":   []Secret{s},
		"map":     map[string]Secret{"k": s},
		"field":   struct{ Key Secret }{s},
		"hidden":  hidden{"n", s, []Secret{s}},
		"hidden+": &hidden{"n", s, []Secret{s}},
		"any":     []any{s, &s},
		"Config":  cfg,
	} {
		printed := printings(t, v)
		if name != "Config" { // json refuses its map of addresses
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			printed["json"] = string(data)
		}
		for how, text := range printed {
			if leaks(text) {
				t.Errorf("%s through %s shows the secret: %s", name, how, text)
			}
			if name == "secret" && how != "fmt %T" && !strings.Contains(text, redacted) {
				t.Errorf("%s through %s does not say that it is redacted: %s", name, how, text)
			}
		}
	}
}

// TestLeaksFindsLeaks holds that the test above is able to fail.
func TestLeaksFindsLeaks(t *testing.T) {
	for how, text := range printings(t, struct{ key []byte }{[]byte(shown)}) {
		switch how {
		case "fmt %T", "fmt %c", "fmt %q", "fmt %#v", "fmt %y", "slog json": // Forms that leaks does not know, or no form at all.
		default:
			if !leaks(text) {
				t.Errorf("%s: the secret is not found in %s", how, text)
			}
		}
	}
}

func TestSecretHoldsItsText(t *testing.T) {
	s := NewSecret("key")
	s.Bytes()[0] = 'X'
	if string(s.Bytes()) != "key" {
		t.Errorf("the secret is %q", s.Bytes())
	}
	if s.IsZero() || !(Secret{}).IsZero() || !NewSecret("").IsZero() || (Secret{}).Bytes() != nil {
		t.Error("IsZero is wrong, or the zero secret has bytes")
	}
}

// TestCredential: secrets that systemd hands over count, a variable wins over them, and what is wrong with them is told without them.
func TestCredential(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := t.TempDir()
	const first, second, other = "the-first-secret-of-all", "the-second-secret-of-all", "the-secret-of-a-variable"
	write := func(key, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, key), []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	write("turn.shared_secrets", first+"\n"+second+"\n")
	write("auth.api_keys", first)
	environment := map[string]string{"CREDENTIALS_DIRECTORY": dir, "TURNPIKE_AUTH_API_KEYS": other}
	load := func() (*Config, error) {
		var flags Flags
		flags.Register(flag.NewFlagSet("", flag.ContinueOnError))
		return flags.Load(func(name string) (string, bool) { v, ok := environment[name]; return v, ok }, nil)
	}
	c, err := load()
	if err != nil || len(c.TURN.SharedSecrets) != 2 || string(c.TURN.SharedSecrets[1].Bytes()) != second || len(c.Auth.APIKeys) != 1 || string(c.Auth.APIKeys[0].Bytes()) != other {
		t.Errorf("%v %d %d", err, len(c.TURN.SharedSecrets), len(c.Auth.APIKeys))
	}
	if got := c.Source("turn.shared_secrets"); got != filepath.Join(dir, "turn.shared_secrets") {
		t.Errorf("it came from %s", got)
	}
	dir = t.TempDir()
	environment["CREDENTIALS_DIRECTORY"] = dir
	write("turn.shared_secrets", "short")
	if _, err := load(); err == nil || strings.Contains(err.Error(), "\"short\"") || !strings.Contains(err.Error(), "turn.shared_secrets[0]: the secret is shorter") {
		t.Error(err)
	}
}
