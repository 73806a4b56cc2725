package auth

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// How the user part begins in the usernames that signaling mints.
const (
	sessionPrefix   = "s."
	relayOnlyPrefix = "r."
)

// maxUsernameBytes is STUN's limit (RFC 8489 §14.3).
const maxUsernameBytes = 508

// GrantKind says how far a credential's relays reach.
type GrantKind uint8

const (
	GrantREST      GrantKind = iota + 1 // Minted with a shared secret; reaches what the peer policy allows.
	GrantSession                        // Minted by signaling; reaches what the session's room mates signalled.
	GrantRelayOnly                      // Minted for no session; reaches live relayed addresses only.
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

// Grant says what a credential allows, and to whom.
type Grant struct {
	Username string // As on the wire.
	User     string // The part of the username after its expiry, for quotas. Empty for GrantSession.
	App      string // Whose secret signed, for GrantREST; empty for the secrets of nobody in particular.
	Session  string // For GrantSession only.
	Kind     GrantKind
	Expires  time.Time // UTC, whole seconds.
	// Issued is when a credential of GrantRelayOnly was minted, to a second: what is
	// of before its user was thrown out is void. Zero: it does not say.
	Issued time.Time
}

// Candidate is one password that a username may have, as the keys derived from
// it, and the grant that goes with it.
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
// password. Its JSON includes the password, for the client.
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

// Password returns the password of username by the TURN REST API, which coturn
// uses too: base64(HMAC-SHA1(secret, username)).
func Password(secret Secret, username string) string {
	mac := hmac.New(sha1.New, secret.Bytes())
	_, _ = io.WriteString(mac, username)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Credentials mints TURN credentials, and computes the keys of those that
// clients present.
type Credentials struct {
	realm     string
	now       func() time.Time
	password  Secret
	derived   atomic.Pointer[signalingKeys] // From password; see signaling.
	pseudonym Secret
	shared    []*passwordKey // The first signs, all verify.
	apps      []appKey       // These verify, too.
	minted    *usernames     // Nil unless RememberUsernames was called.
}

// signalingKeys are the keys that belong to one state of a secret. The first signs;
// the former ones, newest first, verify.
type signalingKeys struct {
	of   *material
	keys []signalingKey
}

// signalingKey is a key of the server's own, of its secret or of a former one.
type signalingKey struct {
	*passwordKey
	until time.Time // Of a former one; the first has no end.
}

// appKey is the shared secret of one app.
type appKey struct {
	name string
	key  *passwordKey
}

// NewCredentials returns the Credentials of one realm. A key derived from
// signaling signs the credentials that signaling mints; other apps may sign with
// any of shared. It panics if one of the secrets is zero.
func NewCredentials(realm string, signaling Secret, shared []Secret, now func() time.Time) *Credentials {
	c := &Credentials{
		realm:     realm,
		now:       now,
		pseudonym: signaling.Derive("turnpike turn pseudonym"),
	}
	c.password = signaling.Derive("turnpike turn password")
	for _, secret := range shared {
		if secret.IsZero() {
			panic("auth: an empty shared secret would let everybody relay")
		}
		c.shared = append(c.shared, newPasswordKey(secret))
	}
	return c
}

// signaling returns the keys that are in force.
func (c *Credentials) signaling() []signalingKey {
	of := c.password.material()
	if known := c.derived.Load(); known != nil && known.of == of {
		return known.keys
	}
	all := []signalingKey{{passwordKey: newPasswordKey(fixedSecret(of))}}
	for _, former := range of.former {
		all = append(all, signalingKey{newPasswordKey(former.secret), former.until})
	}
	c.derived.Store(&signalingKeys{of, all})
	return all
}

// AddApp has credentials accepted that an app signs with its own secret. Their
// grants carry the app's name. It must not be called after the first credential
// was judged, and panics if the secret is zero.
func (c *Credentials) AddApp(name string, secret Secret) {
	if secret.IsZero() {
		panic("auth: an empty app secret would let everybody relay")
	}
	c.apps = append(c.apps, appKey{name, newPasswordKey(secret)})
}

// MintSession makes the credential of a session. Its username does not name the
// user: the session knows its user, and usernames travel in the clear.
func (c *Credentials) MintSession(session, user string, ttl time.Duration) Credential {
	return c.remembered(c.mint(c.password, sessionPrefix+session, ttl))
}

// MintRelayOnly makes a credential that belongs to no session. Its username has
// a pseudonym of user, always the same one, so that quotas can count, and its life
// in seconds: the server may have another ttl by the time that it must know when
// the credential was minted.
func (c *Credentials) MintRelayOnly(user string, ttl time.Duration) Credential {
	life := strconv.FormatInt(int64(ttl/time.Second), 10)
	return c.remembered(c.mint(c.password, pseudonymOf(c.pseudonym, user)+"."+life, ttl))
}

// RelayOnlyUsers are the Users of the grants that MintRelayOnly makes for user: the
// first of them now, and the others with the former secrets that still verify.
func (c *Credentials) RelayOnlyUsers(user string) []string {
	all := []string{pseudonymOf(c.pseudonym, user)}
	for _, former := range c.pseudonym.Former(c.now()) {
		all = append(all, pseudonymOf(former, user))
	}
	return all
}

func pseudonymOf(key Secret, user string) string {
	mac := hmac.New(sha1.New, key.Bytes())
	_, _ = io.WriteString(mac, user)
	id := base32.StdEncoding.EncodeToString(mac.Sum(nil)) // 20 bytes: no padding.
	return relayOnlyPrefix + strings.ToLower(id)
}

// Shares reports whether there is a shared secret, with which MintREST signs.
func (c *Credentials) Shares() bool { return len(c.shared) > 0 }

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
// first by signaling's keys, if the user part has one of our prefixes, and then by
// each shared secret and each app's. The keys that verify decide the grant. Candidates does not
// check expiry: callers compare Grant.Expires. It reports false and leaves dst as
// it is if username is malformed; every other username costs the same work.
func (c *Credentials) Candidates(username []byte, dst []Candidate) ([]Candidate, bool) {
	return c.candidates(c.signaling(), username, dst)
}

func (c *Credentials) candidates(signaling []signalingKey, username []byte, dst []Candidate) ([]Candidate, bool) {
	if len(username) > maxUsernameBytes {
		return dst, false
	}
	name := string(username) // The one allocation; every string below is a part of it.
	expires, user, ok := parseUsername(name)
	if !ok {
		return dst, false
	}
	grant := Grant{Username: name, Expires: expires}
	if session, found := strings.CutPrefix(user, sessionPrefix); found && session != "" {
		grant.Kind, grant.Session = GrantSession, session
	} else if id, found := strings.CutPrefix(user, relayOnlyPrefix); found && id != "" {
		grant.Kind, grant.User = GrantRelayOnly, user
		if at := len(relayOnlyPrefix) + strings.IndexByte(id, '.'); at > len(relayOnlyPrefix) {
			if life, err := strconv.ParseUint(user[at+1:], 10, 31); err == nil {
				grant.User, grant.Issued = user[:at], expires.Add(-time.Duration(life)*time.Second)
			}
		}
	}
	for i, key := range signaling {
		if i > 0 && !c.now().Before(key.until) {
			break
		}
		if keys := key.longTerm(name, c.realm); grant.Kind != 0 {
			dst = append(dst, Candidate{Keys: keys, Grant: grant})
		}
	}
	grant.Kind, grant.User, grant.Session, grant.Issued = GrantREST, user, "", time.Time{}
	for _, shared := range c.shared {
		dst = append(dst, Candidate{Keys: shared.longTerm(name, c.realm), Grant: grant})
	}
	for _, app := range c.apps {
		grant.App = app.name
		dst = append(dst, Candidate{Keys: app.key.longTerm(name, c.realm), Grant: grant})
	}
	return dst, true
}

// UsernameExpired reports whether a username names a time that has passed, so
// that no password makes it good for a new allocation.
func UsernameExpired(username []byte, now time.Time) bool {
	expires, _, ok := parseUsername(string(username))
	return ok && !now.Before(expires)
}

// Verify returns the grant of username and password. Its error is ErrExpired if
// they were a valid credential once, and else wraps ErrUnauthorized. TURN never
// sees a password, and uses Candidates instead.
func (c *Credentials) Verify(username, password string) (Grant, error) {
	signaling := c.signaling()
	candidates, _ := c.candidates(signaling, []byte(username), nil)
	keys := make([]*passwordKey, 0, len(candidates))
	for i := range len(candidates) - len(c.shared) - len(c.apps) {
		keys = append(keys, signaling[i].passwordKey) // candidates has them first.
	}
	keys = append(keys, c.shared...)
	for _, app := range c.apps {
		keys = append(keys, app.key)
	}
	for i, candidate := range candidates {
		want := Password(keys[i].secret, username)
		if subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 0 {
			continue
		}
		if !c.now().Before(candidate.Grant.Expires) {
			return Grant{}, ErrExpired
		}
		return candidate.Grant, nil
	}
	return Grant{}, refuse("no secret of ours makes this password")
}

// maxExpiry is the last second of the year 9999: later times have no RFC 3339
// form. It replaces later expiries, as of an app that counts milliseconds.
const maxExpiry = 253402300799

// parseUsername reads "expiry:user", or "expiry" alone, in Unix seconds. Without
// a user, the whole username counts as the user, so that quotas apply.
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
	// Logs show usernames: refuse characters that hide or break lines.
	if !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl) {
		return time.Time{}, "", false
	}
	return time.Unix(min(seconds, maxExpiry), 0).UTC(), user, true
}
