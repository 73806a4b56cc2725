package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"
)

// Keys are the long-term keys of one password, one for each password algorithm
// of STUN (RFC 8489 §18.5.1). They print as "[redacted]".
type Keys struct {
	MD5    [md5.Size]byte
	SHA256 [sha256.Size]byte
}

// longTermKeys makes the keys of "username:realm:password".
func longTermKeys(text []byte) Keys {
	return Keys{MD5: md5.Sum(text), SHA256: sha256.Sum256(text)}
}

// Equal reports whether both belong to the same username, realm and password. It
// takes constant time.
func (k *Keys) Equal(other *Keys) bool {
	return subtle.ConstantTimeCompare(k.MD5[:], other.MD5[:])&subtle.ConstantTimeCompare(k.SHA256[:], other.SHA256[:]) == 1
}

// Format keeps the keys out of logs, whatever the verb.
func (Keys) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (Keys) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (Keys) LogValue() slog.Value         { return slog.StringValue(redacted) }

// passwordKey computes long-term keys from one secret. It allocates only while
// it has fewer states than concurrent callers.
type passwordKey struct {
	secret Secret

	mu   sync.Mutex
	free []*passwordState // Guarded by mu. Not a sync.Pool, which drops items at random under the race detector.
}

type passwordState struct {
	mac hash.Hash
	buf []byte
}

func newPasswordKey(secret Secret) *passwordKey { return &passwordKey{secret: secret} }

func (k *passwordKey) acquire() *passwordState {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.free); n > 0 {
		st := k.free[n-1]
		k.free = k.free[:n-1]
		return st
	}
	return &passwordState{mac: hmac.New(sha1.New, k.secret.Bytes())}
}

func (k *passwordKey) release(st *passwordState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.free = append(k.free, st)
}

// longTerm returns the keys of the password that the TURN REST API gives username.
func (k *passwordKey) longTerm(username, realm string) Keys {
	st := k.acquire()
	defer k.release(st)
	st.buf = append(st.buf[:0], username...)
	st.mac.Reset()
	_, _ = st.mac.Write(st.buf)
	st.buf = append(st.buf, ':')
	st.buf = append(st.buf, realm...)
	st.buf = append(st.buf, ':')
	// Append the sum to get it without an allocation, then put its encoding in its place.
	at := len(st.buf)
	st.buf = st.mac.Sum(st.buf)
	var sum [sha1.Size]byte
	copy(sum[:], st.buf[at:])
	st.buf = base64.StdEncoding.AppendEncode(st.buf[:at], sum[:])
	return longTermKeys(st.buf)
}
