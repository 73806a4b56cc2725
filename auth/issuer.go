package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// AnyAudience as an IssuerConfig's Audience accepts tokens for any audience,
	// and tokens without one.
	AnyAudience = "*"

	// maxForeignTokenBytes bounds other apps' tokens, some of which carry more
	// than ours. A hello has room for that many.
	maxForeignTokenBytes = 16 << 10

	maxIssuerName = 32
	maxLeeway     = 5 * time.Minute

	// minIssuerSecret is the hash size of HS256, which RFC 7518 §3.2 requires:
	// a single token lets an attacker try guesses.
	minIssuerSecret = 32

	minRSABits = 2048 // RFC 7518 §3.3.
)

// hmacAlgorithms sign and verify with one secret, publicAlgorithms verify with a
// public key. No algorithm is in both lists, so a public key never serves as a secret.
func hmacAlgorithms() []string   { return []string{"HS256", "HS384", "HS512"} }
func publicAlgorithms() []string { return []string{"RS256", "PS256", "ES256", "EdDSA"} }

// IssuerConfig describes another app whose tokens are accepted as tickets.
// Exactly one of Secret, Keys and JWKSURL is set.
type IssuerConfig struct {
	Name       string   // The Issuer of its users: no colon, and not ours.
	Issuer     string   // The iss claim of its tokens; empty: Name.
	Algorithms []string // All of them must fit the key.
	Audience   string   // The tokens' aud claim must have it; or AnyAudience.
	Leeway     time.Duration

	Secret  Secret             // For HS256, HS384 and HS512.
	Keys    []crypto.PublicKey // For the other algorithms.
	JWKSURL string             // Likewise, from a page that is read repeatedly.

	// Names of the optional claims; the claim of an empty name is not read.
	NameClaim, RoomsClaim, RoleClaim string
	DefaultRooms                     []string // For a token without the claim.
	DefaultRole                      Role     // Likewise.
}

// IssuerFault is a fault of an IssuerConfig: the key in the configuration file,
// and the rest of a sentence that begins with the key.
type IssuerFault struct {
	Key string
	Err error
}

func (f *IssuerFault) Error() string { return f.Key + ": " + f.Err.Error() }
func (f *IssuerFault) Unwrap() error { return f.Err }

// iss returns the iss claim of the issuer's tokens.
func (c *IssuerConfig) iss() string {
	if c.Issuer != "" {
		return c.Issuer
	}
	return c.Name
}

// Check returns all faults of c, except a wrong number of keys.
func (c *IssuerConfig) Check() []*IssuerFault {
	var faults []*IssuerFault
	refuse := func(key, format string, args ...any) {
		faults = append(faults, &IssuerFault{key, fmt.Errorf(format, args...)})
	}
	switch {
	case c.Name == "":
		refuse("name", `is missing; write a short word, like "app": the IDs of its users begin with it`)
	case c.Name == Issuer:
		refuse("name", "%q is this server's own; choose another", c.Name)
	case c.Name == MachineIssuer:
		refuse("name", "%q is for the machines that have joined; choose another", c.Name)
	case len(c.Name) > maxIssuerName || strings.ContainsFunc(c.Name, notInNames):
		refuse("name", `%q is not a name for an issuer; use 1 to %d of a-z, A-Z, 0-9, ".", "_" and "-"`, c.Name, maxIssuerName)
	}
	switch c.Issuer {
	case Issuer:
		refuse("issuer", "%q is the issuer of this server's own tickets; the app must use another", c.Issuer)
	case MachineIssuer:
		refuse("issuer", "%q is the issuer of tickets that machines sign; the app must use another", c.Issuer)
	}
	if len(c.Algorithms) == 0 {
		refuse("algorithms", `is missing; write what the app signs with, like ["ES256"]: %s`, strings.Join(c.fitting(), ", "))
	}
	for i, alg := range c.Algorithms {
		if fitting := c.fitting(); !slices.Contains(fitting, alg) {
			refuse(fmt.Sprintf("algorithms[%d]", i), "%q does not fit its %s; use %s", alg, c.keyKind(), strings.Join(fitting, ", "))
		}
	}
	if c.Audience == "" {
		refuse("audience", `is missing; write the aud claim of the app's tokens, or "*" to accept any, even tokens for others`)
	}
	if c.Leeway < 0 || c.Leeway > maxLeeway {
		refuse("leeway", "%v is out of range; use 0s to %v", c.Leeway, maxLeeway)
	}
	if n := len(c.Secret.Bytes()); n > 0 && n < minIssuerSecret {
		refuse("secret", "is shorter than %d characters, so others could guess it; make one with: openssl rand -hex 32", minIssuerSecret)
	}
	for _, key := range c.Keys {
		if !slices.ContainsFunc(c.Algorithms, func(alg string) bool { return fits(alg, key) }) {
			refuse("key_file", "has %s, which fits none of the algorithms %v", describeKey(key), c.Algorithms)
		}
	}
	if c.JWKSURL != "" && !goodJWKSURL(c.JWKSURL) {
		refuse("jwks_url", `%q is not an https address; write it like "https://app.example.org/.well-known/jwks.json"`, c.JWKSURL)
	}
	return append(faults, c.checkDefaults()...)
}

