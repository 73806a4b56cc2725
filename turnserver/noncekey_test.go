package turnserver

import (
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// TestNonceKeyChanges: a running server makes nonces with a rotated key from the next request on, and takes those of the
// former one as long as that verifies.
func TestNonceKeyChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	file, err := auth.OpenSecretFile(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(cfg *Config) { cfg.NonceKey = file.Secret().Derive("nonces") })
	now := time.Now()
	s.wallTime = func() time.Time { return now }
	w, c := newWorker(s, newShard(s)), new(client)
	rotate := func(keep time.Duration) {
		t.Helper()
		if err := auth.RotateSecret(path, now.Add(keep), now, rand.Reader); err != nil {
			t.Fatal(err)
		}
		if changed, err := file.Reload(); err != nil || !changed {
			t.Fatalf("changed %v, %v", changed, err)
		}
	}
	good := func(nonce []byte) bool { return w.judgeNonce(nonce, c) > wire.NonceStale }
	first := w.nonce(c)
	rotate(time.Hour)
	second := w.nonce(c)
	if string(first) == string(second) || !good(first) || !good(second) {
		t.Errorf("nonces %s, good %v, and %s, good %v", first, good(first), second, good(second))
	}
	rotate(0)
	if third := w.nonce(c); good(first) || good(second) || !good(third) {
		t.Errorf("after all was voided, the nonces are good: %v, %v, %v", good(first), good(second), good(third))
	}
}
