package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxSubjectBytes leaves room for the issuer's name in a user's form on the wire.
	maxSubjectBytes = 255

	// maxClaimList bounds an audience, and the rooms of a ticket. A room that a
	// user enters is compared with each of those.
	maxClaimList = 256

	// maxPatternBytes is twice the length of the longest room name.
	maxPatternBytes = 128

	// maxRoomsBytes and maxIDBytes keep a session's resume token, which repeats
	// rooms and ID, within MaxResumeToken.
	maxRoomsBytes = 2 << 10
	maxIDBytes    = 128
)

// claimSet is the payload of another app's token. A claim's name must match
// exactly and occur once: encoding/json would accept "SUB" as "sub", and the
// last of two claims where the app may have checked the first.
type claimSet map[string]json.RawMessage

// UnmarshalJSON relies on data being valid JSON, as encoding/json guarantees.
func (c *claimSet) UnmarshalJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errNotUTF8
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("the claims are not an object")
	}
	set := claimSet{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // The decoder returns no other kind of key.
		if _, twice := set[name]; twice {
			return fmt.Errorf("claim %q occurs twice", name)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		set[name] = value
	}
	*c = set
	return nil
}

// text returns a string claim, empty if it is missing.
func (c claimSet) text(name string, maxBytes int) (string, error) {
	raw, ok := c[name]
	if !ok {
		return "", nil
	}
	return parseText(strconv.Quote(name), raw, maxBytes)
}

// identifier returns a claim that is a string or a whole number, which stands for
// its decimal text. It is empty if the claim is missing.
func (c claimSet) identifier(name string, maxBytes int) (string, error) {
	raw := c[name]
	if isWhole(raw) && len(raw) <= maxBytes {
		return string(raw), nil
	}
	return c.text(name, maxBytes)
}

// isWhole reports whether raw is a number in the one spelling without a point or
// an exponent.
func isWhole(raw json.RawMessage) bool {
	digits := bytes.TrimPrefix(raw, []byte("-"))
	if len(digits) == 0 || digits[0] == '0' && len(raw) > 1 {
		return false
	}
	return !bytes.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
}

// name returns a claim that is only shown, and so never a reason to refuse a
// token: what FitName makes of a string or a number, empty for anything else.
func (c claimSet) name(claim string) string {
	var s string
	if isWhole(c[claim]) {
		s = string(c[claim])
	} else if json.Unmarshal(c[claim], &s) != nil {
		return ""
	}
	return FitName(s)
}

func parseText(what string, raw json.RawMessage, maxBytes int) (string, error) {
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("claim %s is not a string", what)
	}
	if len(s) > maxBytes {
		return "", fmt.Errorf("claim %s is longer than %d bytes", what, maxBytes)
	}
	// An escaped half of a surrogate pair decodes to U+FFFD, so that two different
	// texts would become one. Control characters would break lines on a page.
	if strings.ContainsRune(s, utf8.RuneError) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("claim %s has control characters or is not valid Unicode", what)
	}
	return s, nil
}

// texts returns a claim that is a list of strings or a single string, nil if it
// is missing.
func (c claimSet) texts(name string, maxBytes int) ([]string, error) {
	raw, ok := c[name]
	if !ok {
		return nil, nil
	}
	var list []json.RawMessage
	switch {
	case raw[0] == '"':
		list = []json.RawMessage{raw}
	case raw[0] != '[' || json.Unmarshal(raw, &list) != nil:
		return nil, fmt.Errorf("claim %q is neither a list of strings nor a string", name)
	}
	if len(list) > maxClaimList {
		return nil, fmt.Errorf("claim %q has more than %d entries", name, maxClaimList)
	}
	out := make([]string, len(list))
	for i, item := range list {
		var err error
		if out[i], err = parseText(fmt.Sprintf("%q[%d]", name, i), item, maxBytes); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// date returns a claim in seconds since 1970, nil if it is missing.
func (c claimSet) date(name string) (*jwt.NumericDate, error) {
	raw, ok := c[name]
	if !ok {
		return nil, nil
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || !(seconds >= 0 && seconds <= maxExpiry) { // Written so that NaN is refused.
		return nil, fmt.Errorf("claim %q is not a time in seconds since 1970", name)
	}
	return jwt.NewNumericDate(time.Unix(int64(seconds), 0)), nil
}

// issued returns when a token was made, which decides only whether it is of the
// time before a kick; zero: it does not say. The signer's clock may be ahead.
func (c claimSet) issued(now time.Time) time.Time {
	seconds, err := strconv.ParseFloat(string(c["iat"]), 64)
	if err != nil || !(seconds > 0 && seconds <= maxExpiry) {
		return time.Time{}
	}
	made := time.UnixMicro(int64(seconds * 1e6))
	if made.After(now) {
		made = now
	}
	return made.UTC().Truncate(time.Microsecond)
}

// The methods below implement jwt.Claims.

func (c claimSet) GetExpirationTime() (*jwt.NumericDate, error) { return c.date("exp") }
func (c claimSet) GetIssuedAt() (*jwt.NumericDate, error)       { return c.date("iat") }
func (c claimSet) GetNotBefore() (*jwt.NumericDate, error)      { return c.date("nbf") }
func (c claimSet) GetIssuer() (string, error)                   { return c.text("iss", maxForeignTokenBytes) }
func (c claimSet) GetSubject() (string, error)                  { return c.identifier("sub", maxSubjectBytes) }

func (c claimSet) GetAudience() (jwt.ClaimStrings, error) {
	return c.texts("aud", maxForeignTokenBytes)
}
