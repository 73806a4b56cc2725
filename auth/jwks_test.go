package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// jwksPage is an app's JWKS page, whose keys come and go, and which may be down.
type jwksPage struct {
	*httptest.Server
	reads atomic.Int64

	mu   sync.Mutex
	keys map[string]crypto.Signer // Guarded by mu, by kid.
	body string                   // Guarded by mu: instead of the keys, if there is one.
	down bool                     // Guarded by mu.
	gate chan struct{}            // Guarded by mu: an answer waits for it, if there is one.
}

func newJWKSPage(t *testing.T) *jwksPage {
	p := &jwksPage{keys: map[string]crypto.Signer{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *jwksPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.reads.Add(1)
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		<-gate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	if p.body != "" {
		_, _ = w.Write([]byte(p.body))
		return
	}
	var set jwkset.JWKSMarshal
	for kid, key := range p.keys {
		jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}})
		if err != nil {
			panic(err)
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	_ = json.NewEncoder(w).Encode(set)
}

// set gives the page one key, and brings it up or takes it down.
func (p *jwksPage) set(kid string, key crypto.Signer, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys, p.down, p.body = map[string]crypto.Signer{kid: key}, down, ""
}

// setBody answers with body instead.
func (p *jwksPage) setBody(body string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body, p.down = body, false
}

// jwksTest is a verifier of one issuer with a JWKS page, and a clock.
type jwksTest struct {
	*Verifier
	page *jwksPage
	log  bytes.Buffer
	now  atomic.Int64
}

func newJWKSTest(t *testing.T, page *jwksPage, algorithms ...string) *jwksTest {
	t.Helper()
	test := &jwksTest{page: page}
	test.now.Store(epoch.Unix())
	c := appConfig("ES256")
	c.Keys, c.JWKSURL, c.Algorithms = nil, page.URL, algorithms
	var err error
	test.Verifier, err = NewVerifier(testTickets(epoch), nil, []IssuerConfig{c}, func() time.Time { return time.Unix(test.now.Load(), 0) },
		slog.New(slog.NewTextHandler(&test.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(test.Close)
	return test
}

func (test *jwksTest) pass(d time.Duration) { test.now.Add(int64(d / time.Second)) }

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signedBy signs as the app does, and names the key unless kid is empty.
func signedBy(t *testing.T, kid string, key any) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, appClaims())
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (test *jwksTest) want(t *testing.T, what, token string, ok bool, reads int64) {
	t.Helper()
	_, err := test.Verify(token)
	if ok && err != nil || !ok && !errors.Is(err, ErrUnauthorized) {
		t.Errorf("%s: %v", what, err)
	}
	if got := test.page.reads.Load(); got != reads {
		t.Errorf("%s: the page was read %d times, want %d", what, got, reads)
	}
}

// wantUnavailable wants the server to blame itself, and to say when to come back.
func (test *jwksTest) wantUnavailable(t *testing.T, what, token string, reads int64) {
	t.Helper()
	_, err := test.Verify(token)
	unavailable, ok := errors.AsType[*KeysUnavailableError](err)
	if !ok || errors.Is(err, ErrUnauthorized) || unavailable.RetryAfter < time.Second || unavailable.RetryAfter > jwksMinInterval {
		t.Errorf("%s: %#v", what, err)
	}
	if got := test.page.reads.Load(); got != reads {
		t.Errorf("%s: the page was read %d times, want %d", what, got, reads)
	}
}

func TestJWKSAlgorithms(t *testing.T) {
	for alg, key := range appKeys() {
		page := newJWKSPage(t)
		page.set("k", key, false)
		test := newJWKSTest(t, page, publicAlgorithms()...)
		test.want(t, alg+" with kid", appSign(t, alg, appClaims(), "kid", "k"), true, 1)
		test.want(t, alg+" without kid", appSign(t, alg, appClaims()), true, 1)
		test.want(t, alg+" with a kid of a number", appSign(t, alg, appClaims(), "kid", 1), false, 1)
		for other := range appKeys() {
			if fits(other, key.Public()) {
				continue
			}
			test.want(t, other+" with the kid of "+alg, appSign(t, other, appClaims(), "kid", "k"), false, 1)
		}
	}
}

func TestJWKSRotates(t *testing.T) {
	page, first, second, stranger := newJWKSPage(t), newECKey(t), newECKey(t), newECKey(t)
	page.set("1", first, false)
	test := newJWKSTest(t, page, "ES256")
	test.want(t, "the first key", signedBy(t, "1", first), true, 1)
	page.set("2", second, false)
	test.want(t, "the second key, just published", signedBy(t, "2", second), true, 2)
	test.want(t, "the first key, withdrawn", signedBy(t, "1", first), false, 2)
	test.want(t, "the second key's name on another", signedBy(t, "2", stranger), false, 2)

	// Unknown names cause one reading in jwksMinInterval.
	for i := range 100 {
		test.want(t, "an unknown kid", signedBy(t, fmt.Sprint("x", i), stranger), false, 2)
	}
	test.pass(jwksMinInterval)
	for i := range 100 {
		test.want(t, "an unknown kid, later", signedBy(t, fmt.Sprint("y", i), stranger), false, 3)
	}
}

// TestJWKSRotatesUnderOneName: an app changes its key and keeps the kid, or gives none.
func TestJWKSRotatesUnderOneName(t *testing.T) {
	for _, kid := range []string{"", "always"} {
		page, first, second := newJWKSPage(t), newECKey(t), newECKey(t)
		page.set(kid, first, false)
		test := newJWKSTest(t, page, "ES256")
		test.want(t, "the first key", signedBy(t, kid, first), true, 1)
		page.set(kid, second, false)
		test.want(t, "the second key", signedBy(t, kid, second), true, 2)
		for range 10 {
			test.want(t, "the first key, withdrawn", signedBy(t, kid, first), false, 2)
		}
	}
}

func TestJWKSOutage(t *testing.T) {
	page, first, second := newJWKSPage(t), newECKey(t), newECKey(t)
	page.set("1", first, true)
	test := newJWKSTest(t, page, "ES256")
	if !strings.Contains(test.log.String(), "could not be read") || !strings.Contains(test.log.String(), page.URL) {
		t.Errorf("the log of a page that is down at the start is %q", test.log.String())
	}
	if pages := test.KeyPages(); len(pages) != 1 || pages[0] != (KeyPage{Issuer: "app"}) {
		t.Errorf("down from the start: %+v", pages)
	}
	test.wantUnavailable(t, "down from the start", signedBy(t, "1", first), 2)
	page.set("1", first, false)
	test.wantUnavailable(t, "up, but asked a moment ago", signedBy(t, "1", first), 2)
	test.pass(jwksMinInterval)
	test.want(t, "up", signedBy(t, "1", first), true, 3)
	if pages := test.KeyPages(); len(pages) != 1 || !pages[0].Read.Equal(time.Unix(test.now.Load(), 0)) {
		t.Errorf("read now: %+v", pages)
	}
	test.want(t, "up, another key", signedBy(t, "9", second), false, 3)
	test.pass(jwksMinInterval)

	for what, spoil := range map[string]func(){
		"down":                  func() { page.set("2", second, true) },
		"not JSON":              func() { page.setBody("<html>") },
		"no keys":               func() { page.setBody("{}") },
		"moved":                 func() { page.setBody(`{"keys":null}`) },
		"endless":               func() { page.setBody(`{"keys":[` + strings.Repeat(" ", maxJWKSBytes) + `]}`) },
		"a key that is damaged": func() { page.setBody(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"2"}]}`) },
	} {
		reads := page.reads.Load()
		spoil()
		test.pass(jwksMinInterval)
		test.wantUnavailable(t, what+": a key never seen", signedBy(t, "2", second), reads+1)
		test.want(t, what+": a forgery with the key that was read before", signedBy(t, "1", second), false, reads+1)
		test.want(t, what+": the key that was read before", signedBy(t, "1", first), true, reads+1)
		page.set("1", first, false)
	}
	page.set("2", second, false)
	test.pass(jwksMinInterval)
	reads := page.reads.Load()
	test.want(t, "after it all", signedBy(t, "2", second), true, reads+1)
}

func TestJWKSRecoversWithoutKid(t *testing.T) {
	page, key := newJWKSPage(t), newECKey(t)
	page.set("", key, true)
	test := newJWKSTest(t, page, "ES256")
	page.set("", key, false)
	test.want(t, "a token that names no key", signedBy(t, "", key), true, 2)
}

// TestJWKSKeepsToItsUse puts keys on the page that must not verify a ticket.
func TestJWKSKeepsToItsUse(t *testing.T) {
	page, key := newJWKSPage(t), newECKey(t)
	entry := func(change func(*jwkset.JWKMarshal)) string {
		jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "k"}})
		if err != nil {
			t.Fatal(err)
		}
		m := jwk.Marshal()
		change(&m)
		data, err := json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{m}})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	page.setBody(`{"keys":[{"kty":"oct","kid":"k","k":"` + b64(appSecret) + `"}]}`)
	test := newJWKSTest(t, page, "ES256")
	test.want(t, "a secret on the page, by its name", appSign(t, "HS256", appClaims(), "kid", "k"), false, 1)
	test.want(t, "a secret on the page", appSign(t, "HS256", appClaims()), false, 1)

	for what, tt := range map[string]struct {
		body string
		ok   bool
	}{
		"for anything":          {entry(func(*jwkset.JWKMarshal) {}), true},
		"for signing":           {entry(func(m *jwkset.JWKMarshal) { m.USE = jwkset.UseSig }), true},
		"for encryption":        {entry(func(m *jwkset.JWKMarshal) { m.USE = jwkset.UseEnc }), false},
		"a private key":         {privateEntry(t, key), true},
		"for another algorithm": {entry(func(m *jwkset.JWKMarshal) { m.ALG = jwkset.AlgES384 }), false},
	} {
		page.setBody(tt.body)
		test := newJWKSTest(t, page, "ES256")
		for name, token := range map[string]string{what: signedBy(t, "k", key), what + ", not named": signedBy(t, "", key)} {
			if _, err := test.Verify(token); (err == nil) != tt.ok {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestJWKSOfRealProviders puts keys on the page that must spoil no other.
func TestJWKSOfRealProviders(t *testing.T) {
	key, other := newECKey(t), newECKey(t)
	entry := func(key crypto.Signer, change func(*jwkset.JWKMarshal)) string {
		jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "k"}})
		if err != nil {
			t.Fatal(err)
		}
		m := jwk.Marshal()
		if change != nil {
			change(&m)
		}
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	good := entry(key, nil)
	rsaKey := appKeys()["RS256"]
	for what, bad := range map[string]string{
		"for encryption, of the same name":  entry(rsaKey, func(m *jwkset.JWKMarshal) { m.USE, m.ALG = jwkset.UseEnc, "RSA-OAEP" }),
		"of another kind and the same name": entry(rsaKey, nil),
		"another key of the same name":      entry(other, nil),
		"of an unknown use":                 entry(other, func(m *jwkset.JWKMarshal) { m.USE = "tls" }),
		"of unknown operations":             entry(other, func(m *jwkset.JWKMarshal) { m.KEYOPS = []jwkset.KEYOPS{"frobnicate"} }),
		"of an unknown kind":                `{"kty":"AKP","kid":"k","alg":"ML-DSA-44","pub":"AA"}`,
		"on an unknown curve":               `{"kty":"EC","crv":"secp256k1","kid":"k","x":"AA","y":"AA"}`,
		"a secret":                          `{"kty":"oct","kid":"k","k":"AA"}`,
		"damaged":                           `{"kty":"EC","crv":"P-256","kid":"k","x":"AA","y":"AA"}`,
		"with a broken certificate":         strings.Replace(entry(other, nil), "{", `{"x5c":["AA"],"x5t":"AA",`, 1),
		"of a wrong type":                   `{"kty":"EC","kid":7}`,
		"no object":                         `"k"`,
		"null":                              `null`,
	} {
		for order, body := range map[string]string{"first": bad + "," + good, "last": good + "," + bad} {
			page := newJWKSPage(t)
			page.setBody(`{"keys":[` + body + `]}`)
			test := newJWKSTest(t, page, publicAlgorithms()...)
			test.want(t, what+", "+order, signedBy(t, "k", key), true, 1)
			test.want(t, what+", "+order+", not named", signedBy(t, "", key), true, 1)
		}
	}
	certified := strings.Replace(good, "{", `{"x5c":["AA"],"x5t":"AA",`, 1)
	page := newJWKSPage(t)
	page.setBody(`{"keys":[` + certified + `]}`)
	newJWKSTest(t, page, "ES256").want(t, "beside a certificate that is broken", signedBy(t, "k", key), true, 1)
}

// privateEntry returns the page of an app that publishes its private key.
func privateEntry(t *testing.T, key crypto.Signer) string {
	t.Helper()
	jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
		Marshal: jwkset.JWKMarshalOptions{Private: true}, Metadata: jwkset.JWKMetadataOptions{KID: "k"},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{jwk.Marshal()}})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestJWKSIsReadOnceForMany verifies many tokens of a new key at a time.
func TestJWKSIsReadOnceForMany(t *testing.T) {
	page, key := newJWKSPage(t), newECKey(t)
	page.set("old", newECKey(t), false)
	test := newJWKSTest(t, page, "ES256")
	page.set("new", key, false)
	gate := make(chan struct{})
	page.mu.Lock()
	page.gate = gate
	page.mu.Unlock()
	token := signedBy(t, "new", key)
	const many = 50
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			if _, err := test.Verify(token); err != nil {
				t.Errorf("refused while the page was read: %v", err)
			}
		})
	}
	close(gate)
	wg.Wait()
	if n := page.reads.Load(); n != 2 {
		t.Errorf("the page was read %d times, want 2", n)
	}
}

func TestJWKSRedirects(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		ok       bool
	}{
		{"https://app.example/keys", "https://app.example/other", true},
		{"https://app.example/keys", "https://app.example:8443/keys", true},
		{"https://app.example/keys", "http://app.example/keys", false},
		{"https://app.example/keys", "https://other.example/keys", false},
		{"https://app.example/keys", "https://app.example.other.example/keys", false},
		{"https://app.example/keys", "https://a:b@app.example/keys", false},
		{"https://app.example/keys", "http://127.0.0.1:1/", false},
		{"https://app.example/keys", "http://localhost/", false},
		{"https://app.example/keys", "ftp://app.example/", false},
		{"http://127.0.0.1:1/keys", "http://127.0.0.1:2/keys", true},
		{"http://127.0.0.1:1/keys", "https://127.0.0.1:2/keys", true},
		{"http://127.0.0.1:1/keys", "http://app.example/keys", false},
		{"https://127.0.0.1:1/keys", "http://127.0.0.1:2/keys", false},
	} {
		first, next := httptest.NewRequest(http.MethodGet, tt.from, nil), httptest.NewRequest(http.MethodGet, tt.to, nil)
		if err := keepToHost(next, []*http.Request{first}); (err == nil) != tt.ok {
			t.Errorf("redirected from %s to %s: %v", tt.from, tt.to, err)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "https://app.example/", nil)
	if keepToHost(r, []*http.Request{r, r, r, r}) == nil {
		t.Error("follows redirects for ever")
	}
}

// TestJWKSRedirectLeadsNowhereElse holds that the client asks keepToHost: an open redirect of an app's host brings no keys.
func TestJWKSRedirectLeadsNowhereElse(t *testing.T) {
	page, key := newJWKSPage(t), newECKey(t)
	page.set("k", key, false)
	elsewhere := strings.Replace(page.URL, "127.0.0.1", "localhost", 1)
	open := httptest.NewServer(http.RedirectHandler(elsewhere, http.StatusFound))
	t.Cleanup(open.Close)
	j := newJWKS("app", open.URL, fixedClock(epoch), slog.New(slog.DiscardHandler))
	defer j.close()
	if _, failure := j.status(); failure == nil || page.reads.Load() != 0 {
		t.Errorf("followed to %s: %v", elsewhere, failure)
	}
}

// TestJWKSPagesAreReadAtOnce holds that slow pages are read concurrently: neither of two answers before both are asked.
func TestJWKSPagesAreReadAtOnce(t *testing.T) {
	var log bytes.Buffer
	var asked sync.WaitGroup
	asked.Add(2)
	var configs []IssuerConfig
	for _, name := range []string{"one", "two"} {
		answer := sync.OnceFunc(func() {
			asked.Done()
			asked.Wait()
		})
		page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer()
			_, _ = w.Write([]byte(`{"keys":[]}`))
		}))
		t.Cleanup(page.Close)
		c := appConfig("ES256")
		c.Name, c.Issuer, c.Keys, c.JWKSURL = name, "", nil, page.URL
		configs = append(configs, c)
	}
	v, err := NewVerifier(testTickets(epoch), nil, configs, fixedClock(epoch), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	if log.Len() > 0 {
		t.Errorf("one waited for the other: %s", log.String())
	}
}
