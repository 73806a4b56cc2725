package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// goodClaims returns the claims of a valid ticket, for tests to spoil.
func goodClaims() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": "turnpike", "aud": "turnpike", "sub": "ann", "jti": "id", "name": "Ann", "role": "guest", "rooms": []string{"*"},
		"iat": epoch.Unix(), "nbf": epoch.Unix(), "exp": epoch.Add(time.Hour).Unix(),
	}
}

func with(key string, value any) jwt.MapClaims {
	c := goodClaims()
	c[key] = value
	return c
}

func without(key string) jwt.MapClaims {
	c := goodClaims()
	delete(c, key)
	return c
}

func sign(t testing.TB, method jwt.SigningMethod, key any, claims jwt.Claims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func signKey(t testing.TB, claims jwt.Claims) string {
	return sign(t, jwt.SigningMethodHS256, testTickets(epoch).signer.key.Bytes(), claims)
}

func segment(v any) string {
	data, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(data)
}

// TestGoodClaimsVerify holds that goodClaims cause none of the refusals below.
func TestGoodClaimsVerify(t *testing.T) {
	if _, err := testTickets(epoch).Verify(signKey(t, goodClaims())); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	tickets := testTickets(epoch)
	key := tickets.signer.key.Bytes()
	good := mustIssue(t, tickets, Ticket{Name: "Ann", Rooms: []string{"*"}}, time.Hour)
	parts := strings.Split(good, ".")
	invite, _, err := testInvites(epoch).Issue(Invite{Room: "r"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	otherKey := mustIssue(t, NewTickets(testSecret("b"), fixedClock(epoch), testRand("")), Ticket{}, time.Hour)
	masterKey := sign(t, jwt.SigningMethodHS256, testSecret("a").Bytes(), goodClaims())
	ecKey, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), key)
	if err != nil {
		t.Fatal(err)
	}

	for name, token := range map[string]string{
		"empty":              "",
		"dots":               "..",
		"garbage":            "not a token",
		"two parts":          parts[0] + "." + parts[1],
		"four parts":         good + ".x",
		"long":               good + strings.Repeat("A", maxTokenBytes),
		"bearer":             "Bearer " + good,
		"space before":       " " + good,
		"line break after":   good + "\n",
		"line break within":  good[:len(good)-5] + "\r\n" + good[len(good)-5:],
		"padding":            good + "=",
		"no signature":       parts[0] + "." + parts[1] + ".",
		"short signature":    good[:len(good)-4],
		"another's key":      otherKey,
		"underived key":      masterKey,
		"changed claims":     parts[0] + "." + segment(with("role", "admin")) + "." + parts[2],
		"changed header":     segment(map[string]string{"alg": "HS256", "typ": "X"}) + "." + parts[1] + "." + parts[2],
		"alg none":           sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, goodClaims()),
		"alg None, signed":   segment(map[string]string{"alg": "None"}) + "." + parts[1] + "." + parts[2],
		"no alg":             segment(map[string]string{"typ": "JWT"}) + "." + parts[1] + "." + parts[2],
		"alg of a number":    segment(map[string]int{"alg": 256}) + "." + parts[1] + "." + parts[2],
		"alg HS384":          sign(t, jwt.SigningMethodHS384, key, goodClaims()),
		"alg HS512":          sign(t, jwt.SigningMethodHS512, key, goodClaims()),
		"alg ES256":          sign(t, jwt.SigningMethodES256, ecKey, goodClaims()),
		"invite":             invite,
		"audience of invite": signKey(t, with("aud", "turnpike-invite")),
		"audience unknown":   signKey(t, with("aud", []string{"turnpikes", "x"})),
		"audience empty":     signKey(t, with("aud", []string{})),
		"audience missing":   signKey(t, without("aud")),
		"issuer unknown":     signKey(t, with("iss", "accounts.example")),
		"issuer missing":     signKey(t, without("iss")),
		"subject empty":      signKey(t, with("sub", "")),
		"subject missing":    signKey(t, without("sub")),
		"ID missing":         signKey(t, without("jti")),
		"role missing":       signKey(t, without("role")),
		"role unknown":       signKey(t, with("role", "king")),
		"role of a number":   signKey(t, with("role", 1)),
		"bad room pattern":   signKey(t, with("rooms", []string{"[a"})),
		"rooms of a string":  signKey(t, with("rooms", "*")),
		"expiry missing":     signKey(t, without("exp")),
		"expiry null":        signKey(t, with("exp", nil)),
		"expiry a string":    signKey(t, with("exp", "tomorrow")),
		"not-before missing": signKey(t, without("nbf")),
		"not yet":            signKey(t, with("nbf", epoch.Add(leeway+time.Second).Unix())),
		"from the future":    signKey(t, with("iat", epoch.Add(leeway+time.Second).Unix())),
		"claims of a list":   sign(t, jwt.SigningMethodHS256, key, listClaims{}),
	} {
		t.Run(name, func(t *testing.T) {
			tk, err := tickets.Verify(token)
			if !errors.Is(err, ErrUnauthorized) {
				t.Errorf("error %v, want ErrUnauthorized", err)
			}
			if errors.Is(err, ErrExpired) {
				t.Errorf("called expired: %v", err)
			}
			if !reflect.DeepEqual(tk, Ticket{}) {
				t.Errorf("refused and yet returned %+v", tk)
			}
		})
	}
}