func (c *IssuerConfig) checkDefaults() (faults []*IssuerFault) {
	if !c.DefaultRole.valid() {
		faults = append(faults, &IssuerFault{"default_role", fmt.Errorf("%q is none of guest, member, moderator, admin", c.DefaultRole)})
	}
	for i, pattern := range c.DefaultRooms {
		if err := checkPattern(pattern); err != nil {
			faults = append(faults, &IssuerFault{fmt.Sprintf("default_rooms[%d]", i), fmt.Errorf(`%w; write a room, or a pattern like "team-*"`, err)})
		}
	}
	return faults
}

// fitting returns the algorithms that fit c's kind of key.
func (c *IssuerConfig) fitting() []string {
	if !c.Secret.IsZero() {
		return hmacAlgorithms()
	}
	return publicAlgorithms()
}

func (c *IssuerConfig) keyKind() string {
	switch {
	case !c.Secret.IsZero():
		return "secret"
	case c.JWKSURL != "":
		return "jwks_url"
	}
	return "key_file"
}

func notInNames(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
}

// goodJWKSURL reports whether nobody between the app and us can change the page
// at s.
func goodJWKSURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	host := u.Hostname()
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1")
}

// fits reports whether an algorithm may verify with key.
func fits(alg string, key any) bool {
	switch key := key.(type) {
	case []byte:
		return slices.Contains(hmacAlgorithms(), alg)
	case *rsa.PublicKey:
		return (alg == "RS256" || alg == "PS256") && key.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return alg == "ES256" && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

func describeKey(key any) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("an RSA key of %d bits", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "an ECDSA key on " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "an Ed25519 key"
	}
	return fmt.Sprintf("a key of the kind %T", key)
}

// issuer verifies the tokens of one app. It does not change after newIssuer.
type issuer struct {
	IssuerConfig
	parser *jwt.Parser // Of iat it says nothing: an app's clock may be ahead, and exp and nbf alone bound a token's life.
	keys   *jwks       // Nil: Secret or Keys.
	now    func() time.Time
}

func newIssuer(c IssuerConfig, now func() time.Time, log *slog.Logger) (*issuer, error) {
	if faults := c.Check(); len(faults) > 0 {
		return nil, faults[0]
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(c.Algorithms), jwt.WithIssuer(c.iss()), jwt.WithExpirationRequired(),
		jwt.WithLeeway(c.Leeway), jwt.WithTimeFunc(now), jwt.WithStrictDecoding(),
	}
	if c.Audience != AnyAudience {
		options = append(options, jwt.WithAudience(c.Audience))
	}
	is := &issuer{IssuerConfig: c, parser: jwt.NewParser(options...), now: now}
	if c.JWKSURL != "" {
		is.keys = newJWKS(c.Name, c.JWKSURL, now, log)
	}
	return is, nil
}

func (is *issuer) close() {
	if is.keys != nil {
		is.keys.close()
	}
}

// key finds the keys that may have signed t. Of t's header it reads only the
// algorithm, which the parser has checked, and the key's ID: jku, x5u, jwk and
// x5c would let a token bring its own key.
func (is *issuer) key(t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, errors.New("the header has crit, which asks for extensions that do not exist here") // RFC 7515 §4.1.11.
	}
	var found []any
	switch {
	case !is.Secret.IsZero():
		found = []any{is.Secret.Bytes()}
	case is.keys != nil:
		var err error
		if found, err = is.keys.find(t); err != nil {
			return nil, err
		}
	default:
		for _, key := range is.Keys {
			found = append(found, key)
		}
	}
	var set jwt.VerificationKeySet
	for _, key := range found {
		if fits(t.Method.Alg(), key) {
			set.Keys = append(set.Keys, key)
		}
	}
	if len(set.Keys) == 0 {
		return nil, fmt.Errorf("no key of issuer %s fits %s", is.Name, t.Method.Alg())
	}
	return set, nil
}

