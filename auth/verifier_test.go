package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestVerifierTakesEachAlgorithm(t *testing.T) {
	want := Ticket{
		User: User{"app", "ann"}, Name: "Ann", Rooms: []string{"standup", "team-*"}, Role: RoleMember, Expires: epoch.Add(time.Hour),
	}
	for _, alg := range allAlgorithms() {
		v := testVerifier(t, appConfig(alg))
		got, err := v.Verify(appSign(t, alg, appClaims()))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", alg, got, err)
		}
		own := mustIssue(t, testTickets(epoch), Ticket{Name: "Bob"}, time.Hour)
		if got, err := v.Verify(own); err != nil || got.User.Issuer != Issuer {
			t.Errorf("beside %s our own ticket is %+v, %v", alg, got, err)
		}
	}
}

// TestAlgorithmsAreNotConfused signs by every algorithm for an issuer of every
// other. It also uses each public key, in every form that is published, as a secret.
func TestAlgorithmsAreNotConfused(t *testing.T) {
	for _, taken := range allAlgorithms() {
		v := testVerifier(t, appConfig(taken))
		for _, alg := range allAlgorithms() {
			_, err := v.Verify(appSign(t, alg, appClaims()))
			if alg == taken && err != nil || alg != taken && !errors.Is(err, ErrUnauthorized) {
				t.Errorf("an issuer of %s is given %s: %v", taken, alg, err)
			}
		}
		key, ok := appKeys()[taken]
		if !ok {
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		for _, secret := range [][]byte{der, text, []byte(strings.TrimSpace(string(text)))} {
			for _, alg := range hmacAlgorithms() {
				forged := sign(t, jwt.GetSigningMethod(alg), secret, appClaims())
				if _, err := v.Verify(forged); !errors.Is(err, ErrUnauthorized) {
					t.Errorf("the public key of %s was a secret for %s: %v", taken, alg, err)
				}
			}
		}
	}
}

func TestVerifierKnowsRevokedInvites(t *testing.T) {
	refuses := func(tk Ticket) error {
		if tk.Invite == "bad" {
			return ErrInviteRevoked
		}
		return nil
	}
	for _, configs := range [][]IssuerConfig{nil, {appConfig("HS256")}} {
		v, err := NewVerifier(testTickets(epoch), refuses, configs, fixedClock(epoch), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for invite, bad := range map[string]bool{"": false, "good": false, "bad": true} {
			token := mustIssue(t, testTickets(epoch), Ticket{Invite: invite}, time.Hour)
			if tk, err := v.Verify(token); bad != errors.Is(err, ErrUnauthorized) || !bad && tk.Invite != invite {
				t.Errorf("a ticket of invite %q is %+v, %v", invite, tk, err)
			}
		}
		// An invite in another app's token means nothing.
		if _, err := v.Verify(appSign(t, "HS256", appWith("inv", "bad"))); len(configs) > 0 && err != nil {
			t.Error(err)
		}
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func jsonOf(claims jwt.MapClaims) string {
	data, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// rawToken signs a header and claims as they are, even if they are no valid JSON.
func rawToken(alg, header, claims string) string {
	text := b64(header) + "." + b64(claims)
	signature, err := jwt.GetSigningMethod(alg).Sign(text, []byte(appSecret))
	if err != nil {
		panic(err)
	}
	return text + "." + b64(string(signature))
}

func TestVerifierRefuses(t *testing.T) {
	v := testVerifier(t, appConfig("HS256"))
	good := appSign(t, "HS256", appClaims())
	parts := strings.Split(good, ".")
	manyRooms := make([]string, 10_000)
	for i := range manyRooms {
		manyRooms[i] = "r"
	}
	claims := func(s string) string { // beside good ones
		return rawToken("HS256", `{"alg":"HS256"}`, fmt.Sprintf(`{"iss":"https://app.example","aud":"turnpike","exp":%d,%s}`, epoch.Add(time.Hour).Unix(), s))
	}
	if _, err := v.Verify(claims(`"sub":"ann"`)); err != nil {
		t.Fatalf("the claims that are spoiled below are refused anyway: %v", err)
	}

	for name, token := range map[string]string{
		"empty":                 "",
		"garbage":               "a.b.c",
		"two parts":             parts[0] + "." + parts[1],
		"no signature":          parts[0] + "." + parts[1] + ".",
		"changed claims":        parts[0] + "." + segment(appWith("role", "admin")) + "." + parts[2],
		"line break":            good + "\n",
		"huge":                  good + strings.Repeat("A", maxForeignTokenBytes),
		"huge, signed":          appSign(t, "HS256", appWith("x", strings.Repeat("A", maxForeignTokenBytes))),
		"alg none":              sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, appClaims()),
		"alg None, signed":      rawToken("HS256", `{"alg":"None"}`, jsonOf(appClaims())),
		"alg missing":           rawToken("HS256", `{}`, jsonOf(appClaims())),
		"alg of a number":       rawToken("HS256", `{"alg":256}`, jsonOf(appClaims())),
		"another secret":        sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), appClaims()),
		"empty secret":          sign(t, jwt.SigningMethodHS256, []byte{}, appClaims()),
		"crit":                  appSign(t, "HS256", appClaims(), "crit", []string{"b64"}, "b64", false),
		"iss unknown":           appSign(t, "HS256", appWith("iss", "https://evil.example")),
		"iss ours":              appSign(t, "HS256", appWith("iss", Issuer)),
		"iss missing":           appSign(t, "HS256", appWithout("iss")),
		"iss null":              appSign(t, "HS256", appWith("iss", nil)),
		"iss a list":            appSign(t, "HS256", appWith("iss", []string{"https://app.example"})),
		"iss in capitals":       appSign(t, "HS256", merge(appWithout("iss"), "ISS", "https://app.example")),
		"aud wrong":             appSign(t, "HS256", appWith("aud", "other")),
		"aud missing":           appSign(t, "HS256", appWithout("aud")),
		"aud null":              appSign(t, "HS256", appWith("aud", nil)),
		"aud of numbers":        appSign(t, "HS256", appWith("aud", []any{1, "turnpike"})),
		"aud an object":         appSign(t, "HS256", appWith("aud", map[string]string{"turnpike": "turnpike"})),
		"exp missing":           appSign(t, "HS256", appWithout("exp")),
		"exp null":              appSign(t, "HS256", appWith("exp", nil)),
		"exp a string":          appSign(t, "HS256", appWith("exp", fmt.Sprint(epoch.Add(time.Hour).Unix()))),
		"exp beyond all time":   appSign(t, "HS256", appWith("exp", 1e18)),
		"exp negative":          appSign(t, "HS256", appWith("exp", -1)),
		"exp 1e999":             claims(`"sub":"ann","nbf":1e999`),
		"nbf in the future":     appSign(t, "HS256", appWith("nbf", epoch.Add(31*time.Second).Unix())),
		"nbf a string":          appSign(t, "HS256", appWith("nbf", "now")),
		"expired, other aud":    appSign(t, "HS256", merge(appWith("exp", epoch.Add(-time.Hour).Unix()), "aud", "x")),
		"expired, forged":       sign(t, jwt.SigningMethodHS256, []byte("guess"), appWith("exp", epoch.Add(-time.Hour).Unix())),
		"sub missing":           appSign(t, "HS256", appWithout("sub")),
		"sub empty":             appSign(t, "HS256", appWith("sub", "")),
		"sub null":              appSign(t, "HS256", appWith("sub", nil)),
		"sub a fraction":        appSign(t, "HS256", appWith("sub", 1.5)),
		"sub with an exponent":  claims(`"sub":1e3`),
		"sub a negative zero":   claims(`"sub":-0`),
		"sub a boolean":         claims(`"sub":true`),
		"sub a list":            claims(`"sub":["ann"]`),
		"sub of 256 digits":     claims(`"sub":1` + strings.Repeat("0", maxSubjectBytes)),
		"sub too long":          appSign(t, "HS256", appWith("sub", strings.Repeat("a", maxSubjectBytes+1))),
		"sub breaks a line":     appSign(t, "HS256", appWith("sub", "a\nb")),
		"sub half a surrogate":  claims(`"sub":"ann\ud800"`),
		"sub no UTF-8":          claims("\"sub\":\"ann\xff\""),
		"sub twice":             claims(`"sub":"ann","sub":"bob"`),
		"sub twice, escaped":    claims(`"sub":"ann","\u0073ub":"bob"`),
		"sub in capitals":       claims(`"SUB":"ann"`),
		"name twice":            claims(`"sub":"ann","name":"Ann","name":"Bob"`),
		"role unknown":          appSign(t, "HS256", appWith("role", "king")),
		"role empty":            appSign(t, "HS256", appWith("role", "")),
		"role null":             appSign(t, "HS256", appWith("role", nil)),
		"role a list":           appSign(t, "HS256", appWith("role", []string{"admin"})),
		"rooms null":            appSign(t, "HS256", appWith("rooms", nil)),
		"rooms a number":        appSign(t, "HS256", appWith("rooms", 1)),
		"rooms an object":       appSign(t, "HS256", appWith("rooms", map[string]bool{"standup": true})),
		"rooms of numbers":      appSign(t, "HS256", appWith("rooms", []any{"standup", 1})),
		"rooms of null":         appSign(t, "HS256", appWith("rooms", []any{nil})),
		"rooms, one empty":      appSign(t, "HS256", appWith("rooms", []string{""})),
		"rooms, one too long":   appSign(t, "HS256", appWith("rooms", strings.Repeat("a", maxPatternBytes+1))),
		"rooms, a bad pattern":  appSign(t, "HS256", appWith("rooms", "[a")),
		"rooms, too many bytes": appSign(t, "HS256", appWith("rooms", slices.Repeat([]string{strings.Repeat("a", 100)}, 21))),
		"jti too long":          appSign(t, "HS256", appWith("jti", strings.Repeat("a", maxIDBytes+1))),
		"257 rooms":             appSign(t, "HS256", appWith("rooms", manyRooms[:maxClaimList+1])),
		"10,000 rooms":          appSign(t, "HS256", appWith("rooms", manyRooms)),
		"claims of a list":      rawToken("HS256", `{"alg":"HS256"}`, `["https://app.example"]`),
		"claims of null":        rawToken("HS256", `{"alg":"HS256"}`, `null`),
		"claims twice":          rawToken("HS256", `{"alg":"HS256"}`, jsonOf(appClaims())+"{}"),
	} {
		t.Run(name, func(t *testing.T) {
			tk, err := v.Verify(token)
			if !errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrExpired) {
				t.Errorf("error %v, want plain ErrUnauthorized", err)
			}
			if !reflect.DeepEqual(tk, Ticket{}) {
				t.Errorf("refused and yet returned %+v", tk)
			}
		})
	}
	if _, err := v.Verify(appSign(t, "HS256", appWith("exp", epoch.Add(-30*time.Second).Unix()))); !errors.Is(err, ErrExpired) {
		t.Errorf("an old token: %v", err)
	}
	if _, err := v.Verify(appSign(t, "HS256", appWith("exp", epoch.Add(-29*time.Second).Unix()))); err != nil {
		t.Errorf("a token within the leeway: %v", err)
	}
}

// TestTokenBringsNoKey signs with a key that the header holds or points to.
func TestTokenBringsNoKey(t *testing.T) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := stranger.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	v := testVerifier(t, appConfig("ES256"))
	for name, value := range map[string]any{
		"jku": "https://evil.example/jwks.json", "x5u": "https://evil.example/cert.pem",
		"x5c": []string{"MIIB"}, "jwk": map[string]string{"kty": "EC", "crv": "P-256", "x": b64(string(public[1:33])), "y": b64(string(public[33:]))},
		"kid": "../../../dev/null",
	} {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, appClaims())
		token.Header[name] = value
		forged, err := token.SignedString(stranger)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(forged); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("forged, with %s: %v", name, err)
		}
		// The app's own tokens may have such fields: nobody reads them.
		if _, err := v.Verify(appSign(t, "ES256", appClaims(), name, value)); err != nil {
			t.Errorf("good, with %s: %v", name, err)
		}
	}
}

// FuzzVerifier holds that a token of the app verifies only as it was signed.
func FuzzVerifier(f *testing.F) {
	v := testVerifier(f, appConfig("HS256"))
	signed := map[string]bool{}
	for _, claims := range []jwt.MapClaims{appClaims(), appWithout("rooms"), appWith("role", "admin")} {
		token := appSign(f, "HS256", claims)
		signed[token] = true
		f.Add(token)
	}
	for _, token := range spoiled(f) {
		f.Add(token)
	}
	f.Add(sign(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, appClaims()))
	f.Fuzz(func(t *testing.T, token string) {
		tk, err := v.Verify(token)
		switch {
		case signed[token] && (err != nil || tk.User != User{"app", "ann"}):
			t.Errorf("the app's token is %+v, %v", tk, err)
		case !signed[token] && (!errors.Is(err, ErrUnauthorized) || !reflect.DeepEqual(tk, Ticket{})):
			t.Errorf("nobody's token is %+v, %v: %q", tk, err, token)
		}
	})
}
