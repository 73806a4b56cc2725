package config

import (
	"fmt"
	"io"
	"log/slog"
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
	if len(s) < minSharedSecret {
		return Secret{}, fmt.Errorf("the secret is shorter than %d characters; make one with: openssl rand -hex 32", minSharedSecret)
	}
	return NewSecret(s), nil
}