// listClaims marshal as a list instead of an object.
type listClaims struct{ jwt.MapClaims }

func (listClaims) MarshalJSON() ([]byte, error) { return []byte(`["a"]`), nil }

// TestSignatureHasOneSpelling changes each character of a signature to every
// other of the alphabet: the last has two bits that no byte needs.
func TestSignatureHasOneSpelling(t *testing.T) {
	tickets := testTickets(epoch)
	good := mustIssue(t, tickets, Ticket{}, time.Hour)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="
	for i := strings.LastIndexByte(good, '.') + 1; i < len(good); i++ {
		for _, c := range alphabet {
			if forged := good[:i] + string(c) + good[i+1:]; forged != good {
				if _, err := tickets.Verify(forged); err == nil {
					t.Errorf("verified with character %d as %q", i, c)
				}
			}
		}
	}
}

func TestTicketIsNoInvite(t *testing.T) {
	invites := testInvites(epoch)
	token := mustIssue(t, testTickets(epoch), Ticket{Rooms: []string{"*"}}, time.Hour)
	if inv, err := invites.Verify(token); !errors.Is(err, ErrUnauthorized) || inv != (Invite{}) {
		t.Errorf("verified %+v, error %v", inv, err)
	}
	// Even if the key were the same, the audience would refuse.
	claims := with("room", "r")
	token = sign(t, jwt.SigningMethodHS256, invites.signer.key.Bytes(), claims)
	if inv, err := invites.Verify(token); !errors.Is(err, ErrUnauthorized) || inv != (Invite{}) {
		t.Errorf("verified %+v, error %v", inv, err)
	}
	claims["aud"] = inviteAudience
	for _, missing := range []string{"", "room", "role", "jti", "exp", "nbf", "iss", "aud"} {
		c := maps.Clone(claims)
		delete(c, missing)
		_, err := invites.Verify(sign(t, jwt.SigningMethodHS256, invites.signer.key.Bytes(), c))
		if missing == "" && err != nil {
			t.Errorf("a good invite was refused: %v", err)
		}
		if missing != "" && !errors.Is(err, ErrUnauthorized) {
			t.Errorf("without %s: error %v", missing, err)
		}
	}
}

