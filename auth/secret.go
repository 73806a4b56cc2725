package auth

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	redacted = "[redacted]"

	// secretBytes is the size of a generated secret and of a derived one.
	secretBytes = 32
)

// Secret is key material. However it is printed, logged or marshalled, it
// shows as "[redacted]". The zero Secret holds no key.
//
// The secret of a SecretFile changes when its file does, and what is derived from it
// changes too. So code that keeps something computed from a key must ask Bytes
// again: another slice says that the key has changed.
type Secret struct {
	// material is behind a function because of unexported fields in somebody's
	// struct: fmt prints those by reflection, without asking our methods, and
	// follows pointers for some verbs. Nil: the zero Secret.
	material func() *material
}

// material is what a Secret holds at a time. It does not change.
type material struct {
	key    []byte
	former []formerKey // Those that verify the longest first.
}

// formerKey is key material that was in use before. It verifies until a time, and
// signs nothing any more.
type formerKey struct {
	secret Secret
	until  time.Time
}

// Former returns the secrets in whose place this one came and that still verify,
// the newest first. They are derived as this one is.
func (s Secret) Former(now time.Time) []Secret {
	var out []Secret
	for _, former := range s.formerKeys() {
		if now.Before(former.until) {
			out = append(out, former.secret)
		}
	}
	return out
}

// formerKeys returns those that verify the longest first.
func (s Secret) formerKeys() []formerKey {
	if s.material == nil {
		return nil
	}
	return s.material().former
}

// withFormer adds former keys to a secret.
func (s Secret) withFormer(former []formerKey) Secret {
	if len(former) == 0 || s.material == nil {
		return s
	}
	return fixedSecret(&material{s.Bytes(), former})
}

func fixedSecret(m *material) Secret { return Secret{func() *material { return m }} }

// NewSecret copies b. An empty b makes the zero Secret.
func NewSecret(b []byte) Secret {
	if len(b) == 0 {
		return Secret{}
	}
	return ownSecret(bytes.Clone(b))
}

// ownSecret makes a secret that keeps key itself, not a copy.
func ownSecret(key []byte) Secret { return fixedSecret(&material{key: key}) }

// Bytes returns the key itself: the caller must not change it or print it.
func (s Secret) Bytes() []byte {
	if s.material == nil {
		return nil
	}
	return s.material().key
}

// IsZero reports whether s holds no key.
func (s Secret) IsZero() bool { return s.material == nil }

// Derive returns the key of 32 bytes that belongs to purpose (HKDF-SHA256,
// RFC 5869). Keys of different purposes are independent: a signature for one
// purpose never verifies for another. Derive panics if s is zero, because
// everybody could compute the result.
func (s Secret) Derive(purpose string) Secret {
	if s.IsZero() {
		panic("auth: a key derived from an empty secret would be no secret")
	}
	type derived struct{ of, is *material }
	var last atomic.Pointer[derived]
	current := func() *material {
		of := s.material()
		if known := last.Load(); known != nil && known.of == of {
			return known.is
		}
		d := &derived{of, of.derive(purpose)}
		last.Store(d)
		return d.is
	}
	current()
	return Secret{current}
}

func (m *material) derive(purpose string) *material {
	key, err := hkdf.Key(sha256.New, m.key, nil, purpose, secretBytes)
	if err != nil {
		panic("auth: hkdf: " + err.Error()) // Only FIPS 140 mode refuses, and only secrets under 14 bytes.
	}
	d := &material{key: key}
	for _, f := range m.former {
		d.former = append(d.former, formerKey{f.secret.Derive(purpose), f.until})
	}
	return d
}

func (Secret) String() string   { return redacted }
func (Secret) GoString() string { return redacted }

// Format covers the verbs that do not ask String, such as %x and %d.
func (Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }

// LoadOrCreateSecret reads the secret in the file at path, and the former ones
// that RotateSecret has put beside it. It creates a missing file with 32 bytes
// from rand, in hexadecimal, and a missing directory; only their owner may read
// them. Processes that race to create the file all return the winner's secret.
func LoadOrCreateSecret(path string, rand io.Reader) (Secret, error) {
	s, err := loadSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createSecret(path, rand); err != nil && !errors.Is(err, fs.ErrExist) {
			return Secret{}, fmt.Errorf("create secret: %w", err)
		}
		s, err = loadSecret(path) // Another process may have created the file.
	}
	if err != nil {
		return Secret{}, err
	}
	return besideFormer(path, s)
}

// LoadSecret is LoadOrCreateSecret that makes nothing. Its error is
// fs.ErrNotExist if there is no secret.
func LoadSecret(path string) (Secret, error) {
	s, err := loadSecret(path)
	if err != nil {
		return Secret{}, err
	}
	return besideFormer(path, s)
}

// besideFormer adds the secrets in whose place this one came.
func besideFormer(path string, s Secret) (Secret, error) {
	former, err := loadFormer(path + formerSuffix)
	return s.withFormer(former), err
}

func loadSecret(path string) (Secret, error) {
	const enough = 4 * secretBytes // Anything longer is refused by its length.
	text, err := readPrivate(path, enough)
	if err != nil {
		return Secret{}, err
	}
	return parseSecret(path, text)
}

// readPrivate reads a file, at most so many bytes, if nobody but its owner may
// read it.
func readPrivate(path string, atMost int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("secret %s: not a regular file (hint: remove it, and a new secret is made)", path)
	}
	// Windows has access lists instead, which Go does not show as a mode.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("secret %s: mode %04o lets others in (hint: chmod 600 %s)", path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, atMost))
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	return bytes.TrimSpace(text), nil
}

func parseSecret(path string, text []byte) (Secret, error) {
	key := make([]byte, secretBytes)
	// The decoder's own error would quote what is in the file.
	if len(text) != hex.EncodedLen(secretBytes) {
		return Secret{}, damagedSecret(path)
	}
	if _, err := hex.Decode(key, text); err != nil {
		return Secret{}, damagedSecret(path)
	}
	return ownSecret(key), nil
}

func damagedSecret(path string) error {
	return fmt.Errorf("secret %s: does not hold %d bytes in hexadecimal "+
		"(hint: restore it, or remove it: a new secret is made, and what the old one signed is refused)", path, secretBytes)
}

// createSecret fails with fs.ErrExist if path exists. It writes the file under
// another name and then links it, so that only a whole file appears at path.
// Unlike a rename, a link does not replace the file of a faster process.
func createSecret(path string, rand io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text, err := newSecretText(rand)
	if err != nil {
		return err
	}
	temporary, err := writePrivate(path, text)
	if err != nil {
		return err
	}
	defer os.Remove(temporary)
	if err := os.Link(temporary, path); err != nil {
		return err
	}
	return syncDir(path)
}

// newSecretText is what the file of a new secret holds.
func newSecretText(rand io.Reader) (string, error) {
	key := make([]byte, secretBytes)
	if _, err := io.ReadFull(rand, key); err != nil {
		return "", fmt.Errorf("random bytes: %w", err)
	}
	return hex.EncodeToString(key) + "\n", nil
}

// writePrivate writes a temporary file beside path, which only its owner may
// read, and returns its name. Its owner is that of the directory if root writes.
func writePrivate(path, text string) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // Mode 0600.
	if err != nil {
		return "", err
	}
	if _, err = f.WriteString(text); err == nil {
		err = errors.Join(ownLikeDir(f), f.Sync())
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return f.Name(), err
}
