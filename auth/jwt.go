package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// leeway allows for clocks that differ, at both ends of a token's life.
	leeway = 30 * time.Second

	// maxTokenBytes bounds the token of ours that is parsed for a stranger. Resume tokens have MaxResumeToken.
	maxTokenBytes = 8 << 10

	// idChars gives token IDs and generated subjects 79 bits.
	idChars = 16
)

// errNotUTF8 refuses text that JSON would change in silence: two different
// subjects could become one.
var errNotUTF8 = errors.New("text that is not UTF-8")

// signer signs and verifies the JWTs of one audience. The algorithm is fixed; a
// token whose header names another is refused.
type signer struct {
	audience string
	maxBytes int // of a token
	key      Secret
	now      func() time.Time
	rand     io.Reader
	header   string // of every token that it signs, encoded
	parser   *jwt.Parser
}

func newSigner(audience string, key Secret, now func() time.Time, rand io.Reader) signer {
	return signer{
		audience: audience,
		maxBytes: maxTokenBytes,
		key:      key.Derive("turnpike jwt " + audience),
		now:      now,
		rand:     rand,
		header:   base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)),
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithIssuer(Issuer),
			jwt.WithAudience(audience),
			jwt.WithExpirationRequired(),
			jwt.WithNotBeforeRequired(),
			jwt.WithIssuedAt(),
			jwt.WithLeeway(leeway),
			jwt.WithTimeFunc(now),
			jwt.WithStrictDecoding(),
		),
	}
}

// registered returns the claims that every token of ours has. JWTs count whole
// seconds, so the fraction of the expiry is cut.
func (s *signer) registered(ttl time.Duration) (jwt.RegisteredClaims, error) {
	now := s.now().UTC().Truncate(time.Second)
	expires := now.Add(ttl).Truncate(time.Second)
	if !expires.After(now) {
		return jwt.RegisteredClaims{}, fmt.Errorf("a token's life must be at least a second, not %v", ttl)
	}
	return jwt.RegisteredClaims{
		ID:        NewID(s.rand, idChars),
		Issuer:    Issuer,
		Audience:  jwt.ClaimStrings{s.audience},
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(expires),
	}, nil
}

// sign refuses a token that verify would refuse for its length.
func (s *signer) sign(claims jwt.Claims) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	token := s.header + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := jwt.SigningMethodHS256.Sign(token, s.key.Bytes())
	if err != nil {
		return "", err
	}
	token += "." + base64.RawURLEncoding.EncodeToString(signature)
	if len(token) > s.maxBytes {
		return "", fmt.Errorf("the token would have %d bytes and at most %d are accepted", len(token), s.maxBytes)
	}
	return token, nil
}

// verify verifies token and fills claims. Its errors wrap ErrUnauthorized.
func (s *signer) verify(token string, claims jwt.Claims) error {
	if err := checkSpelling(token, s.maxBytes); err != nil {
		return err
	}
	_, err := s.parser.ParseWithClaims(token, claims, s.keys)
	if err == nil {
		return nil
	}
	if onlyExpired(err) {
		return ErrExpired
	}
	return refuse("%w", err)
}

// keys returns what may have signed a token: our key, and that of each former secret that still counts.
func (s *signer) keys(*jwt.Token) (any, error) {
	former := s.key.Former(s.now())
	if len(former) == 0 {
		return s.key.Bytes(), nil
	}
	set := jwt.VerificationKeySet{Keys: []jwt.VerificationKey{s.key.Bytes()}}
	for _, secret := range former {
		set.Keys = append(set.Keys, secret.Bytes())
	}
	return set, nil
}

// onlyExpired reports whether age is a token's only fault. The parser verifies
// the signature before the claims, so the err of a forged token never is
// ErrTokenExpired; that of a token with several bad claims may be.
func onlyExpired(err error) bool {
	if !errors.Is(err, jwt.ErrTokenExpired) {
		return false
	}
	for _, other := range []error{
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenInvalidSubject,
		jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenRequiredClaimMissing,
	} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// checkSpelling refuses a token that is too long to parse for a stranger. It also
// refuses line breaks, which Go's base64 skips even when strict: only the one
// spelling that the issuer made may verify.
func checkSpelling(token string, maxBytes int) error {
	if len(token) > maxBytes {
		return refuse("token of %d bytes", len(token))
	}
	if strings.ContainsAny(token, "\r\n") {
		return refuse("line break in the token")
	}
	return nil
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnauthorized, fmt.Errorf(format, args...))
}