func TestTokenLife(t *testing.T) {
	var now time.Time
	clock := func() time.Time { return now }
	tickets := NewTickets(testSecret("a"), clock, testRand("t"))
	invites := NewInvites(testSecret("a"), clock, testRand("i"))
	now = epoch
	ticket := mustIssue(t, tickets, Ticket{}, time.Hour)
	invite, _, err := invites.Issue(Invite{Room: "r"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		at   time.Duration
		want error
	}{
		{"long before", -leeway - time.Second, ErrUnauthorized},
		{"within the leeway before", -leeway, nil},
		{"at once", 0, nil},
		{"at its end", time.Hour, nil},
		{"within the leeway after", time.Hour + leeway - time.Second, nil},
		{"after the leeway", time.Hour + leeway, ErrExpired},
		{"years later", 5 * 365 * 24 * time.Hour, ErrExpired},
	} {
		now = epoch.Add(tt.at)
		for kind, verify := range map[string]func() error{
			"ticket": func() error { _, err := tickets.Verify(ticket); return err },
			"invite": func() error { _, err := invites.Verify(invite); return err },
		} {
			err := verify()
			if !errors.Is(err, tt.want) || (tt.want == nil) != (err == nil) {
				t.Errorf("%s %s: error %v, want %v", kind, tt.name, err, tt.want)
			}
			if tt.want != ErrExpired && errors.Is(err, ErrExpired) {
				t.Errorf("%s %s: called expired", kind, tt.name)
			}
		}
	}
}

// TestExpiredOnly holds that a forged token, or one for another place, never
// causes ErrExpired, which a client may see.
func TestExpiredOnly(t *testing.T) {
	tickets := testTickets(epoch)
	old := epoch.Add(-2 * time.Hour).Unix()
	if !errors.Is(ErrExpired, ErrUnauthorized) {
		t.Error("ErrExpired does not wrap ErrUnauthorized")
	}
	if _, err := tickets.Verify(signKey(t, with("exp", old))); !errors.Is(err, ErrExpired) {
		t.Errorf("an old ticket: %v", err)
	}
	for name, token := range map[string]string{
		"forged":         sign(t, jwt.SigningMethodHS256, []byte("guess"), with("exp", old)),
		"alg none":       sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, with("exp", old)),
		"wrong audience": signKey(t, merge(with("exp", old), "aud", "turnpike-invite")),
		"wrong issuer":   signKey(t, merge(with("exp", old), "iss", "x")),
		"not yet":        signKey(t, merge(with("exp", old), "nbf", epoch.Add(time.Hour).Unix())),
		"future":         signKey(t, merge(with("exp", old), "iat", epoch.Add(time.Hour).Unix())),
		"no not-before":  signKey(t, merge(with("exp", old), "nbf", nil)),
	} {
		if _, err := tickets.Verify(token); !errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrExpired) {
			t.Errorf("%s: error %v, want plain ErrUnauthorized", name, err)
		}
	}
}

func merge(c jwt.MapClaims, key string, value any) jwt.MapClaims {
	c[key] = value
	return c
}

// The fuzzers hold that a token verifies only if Issue made it. Their seeds
// are issued tokens, near which the engine looks for others.

func FuzzTicketVerify(f *testing.F) {
	tickets := testTickets(epoch)
	issued := map[string]Ticket{}
	for _, tk := range []Ticket{{}, {Name: "Ann", Rooms: []string{"*"}, Role: RoleAdmin}, {User: User{Subject: "x"}}} {
		token, out, err := tickets.Issue(tk, time.Hour)
		if err != nil {
			f.Fatal(err)
		}
		issued[token] = out
		f.Add(token)
	}
	for _, token := range spoiled(f) {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		tk, err := tickets.Verify(token)
		want, ours := issued[token]
		switch {
		case ours && (err != nil || !reflect.DeepEqual(tk, want)):
			t.Errorf("issued %+v, verified %+v, error %v", want, tk, err)
		case !ours && !errors.Is(err, ErrUnauthorized):
			t.Errorf("not issued, and error %v for %q", err, token)
		case !ours && !reflect.DeepEqual(tk, Ticket{}):
			t.Errorf("refused and yet returned %+v", tk)
		}
	})
}

func FuzzInviteVerify(f *testing.F) {
	invites := testInvites(epoch)
	issued := map[string]Invite{}
	for _, inv := range []Invite{{Room: "r"}, {Room: "standup", Role: RoleMember}} {
		token, out, err := invites.Issue(inv, time.Hour)
		if err != nil {
			f.Fatal(err)
		}
		issued[token] = out
		f.Add(token)
	}
	for _, token := range spoiled(f) {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		inv, err := invites.Verify(token)
		want, ours := issued[token]
		switch {
		case ours && (err != nil || inv != want):
			t.Errorf("issued %+v, verified %+v, error %v", want, inv, err)
		case !ours && (!errors.Is(err, ErrUnauthorized) || inv != Invite{}):
			t.Errorf("not issued, and %+v, error %v for %q", inv, err, token)
		}
	})
}

func spoiled(f *testing.F) []string {
	return []string{
		"", "..", "a.b.c",
		sign(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, goodClaims()),
		sign(f, jwt.SigningMethodHS256, []byte("guess"), goodClaims()),
		sign(f, jwt.SigningMethodHS384, []byte("guess"), goodClaims()),
	}
}
