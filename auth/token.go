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
	// leeway forgives clocks that differ, at both ends of a token's life.
	leeway = 30 * time.Second

	// maxTokenBytes bounds what is parsed for a stranger.
	maxTokenBytes = 8 << 10

	// idChars gives token IDs and generated subjects 79 bits.
	idChars = 16
)

// errNotUTF8 refuses what JSON would change in silence, which could make two
// subjects one.
var errNotUTF8 = errors.New("text that is not UTF-8")

// Role is what a user may do beyond entering rooms.
type Role string

const (
	RoleGuest     Role = "guest"
	RoleMember    Role = "member"
	RoleModerator Role = "moderator"
	RoleAdmin     Role = "admin"
)

func (r Role) valid() bool {
	switch r {
	case RoleGuest, RoleMember, RoleModerator, RoleAdmin:
		return true
	}
	return false
}

// signer makes and opens the JWTs of one audience. The algorithm is pinned:
// what a token's header asks for is only ever compared with it.
type signer struct {
	audience string
	key      Secret
	now      func() time.Time
	rand     io.Reader
	header   string // of all that it signs, encoded
	parser   *jwt.Parser
}

func newSigner(audience string, key Secret, now func() time.Time, rand io.Reader) signer {
	return signer{
		audience: audience,
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
// seconds, so the expiry is cut to one.
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

// sign refuses what open would refuse for its length.
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
	if len(token) > maxTokenBytes {
		return "", fmt.Errorf("the token would have %d bytes and at most %d are accepted", len(token), maxTokenBytes)
	}
	return token, nil
}

// open verifies token and fills claims. Its errors wrap ErrUnauthorized.
func (s *signer) open(token string, claims jwt.Claims) error {
	if err := checkSpelling(token, maxTokenBytes); err != nil {
		return err
	}
	_, err := s.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) {
		return s.key.Bytes(), nil
	})
	if err == nil {
		return nil
	}
	if onlyExpired(err) {
		return ErrExpired
	}
	return refuse("%w", err)
}

// onlyExpired reports whether age is all that is wrong. The signature is
// verified before the claims are judged, so a forged token never gets here
// with ErrTokenExpired, but one with several bad claims does.
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

// checkSpelling refuses what is too long to parse for a stranger, and line
// breaks, which Go's base64 skips even when strict: a token has one spelling,
// and nothing verifies that its issuer did not make.
func checkSpelling(token string, most int) error {
	if len(token) > most {
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