// verify is Tickets.Verify for the tokens of another app. It may also return a
// KeysUnavailableError.
func (is *issuer) verify(token string) (Ticket, error) {
	if err := checkSpelling(token, maxForeignTokenBytes); err != nil {
		return Ticket{}, err
	}
	claims := claimSet{}
	parsed, err := is.parser.ParseWithClaims(token, &claims, is.key)
	if errors.Is(err, jwt.ErrTokenSignatureInvalid) && slices.Contains(is.Algorithms, parsed.Method.Alg()) && is.keys != nil && is.keys.refreshForToken() {
		// The app may have changed its key and kept the kid, or have none.
		claims = claimSet{}
		_, err = is.parser.ParseWithClaims(token, &claims, is.key)
	}
	if err != nil {
		if onlyExpired(err) {
			return Ticket{}, ErrExpired
		}
		if unavailable, ok := errors.AsType[*KeysUnavailableError](err); ok {
			return Ticket{}, unavailable
		}
		return Ticket{}, refuse("issuer %s: %w", is.Name, err)
	}
	tk, err := is.ticket(claims)
	if err != nil {
		return Ticket{}, refuse("issuer %s: %w", is.Name, err)
	}
	return tk, nil
}

// ticket makes a ticket of a verified token's claims.
func (is *issuer) ticket(claims claimSet) (tk Ticket, err error) {
	tk = Ticket{User: User{Issuer: is.Name}, Role: is.DefaultRole, Rooms: slices.Clone(is.DefaultRooms)}
	expires, err := claims.date("exp")
	if err != nil || expires == nil {
		return Ticket{}, errors.Join(errors.New("no expiry"), err) // The parser has checked this, too.
	}
	tk.Expires, tk.Issued = expires.UTC(), claims.issued(is.now())
	if tk.User.Subject, err = claims.identifier("sub", maxSubjectBytes); err != nil {
		return Ticket{}, err
	}
	if tk.User.Subject == "" {
		return Ticket{}, errors.New(`claim "sub" is missing, so there is no user`)
	}
	if tk.ID, err = claims.identifier("jti", maxIDBytes); err != nil {
		return Ticket{}, err
	}
	if is.NameClaim != "" {
		tk.Name = claims.name(is.NameClaim)
	}
	if err := is.rights(claims, &tk); err != nil {
		return Ticket{}, err
	}
	return tk, nil
}

// rights fills in rooms and role.
func (is *issuer) rights(claims claimSet, tk *Ticket) error {
	if _, said := claims[is.RoleClaim]; said && is.RoleClaim != "" {
		role, err := claims.text(is.RoleClaim, maxSubjectBytes)
		if err != nil {
			return err
		}
		if tk.Role = Role(role); !tk.Role.valid() {
			return fmt.Errorf("claim %q is %q, which is none of guest, member, moderator, admin", is.RoleClaim, role)
		}
	}
	if is.RoomsClaim == "" {
		return nil
	}
	rooms, err := claims.texts(is.RoomsClaim, maxPatternBytes)
	if err != nil {
		return err
	}
	if n := len(strings.Join(rooms, "")); n > maxRoomsBytes {
		return fmt.Errorf("claim %q has %d bytes of rooms, and may have %d; use patterns", is.RoomsClaim, n, maxRoomsBytes)
	}
	for _, pattern := range rooms {
		if err := checkPattern(pattern); err != nil {
			return fmt.Errorf("claim %q: %w", is.RoomsClaim, err)
		}
	}
	if rooms != nil {
		tk.Rooms = rooms
	}
	return nil
}

func checkPattern(pattern string) error {
	if pattern == "" || len(pattern) > maxPatternBytes {
		return fmt.Errorf("room pattern %.20q is empty, or longer than %d bytes", pattern, maxPatternBytes)
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("room pattern %q: %w", pattern, err)
	}
	return nil
}
