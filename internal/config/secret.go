package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

const redacted = "[redacted]"

// Secret is a secret that the configuration holds. However it is printed, logged or marshalled, it shows as
// "[redacted]". The zero Secret holds nothing.
type Secret struct {
	// text is behind a function, because fmt prints an unexported field of a struct without asking its methods.
	text func() string
}

// NewSecret makes a secret of s. An empty s makes the zero Secret.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{text: func() string { return s }}
}

// Bytes returns a copy of the secret itself. The caller must not print it.
func (s Secret) Bytes() []byte {
	if s.text == nil {
		return nil
	}
	return []byte(s.text())
}

// IsZero reports whether s holds nothing.
func (s Secret) IsZero() bool { return s.text == nil }

func (Secret) String() string   { return redacted }
func (Secret) GoString() string { return redacted }

// Format covers the verbs that do not ask String, such as %x and %d.
func (Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }

// minSharedSecret keeps out secrets that an observer of one username and password could guess.
const minSharedSecret = 16

// parseSecret never repeats what it was given, not even in an error.
func parseSecret(s string) (Secret, error) {
	if s == redacted {
		return Secret{}, fmt.Errorf("is only the placeholder that \"turnpike config\" prints; write the secret itself")
	}
	if len(s) < minSharedSecret {
		return Secret{}, fmt.Errorf("the secret is shorter than %d characters; make one with: openssl rand -hex 32", minSharedSecret)
	}
	return NewSecret(s), nil
}

// secretList is a list of secrets. As secrets may have commas, its text has other forms than that of other lists.
type secretList struct{ list[Secret] }

func newSecretList(p *[]Secret) secretList {
	return secretList{list[Secret]{p, parseSecret, Secret.String, "a long random string"}}
}

func (v secretList) fromText(s string) error {
	words, err := splitSecrets(s)
	if err != nil {
		return err
	}
	return v.set(words)
}

// splitSecrets reads secrets with lines between, or as the file has them: ["one", "two"]. Commas separate them only where
// every part looks generated. Where every part is too short for a secret, the commas belong to a single one.
func splitSecrets(s string) ([]string, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, `["`) && strings.HasSuffix(s, `"]`) {
		var table struct{ Secrets []string }
		if _, err := toml.Decode("secrets = "+s, &table); err != nil {
			return nil, errors.New("is not a list; write it like [\"a long random string\"]") // the error of the parser quotes it
		}
		return table.Secrets, nil
	}
	if strings.Contains(s, "\n") {
		return words(s, "\n"), nil
	}
	parts := words(s, ",")
	short := func(part string) bool { return len(part) < minSharedSecret }
	switch {
	case !strings.Contains(s, ",") || !slices.ContainsFunc(parts, func(part string) bool { return !short(part) }):
		return words(s, "\n"), nil
	case slices.ContainsFunc(parts, func(part string) bool { return short(part) || !generated(part) }):
		return nil, errors.New(`has a comma, so it may be one secret or several; write it as in the file: ["a long random string"], or each secret on a line`)
	}
	return parts, nil
}

// generated reports whether s is of hexadecimal or base64 digits, as of openssl rand.
func generated(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=") == ""
}
