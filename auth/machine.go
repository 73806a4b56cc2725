package auth

import (
	"crypto/ed25519"
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
	// MachineIssuer is the issuer of machines: the user of the machine nas is machine:nas.
	MachineIssuer = "machine"

	// MachineTicketTTL is the longest life of a ticket that a machine signs.
	MachineTicketTTL = 10 * time.Minute

	maxMachineToken = 2 << 10
)

// Machine is a user with no person: a key that was made on it, of which the server has the public half.
type Machine struct {
	Name   string // Unique on the server. Nobody else may have it as a name.
	Key    ed25519.PublicKey
	Role   Role
	Room   string    // The one that its tickets open.
	Invite string    // The ID of the invite by which it came.
	Made   time.Time // When it joined. UTC, in microseconds.
}

// User returns the user of the machine's sessions.
func (m *Machine) User() User { return User{Issuer: MachineIssuer, Subject: m.Name} }

// IsMachineName reports whether a machine may have a name: 1 to 32 of a-z, 0-9 and "-", with no "-" at either end. So
// it needs no quotes on a command line, and is no flag.
func IsMachineName(name string) bool {
	return name != "" && len(name) <= MaxNameRunes && name[0] != '-' && name[len(name)-1] != '-' && !strings.ContainsFunc(name, notInMachineNames)
}

func notInMachineNames(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
}

// EncodeMachineKey writes a public key as texts have it.
func EncodeMachineKey(key ed25519.PublicKey) string { return base64.RawURLEncoding.EncodeToString(key) }

// ParseMachineKey reads a key that EncodeMachineKey wrote, in its one spelling.
func ParseMachineKey(text string) (ed25519.PublicKey, error) {
	key, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize || strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("not an Ed25519 key in base64url")
	}
	return key, nil
}

// machineClaims has the time of signing with a fraction, because machines may be revoked and join anew within a second.
type machineClaims struct {
	Issuer   string      `json:"iss"`
	Subject  string      `json:"sub"`
	Audience string      `json:"aud"`
	ID       string      `json:"jti"`
	Issued   json.Number `json:"iat"`
	Expires  int64       `json:"exp"`
}

// SignMachineTicket signs a ticket of the machine that has a name and a key. It lives for MachineTicketTTL.
func SignMachineTicket(name string, key ed25519.PrivateKey, now time.Time, rand io.Reader) (string, error) {
	payload, err := json.Marshal(machineClaims{
		Issuer: MachineIssuer, Subject: name, Audience: ticketAudience, ID: NewID(rand, idChars),
		Issued:  json.Number(fmt.Sprintf("%d.%06d", now.Unix(), now.Nanosecond()/1000)),
		Expires: now.Unix() + int64(MachineTicketTTL.Seconds()),
	})
	if err != nil {
		return "", fmt.Errorf("sign a machine's ticket: %w", err)
	}
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	return token + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(token))), nil
}

// ErrMachineClock wraps ErrUnauthorized: a machine has signed its ticket at another time than ours.
var ErrMachineClock error = machineClockError{}

type machineClockError struct{}

func (machineClockError) Error() string { return "unauthorized: the machine's clock differs from ours" }
func (machineClockError) Unwrap() error { return ErrUnauthorized }

// VerifyMachineTicket returns the ID of a ticket that the machine of a name and a key has signed, when it was signed, and
// when it expires. ErrExpired and ErrMachineClock say that time is its only fault. The caller, and no part of the ticket,
// says which key counts.
func VerifyMachineTicket(token, name string, key ed25519.PublicKey, now time.Time) (id string, issued, expires time.Time, err error) {
	refused := func(err error) (string, time.Time, time.Time, error) { return "", time.Time{}, time.Time{}, err }
	if err := checkSpelling(token, maxMachineToken); err != nil {
		return refused(err)
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(MachineIssuer), jwt.WithAudience(ticketAudience), jwt.WithSubject(name),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	claims := claimSet{}
	_, err = parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		if _, critical := t.Header["crit"]; critical {
			return nil, errors.New("the header has crit, which asks for extensions that do not exist here") // RFC 7515 §4.1.11.
		}
		return key, nil
	})
	switch {
	case err == nil:
	case onlyExpired(err):
		return refused(ErrExpired)
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued) && !errors.Is(err, jwt.ErrTokenInvalidIssuer) && !errors.Is(err, jwt.ErrTokenInvalidAudience) && !errors.Is(err, jwt.ErrTokenInvalidSubject):
		return refused(ErrMachineClock)
	default:
		return refused(refuse("machine's ticket: %w", err))
	}
	if id, err = claims.identifier("jti", maxIDBytes); err != nil || id == "" {
		return refused(refuse("machine's ticket: no ID"))
	}
	made, err := claims.date("iat")
	ends, err2 := claims.date("exp")
	switch {
	case err != nil || err2 != nil || made == nil || ends == nil:
		return refused(refuse("machine's ticket: it does not say when it was signed and when it expires"))
	case ends.Sub(made.Time) > MachineTicketTTL:
		return refused(refuse("machine's ticket: it lives for %v", ends.Sub(made.Time)))
	}
	return id, claims.issued(now), ends.UTC(), nil
}
