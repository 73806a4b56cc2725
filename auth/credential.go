package auth

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// The user part of a username that we minted for ourselves.
const (
	sessionPrefix   = "s."
	relayOnlyPrefix = "r."
)

// maxUsernameBytes is STUN's (RFC 8489 §14.3).
const maxUsernameBytes = 508

// GrantKind says how far a credential's relays reach.
type GrantKind uint8

const (
	GrantREST      GrantKind = iota + 1 // Minted with a shared secret: the general peer policy.
	GrantSession                        // Minted by signaling: what the session's room mates signalled.
	GrantRelayOnly                      // Minted for no session: live relayed addresses only.
)

func (k GrantKind) String() string {
	switch k {
	case GrantREST:
		return "rest"
	case GrantSession:
		return "session"
	case GrantRelayOnly:
		return "relay-only"
	}
	return "GrantKind(" + strconv.Itoa(int(k)) + ")"
}

// Grant is what a credential allows to whom.
type Grant struct {
	Username string // As on the wire.
	User     string // Whom quotas count: the username after its expiry. Empty for GrantSession.
	Session  string // For GrantSession only.
	Kind     GrantKind
	Expires  time.Time // UTC, whole seconds.
}

// Candidate is a password that a username's message may be signed with, as the
// keys that are made of it, and what it grants if it is.
type Candidate struct {
	Keys  Keys
	Grant Grant
}

// Format keeps the keys out of logs.
func (c Candidate) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{Keys:%v Grant:%+v}", c.Keys, c.Grant)
}

// LogValue keeps the keys out of logs.
func (c Candidate) LogValue() slog.Value { return slog.AnyValue(c.Grant) }

// Credential is an expiring TURN username and password. It prints without its
// password; its fields and its JSON have it, for the one it is meant for.
type Credential struct {
	Username string
	Password string
	Expires  time.Time // UTC, whole seconds.
}

func (c Credential) String() string {
	return fmt.Sprintf("{Username:%s Password:%s Expires:%s}", c.Username, redacted, c.Expires.Format(time.RFC3339))
}

// Format keeps the password out of every verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue keeps the password out of logs.
func (c Credential) LogValue() slog.Value {
	return slog.GroupValue(slog.String("username", c.Username), slog.Time("expires", c.Expires))
}

