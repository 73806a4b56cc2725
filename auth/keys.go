package auth

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Keys are the long-term keys of one password, one for each password algorithm
// that STUN has (RFC 8489 §18.5.1): they are the same credential. They print as
// "[redacted]".
type Keys struct {
	MD5    [md5.Size]byte
	SHA256 [sha256.Size]byte
}

// longTermKeys makes the keys of "username:realm:password".
func longTermKeys(text []byte) Keys {
	return Keys{MD5: md5.Sum(text), SHA256: sha256.Sum256(text)}
}

// Equal reports whether both are of the same username, realm and password, in
// a time that says nothing of where they differ.
func (k *Keys) Equal(other *Keys) bool {
	return subtle.ConstantTimeCompare(k.MD5[:], other.MD5[:])&subtle.ConstantTimeCompare(k.SHA256[:], other.SHA256[:]) == 1
}

// Format keeps the keys out of logs, whatever the verb.
func (Keys) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (Keys) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (Keys) LogValue() slog.Value         { return slog.StringValue(redacted) }
