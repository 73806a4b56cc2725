package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
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
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// appKeys are another app's, made once because RSA keys take their time.
var appKeys = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(key crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return key
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	keys := map[string]crypto.Signer{"RS256": must(rsaKey, err), "PS256": rsaKey}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys["ES256"] = must(ecKey, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	keys["EdDSA"] = must(edKey, err)
	return keys
})

const appSecret = "a secret of the app that is long enough to be none"

// appConfig is an issuer "app" for one algorithm.
func appConfig(alg string) IssuerConfig {
	c := IssuerConfig{
		Name: "app", Issuer: "https://app.example", Algorithms: []string{alg}, Audience: "turnpike", Leeway: 30 * time.Second,
		NameClaim: "name", RoomsClaim: "rooms", RoleClaim: "role", DefaultRooms: []string{"lobby"}, DefaultRole: RoleGuest,
	}
	if key, ok := appKeys()[alg]; ok {
		c.Keys = []crypto.PublicKey{key.Public()}
	} else {
		c.Secret = NewSecret([]byte(appSecret))
	}
	return c
}

func appClaims() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": "https://app.example", "aud": "turnpike", "sub": "ann", "exp": epoch.Add(time.Hour).Unix(),
		"name": "Ann", "rooms": []string{"standup", "team-*"}, "role": "member",
	}
}

func appWith(key string, value any) jwt.MapClaims { return merge(appClaims(), key, value) }

func appWithout(key string) jwt.MapClaims {
	c := appClaims()
	delete(c, key)
	return c
}