// Password is the password of username by the TURN REST API, which coturn and
// the apps made for it use: base64(HMAC-SHA1(secret, username)).
func Password(secret Secret, username string) string {
	mac := hmac.New(sha1.New, secret.Bytes())
	_, _ = io.WriteString(mac, username)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Credentials mints TURN credentials and finds the keys of those that clients
// come with.
type Credentials struct {
	realm     string
	now       func() time.Time
	signaling *passwordKey
	pseudonym Secret
	shared    []*passwordKey // The first signs, all verify.
	minted    *usernames     // Nil unless RememberUsernames was called.
}

// NewCredentials makes the credentials of one realm. What signaling hands out
// is signed with a key derived from signaling, and what other apps sign with
// any of shared is accepted. It panics if one of the secrets is zero.
func NewCredentials(realm string, signaling Secret, shared []Secret, now func() time.Time) *Credentials {
	c := &Credentials{
		realm:     realm,
		now:       now,
		signaling: newPasswordKey(signaling.Derive("turnpike turn password")),
		pseudonym: signaling.Derive("turnpike turn pseudonym"),
	}
	for _, secret := range shared {
		if secret.IsZero() {
			panic("auth: an empty shared secret would let everybody relay")
		}
		c.shared = append(c.shared, newPasswordKey(secret))
	}
	return c
}

// MintSession makes the credential of a session. The user is not in it: the
// session knows its user, and usernames travel in the clear.
func (c *Credentials) MintSession(session, user string, ttl time.Duration) Credential {
	return c.remembered(c.mint(c.signaling.secret, sessionPrefix+session, ttl))
}

// MintRelayOnly makes a credential that belongs to no session. Its username
// has a pseudonym of user, the same one each time, so that quotas can count.
func (c *Credentials) MintRelayOnly(user string, ttl time.Duration) Credential {
	mac := hmac.New(sha1.New, c.pseudonym.Bytes())
	_, _ = io.WriteString(mac, user)
	id := base32.StdEncoding.EncodeToString(mac.Sum(nil)) // 20 bytes: no padding.
	return c.remembered(c.mint(c.signaling.secret, relayOnlyPrefix+strings.ToLower(id), ttl))
}

// MintREST makes a credential as other apps do, with the first shared secret.
// It reports false if there is none, or if user does not fit into a username.
func (c *Credentials) MintREST(user string, ttl time.Duration) (Credential, bool) {
	if len(c.shared) == 0 {
		return Credential{}, false
	}
	cred := c.mint(c.shared[0].secret, user, ttl)
	_, _, ok := parseUsername(cred.Username)
	return cred, ok
}

func (c *Credentials) mint(secret Secret, user string, ttl time.Duration) Credential {
	expires := c.now().Add(ttl).UTC().Truncate(time.Second)
	username := strconv.FormatInt(expires.Unix(), 10) + ":" + user
	return Credential{Username: username, Password: Password(secret, username), Expires: expires}
}

// Candidates appends to dst the keys of every password that username may have:
// by each shared secret, and by signaling's key if the user part is one of
// ours. Which of them verifies decides the grant's kind. It does not judge
// expiry: callers compare Grant.Expires. It reports false, with dst as it was,
// if username is malformed; otherwise every username costs the same work.
func (c *Credentials) Candidates(username []byte, dst []Candidate) ([]Candidate, bool) {
	if len(username) > maxUsernameBytes {
		return dst, false
	}
	name := string(username) // The one allocation; every string below is a part of it.
	expires, user, ok := parseUsername(name)
	if !ok {
		return dst, false
	}
	keys := c.signaling.longTerm(name, c.realm)
	grant := Grant{Username: name, Expires: expires}
	if session, found := strings.CutPrefix(user, sessionPrefix); found && session != "" {
		grant.Kind, grant.Session = GrantSession, session
		dst = append(dst, Candidate{Keys: keys, Grant: grant})
	} else if id, found := strings.CutPrefix(user, relayOnlyPrefix); found && id != "" {
		grant.Kind, grant.User = GrantRelayOnly, user
		dst = append(dst, Candidate{Keys: keys, Grant: grant})
	}
	grant.Kind, grant.User, grant.Session = GrantREST, user, ""
	for _, shared := range c.shared {
		dst = append(dst, Candidate{Keys: shared.longTerm(name, c.realm), Grant: grant})
	}
	return dst, true
}

// maxExpiry is the last second of the year 9999, beyond which times have no
// RFC 3339 form. Later expiries (an app that counts milliseconds) mean it.
const maxExpiry = 253402300799

// parseUsername reads "expiry:user", or "expiry" alone, in Unix seconds. With
// no user the whole username stands for it, so that quotas have what to count.
func parseUsername(name string) (expires time.Time, user string, ok bool) {
	digits, user, _ := strings.Cut(name, ":")
	if user == "" {
		user = name
	}
	if len(name) > maxUsernameBytes || len(digits) == 0 || len(digits) > 18 {
		return time.Time{}, "", false
	}
	var seconds int64
	for _, d := range []byte(digits) {
		if d < '0' || d > '9' {
			return time.Time{}, "", false
		}
		seconds = seconds*10 + int64(d-'0')
	}
	// Usernames reach logs and quotas: nothing there that hides or breaks lines.
	if !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl) {
		return time.Time{}, "", false
	}
	return time.Unix(min(seconds, maxExpiry), 0).UTC(), user, true
}

// passwordKey computes long-term keys with one secret and, once as many states
// exist as goroutines ever asked at a time, no allocation.
type passwordKey struct {
	secret Secret

	mu   sync.Mutex
	free []*passwordState // Guarded by mu. Not a sync.Pool, which forgets at random under the race detector.
}

type passwordState struct {
	mac hash.Hash
	buf []byte
}

func newPasswordKey(secret Secret) *passwordKey { return &passwordKey{secret: secret} }

func (k *passwordKey) take() *passwordState {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.free); n > 0 {
		st := k.free[n-1]
		k.free = k.free[:n-1]
		return st
	}
	return &passwordState{mac: hmac.New(sha1.New, k.secret.Bytes())}
}

func (k *passwordKey) put(st *passwordState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.free = append(k.free, st)
}

// longTerm returns the keys of the password that the REST API gives username.
func (k *passwordKey) longTerm(username, realm string) Keys {
	st := k.take()
	defer k.put(st)
	st.buf = append(st.buf[:0], username...)
	st.mac.Reset()
	_, _ = st.mac.Write(st.buf)
	st.buf = append(st.buf, ':')
	st.buf = append(st.buf, realm...)
	st.buf = append(st.buf, ':')
	// The sum goes behind what is hashed next, to be encoded in its place.
	at := len(st.buf)
	st.buf = st.mac.Sum(st.buf)
	var sum [sha1.Size]byte
	copy(sum[:], st.buf[at:])
	st.buf = base64.StdEncoding.AppendEncode(st.buf[:at], sum[:])
	return longTermKeys(st.buf)
}
