package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
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