// appSign signs as the app does.
func appSign(t testing.TB, alg string, claims jwt.Claims, header ...any) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), claims)
	for i := 0; i < len(header); i += 2 {
		token.Header[header[i].(string)] = header[i+1]
	}
	var key any = []byte(appSecret)
	if signer, ok := appKeys()[alg]; ok {
		key = signer
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testVerifier(t testing.TB, configs ...IssuerConfig) *Verifier {
	t.Helper()
	v, err := NewVerifier(testTickets(epoch), nil, configs, at(epoch), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func allAlgorithms() []string { return slices.Concat(hmacAlgorithms(), publicAlgorithms()) }

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
// other, and takes each public key, as it may be found, for a secret.
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
	revoked := func(invite string) bool { return invite == "bad" }
	for _, configs := range [][]IssuerConfig{nil, {appConfig("HS256")}} {
		v, err := NewVerifier(testTickets(epoch), revoked, configs, at(epoch), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for invite, bad := range map[string]bool{"": false, "good": false, "bad": true} {
			token := mustIssue(t, testTickets(epoch), Ticket{Invite: invite}, time.Hour)
			if tk, err := v.Verify(token); bad != errors.Is(err, ErrUnauthorized) || !bad && tk.Invite != invite {
				t.Errorf("a ticket of invite %q is %+v, %v", invite, tk, err)
			}
		}
		// What another app says of invites is nothing to us.
		if _, err := v.Verify(appSign(t, "HS256", appWith("inv", "bad"))); len(configs) > 0 && err != nil {
			t.Error(err)
		}
	}
}

func TestVerifierMapsClaims(t *testing.T) {
	base, err := testVerifier(t, appConfig("HS256")).Verify(appSign(t, "HS256", appClaims()))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		config func(*IssuerConfig)
		claims jwt.MapClaims
		want   func(*Ticket)
	}{
		"defaults": {nil, jwt.MapClaims{"iss": "https://app.example", "aud": "turnpike", "sub": "ann", "exp": epoch.Add(time.Hour).Unix()},
			func(tk *Ticket) { tk.Name, tk.Rooms, tk.Role = "", []string{"lobby"}, RoleGuest }},
		"one room":               {nil, appWith("rooms", "standup"), func(tk *Ticket) { tk.Rooms = []string{"standup"} }},
		"no room at all":         {nil, appWith("rooms", []string{}), func(tk *Ticket) { tk.Rooms = []string{} }},
		"ID":                     {nil, appWith("jti", "x"), func(tk *Ticket) { tk.ID = "x" }},
		"several audiences":      {nil, appWith("aud", []string{"other", "turnpike"}), nil},
		"any audience":           {func(c *IssuerConfig) { c.Audience = AnyAudience }, appWithout("aud"), nil},
		"fraction of a second":   {nil, appWith("exp", float64(epoch.Add(time.Hour).Unix())+0.75), nil},
		"a subject with a colon": {nil, appWith("sub", "auth0|a:b"), func(tk *Ticket) { tk.User.Subject = "auth0|a:b" }},
		"within the leeway":      {nil, appWith("nbf", epoch.Add(30*time.Second).Unix()), nil},
		"other claims": {
			func(c *IssuerConfig) {
				c.NameClaim, c.RoomsClaim, c.RoleClaim = "nick", "https://app.example/rooms", "level"
			},
			merge(merge(merge(appClaims(), "nick", "Annie"), "https://app.example/rooms", []string{"den"}), "level", "admin"),
			func(tk *Ticket) { tk.Name, tk.Rooms, tk.Role = "Annie", []string{"den"}, RoleAdmin },
		},
		"claims that are not read": {
			func(c *IssuerConfig) { c.NameClaim, c.RoomsClaim, c.RoleClaim = "", "", "" },
			merge(merge(appWith("name", 1), "rooms", 2), "role", "authenticated"),
			func(tk *Ticket) { tk.Name, tk.Rooms, tk.Role = "", []string{"lobby"}, RoleGuest },
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, want := appConfig("HS256"), base
			if tt.config != nil {
				tt.config(&c)
			}
			if tt.want != nil {
				tt.want(&want)
			}
			got, err := testVerifier(t, c).Verify(appSign(t, "HS256", tt.claims))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, %v\nwant %+v", got, err, want)
			}
		})
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

// rawToken signs a header and claims as they are, which need be no good JSON.
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
		t.Fatalf("what is spoiled below is bad itself: %v", err)
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
		"iat in the future":     appSign(t, "HS256", appWith("iat", epoch.Add(31*time.Second).Unix())),
		"expired, other aud":    appSign(t, "HS256", merge(appWith("exp", epoch.Add(-time.Hour).Unix()), "aud", "x")),
		"expired, forged":       sign(t, jwt.SigningMethodHS256, []byte("guess"), appWith("exp", epoch.Add(-time.Hour).Unix())),
		"sub missing":           appSign(t, "HS256", appWithout("sub")),
		"sub empty":             appSign(t, "HS256", appWith("sub", "")),
		"sub null":              appSign(t, "HS256", appWith("sub", nil)),
		"sub a number":          appSign(t, "HS256", appWith("sub", 17)),
		"sub too long":          appSign(t, "HS256", appWith("sub", strings.Repeat("a", maxSubjectBytes+1))),
		"sub breaks a line":     appSign(t, "HS256", appWith("sub", "a\nb")),
		"sub half a surrogate":  claims(`"sub":"ann\ud800"`),
		"sub no UTF-8":          claims("\"sub\":\"ann\xff\""),
		"sub twice":             claims(`"sub":"ann","sub":"bob"`),
		"sub twice, escaped":    claims(`"sub":"ann","\u0073ub":"bob"`),
		"sub in capitals":       claims(`"SUB":"ann"`),
		"jti a number":          appSign(t, "HS256", appWith("jti", 1)),
		"name a number":         appSign(t, "HS256", appWith("name", 1)),
		"name null":             appSign(t, "HS256", appWith("name", nil)),
		"name an object":        appSign(t, "HS256", appWith("name", map[string]string{"__proto__": "x"})),
		"name huge":             appSign(t, "HS256", appWith("name", strings.Repeat("a", maxRawNameBytes+1))),
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

// TestTokenBringsNoKey signs with a key that the header points to, or holds.
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
		// The app's own tokens may have such fields: they are not looked at.
		if _, err := v.Verify(appSign(t, "ES256", appClaims(), name, value)); err != nil {
			t.Errorf("good, with %s: %v", name, err)
		}
	}
}

