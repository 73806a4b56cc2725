package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// appKeys are another app's keys, made only once because RSA keys take long.
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
	v, err := NewVerifier(testTickets(epoch), nil, configs, fixedClock(epoch), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func allAlgorithms() []string { return slices.Concat(hmacAlgorithms(), publicAlgorithms()) }

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
		"made a minute ahead":    {nil, appWith("iat", epoch.Add(time.Minute).Unix()), func(tk *Ticket) { tk.Issued = epoch }},
		"made before":            {nil, appWith("iat", epoch.Unix()-60), func(tk *Ticket) { tk.Issued = epoch.Add(-time.Minute) }},
		"made within a second":   {nil, appWith("iat", float64(epoch.Unix()-60)+0.5), func(tk *Ticket) { tk.Issued = epoch.Add(-59500 * time.Millisecond) }},
		"made at no time":        {nil, appWith("iat", "today"), nil},
		"a subject of digits":    {nil, appWith("sub", 17), func(tk *Ticket) { tk.User.Subject = "17" }},
		"a great subject": {nil, appWith("sub", json.Number("12345678901234567890123")),
			func(tk *Ticket) { tk.User.Subject = "12345678901234567890123" }},
		"a negative subject":    {nil, appWith("sub", -1001), func(tk *Ticket) { tk.User.Subject = "-1001" }},
		"a subject of zero":     {nil, appWith("sub", 0), func(tk *Ticket) { tk.User.Subject = "0" }},
		"an ID of digits":       {nil, appWith("jti", 7), func(tk *Ticket) { tk.ID = "7" }},
		"a name of two scripts": {nil, appWith("name", "Иванов Иван (IT)"), func(tk *Ticket) { tk.Name = "Иванов Иван (IT)" }},
		"a name of digits":      {nil, appWith("name", 7), func(tk *Ticket) { tk.Name = "7" }},
		"a name of null":        {nil, appWith("name", nil), func(tk *Ticket) { tk.Name = "" }},
		"a name of no text":     {nil, appWith("name", map[string]string{"__proto__": "x"}), func(tk *Ticket) { tk.Name = "" }},
		"a huge name":           {nil, appWith("name", strings.Repeat("a", 10_000)), func(tk *Ticket) { tk.Name = strings.Repeat("a", MaxNameRunes) }},
		"a name of two lines":   {nil, appWith("name", "Ann\nLee"), func(tk *Ticket) { tk.Name = "Ann Lee" }},
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
		"a key that is unfit":  {"ES256", func(c *IssuerConfig) { c.Keys = append(c.Keys, p384.Public()) }, "key_file"},
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
		if _, err := NewVerifier(testTickets(epoch), nil, []IssuerConfig{c}, fixedClock(epoch), slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: NewVerifier accepts the fault", name)
		}
	}
	a, b := appConfig("ES256"), appConfig("HS256")
	b.Name = "b"
	if _, err := NewVerifier(testTickets(epoch), nil, []IssuerConfig{a, b}, fixedClock(epoch), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("two issuers have the same iss")
	}
}

// TestGreatestTicketResumes holds that the greatest ticket that an app may issue
// fits into the resume token of its session, together with 16 rooms of which
// everything is said. encoding/json makes six bytes of a "<".
func TestGreatestTicketResumes(t *testing.T) {
	var rooms []string
	for i := range maxClaimList {
		rooms = append(rooms, fmt.Sprintf("%0*d", maxRoomsBytes/maxClaimList, i))
	}
	claims := merge(merge(merge(appClaims(), "rooms", rooms), "sub", strings.Repeat("<", maxSubjectBytes)), "jti", strings.Repeat("<", maxIDBytes))
	tk, err := testVerifier(t, appConfig("HS256")).Verify(appSign(t, "HS256", claims))
	if err != nil {
		t.Fatal(err)
	}
	tk.User.Issuer, tk.Issued = strings.Repeat("i", 256), epoch
	resume := Resume{
		Session: strings.Repeat("s", 64), Epoch: strings.Repeat("e", 64), Generation: math.MaxUint64, Number: math.MaxUint64, Ticket: tk, Until: epoch,
		Name: strings.Repeat("<", 2*MaxNameRunes), Base: strings.Repeat("<", MaxNameRunes), Named: epoch, Chosen: true,
	}
	for range 16 {
		resume.In = append(resume.In, ResumeRoom{
			ID: strings.Repeat("r", 64), Size: 16, Host: true, Locked: true, Waiting: true, Call: true, NoMedia: true,
			Transports: slices.Repeat([]string{strings.Repeat("t", 16)}, 4), Made: math.MaxUint64, Term: math.MaxUint64,
		})
	}
	tokens := NewResumeTokens(testSecret("a"), fixedClock(epoch), testRand("resume"))
	token, err := tokens.Issue(resume)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tokens.Verify(token); err != nil || len(got.In) != len(resume.In) {
		t.Errorf("%d rooms come back, %v", len(got.In), err)
	}
	t.Logf("%d of %d bytes", len(token), MaxResumeToken)
}