func TestIssuerConfigFaults(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		alg  string
		set  func(*IssuerConfig)
		want string // The first fault's key; empty: none.
	}{
		"good":                 {"ES256", func(*IssuerConfig) {}, ""},
		"no name":              {"ES256", func(c *IssuerConfig) { c.Name = "" }, "name"},
		"our name":             {"ES256", func(c *IssuerConfig) { c.Name = Issuer }, "name"},
		"colon":                {"ES256", func(c *IssuerConfig) { c.Name = "a:b" }, "name"},
		"long name":            {"ES256", func(c *IssuerConfig) { c.Name = strings.Repeat("a", 33) }, "name"},
		"our iss":              {"ES256", func(c *IssuerConfig) { c.Issuer = Issuer }, "issuer"},
		"no algorithm":         {"ES256", func(c *IssuerConfig) { c.Algorithms = nil }, "algorithms"},
		"none":                 {"ES256", func(c *IssuerConfig) { c.Algorithms = []string{"ES256", "none"} }, "algorithms[1]"},
		"HS256 with a key":     {"ES256", func(c *IssuerConfig) { c.Algorithms = []string{"HS256"} }, "algorithms[0]"},
		"HS256 with a URL":     {"ES256", func(c *IssuerConfig) { c.Keys, c.JWKSURL, c.Algorithms = nil, "https://a/b", []string{"HS256"} }, "algorithms[0]"},
		"RS256 with a secret":  {"HS256", func(c *IssuerConfig) { c.Algorithms = []string{"HS256", "RS256"} }, "algorithms[1]"},
		"in small letters":     {"HS256", func(c *IssuerConfig) { c.Algorithms = []string{"hs256"} }, "algorithms[0]"},
		"a key that fits not":  {"ES256", func(c *IssuerConfig) { c.Keys = append(c.Keys, p384.Public()) }, "key_file"},
		"no audience":          {"ES256", func(c *IssuerConfig) { c.Audience = "" }, "audience"},
		"negative leeway":      {"ES256", func(c *IssuerConfig) { c.Leeway = -1 }, "leeway"},
		"an hour of leeway":    {"ES256", func(c *IssuerConfig) { c.Leeway = time.Hour }, "leeway"},
		"short secret":         {"HS256", func(c *IssuerConfig) { c.Secret = NewSecret([]byte("hunter2")) }, "secret"},
		"http":                 {"ES256", func(c *IssuerConfig) { c.Keys, c.JWKSURL = nil, "http://app.example/jwks" }, "jwks_url"},
		"user info":            {"ES256", func(c *IssuerConfig) { c.Keys, c.JWKSURL = nil, "https://a:b@app.example/jwks" }, "jwks_url"},
		"http on this machine": {"ES256", func(c *IssuerConfig) { c.Keys, c.JWKSURL = nil, "http://127.0.0.1:1/jwks" }, ""},
		"unknown role":         {"ES256", func(c *IssuerConfig) { c.DefaultRole = "king" }, "default_role"},
		"bad default room":     {"ES256", func(c *IssuerConfig) { c.DefaultRooms = []string{"*", "[a"} }, "default_rooms[1]"},
	} {
		c := appConfig(tt.alg)
		tt.set(&c)
		got := ""
		if faults := c.Check(); len(faults) > 0 {
			got = faults[0].Key
		}
		if got != tt.want {
			t.Errorf("%s: fault of %q, want %q", name, got, tt.want)
		}
		if tt.want == "" {
			continue
		}
		if _, err := NewVerifier(testTickets(epoch), nil, []IssuerConfig{c}, at(epoch), slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: made all the same", name)
		}
	}
	a, b := appConfig("ES256"), appConfig("HS256")
	b.Name = "b"
	if _, err := NewVerifier(testTickets(epoch), nil, []IssuerConfig{a, b}, at(epoch), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("two issuers have the same iss")
	}
}

// TestGreatestTicketResumes holds that what an app may put into a token fits
// into the resume token of its session.
func TestGreatestTicketResumes(t *testing.T) {
	rooms := slices.Repeat([]string{strings.Repeat("r", 64)}, maxRoomsBytes/64)
	claims := merge(merge(merge(appClaims(), "rooms", rooms), "sub", strings.Repeat("s", maxSubjectBytes)), "jti", strings.Repeat("j", maxIDBytes))
	tk, err := testVerifier(t, appConfig("HS256")).Verify(appSign(t, "HS256", claims))
	if err != nil {
		t.Fatal(err)
	}
	resume := Resume{Session: strings.Repeat("s", 64), Epoch: strings.Repeat("e", 64), Generation: 1 << 60, Ticket: tk, Name: strings.Repeat("李", MaxNameRunes)}
	for range 16 {
		resume.In = append(resume.In, ResumeRoom{ID: strings.Repeat("r", 64), Size: 16})
	}
	token, err := NewResumeTokens(testSecret("a"), at(epoch), testRand("resume")).Issue(resume)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d bytes", len(token), maxTokenBytes)
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

// FuzzClaims signs whatever claims there are, as an app may that was taken
// over: what becomes a ticket has to keep every bound.
func FuzzClaims(f *testing.F) {
	for _, c := range []jwt.MapClaims{appClaims(), appWithout("rooms"), appWith("exp", "x"), appWith("rooms", []any{nil})} {
		f.Add(jsonOf(c))
	}
	f.Add(`{"iss":"https://app.example","iss":"x"}`)
	f.Add(`{"exp":1e400,"iss":"\ud800"}`)
	v := testVerifier(f, appConfig("HS256"))
	f.Fuzz(func(t *testing.T, claims string) {
		tk, err := v.Verify(rawToken("HS256", `{"alg":"HS256","typ":"JWT"}`, claims))
		if err != nil {
			if !errors.Is(err, ErrUnauthorized) || !reflect.DeepEqual(tk, Ticket{}) {
				t.Errorf("%+v, %v", tk, err)
			}
			return
		}
		if tk.User.Issuer != "app" || tk.User.Subject == "" || len(tk.User.Subject) > maxSubjectBytes || !tk.Role.valid() ||
			len(tk.Rooms) > maxClaimList || len(strings.Join(tk.Rooms, "")) > maxRoomsBytes || tk.Expires.Before(epoch.Add(-time.Minute)) || len(tk.Name) > maxRawNameBytes {
			t.Errorf("%q is %+v", claims, tk)
		}
		for _, pattern := range tk.Rooms {
			if checkPattern(pattern) != nil {
				t.Errorf("%q opens %q", claims, pattern)
			}
		}
	})
}

func TestParsePublicKeys(t *testing.T) {
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	pkix := func(key crypto.PublicKey) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	ec, rsaKey := appKeys()["ES256"], appKeys()["RS256"].(*rsa.PrivateKey)
	private, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		data []byte
		keys int
		err  string
	}{
		"one":         {block("PUBLIC KEY", pkix(ec.Public())), 1, ""},
		"two":         {slices.Concat([]byte("of the app\n"), block("PUBLIC KEY", pkix(ec.Public())), block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey))), 2, ""},
		"nothing":     {nil, 0, "no public key"},
		"text":        {[]byte("ssh-ed25519 AAAA"), 0, "no public key"},
		"private":     {block("PRIVATE KEY", private), 0, "belongs to the app alone"},
		"damaged":     {block("PUBLIC KEY", pkix(ec.Public())[:20]), 0, "cannot be read"},
		"other block": {block("X509 CRL", nil), 0, "cannot be read"},
	} {
		keys, err := ParsePublicKeys(tt.data)
		if len(keys) != tt.keys || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
}

func FuzzParsePublicKeys(f *testing.F) {
	der, err := x509.MarshalPKIXPublicKey(appKeys()["ES256"].Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParsePublicKeys(data)
		if (err == nil) == (len(keys) == 0) {
			t.Errorf("%d keys and error %v", len(keys), err)
		}
		for _, key := range keys {
			for _, alg := range hmacAlgorithms() {
				if fits(alg, key) {
					t.Errorf("%T is a secret for %s", key, alg)
				}
			}
		}
	})
}
