package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// TestServerReadsJWKS starts a server whose issuer serves its keys, and one whose issuer is down.
func TestServerReadsJWKS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "1"}})
	if err != nil {
		t.Fatal(err)
	}
	page, err := json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{jwk.Marshal()}})
	if err != nil {
		t.Fatal(err)
	}
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) }))
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "idp", "aud": "turnpike", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix(),
	})
	token.Header["kid"] = "1"
	ticket, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "turnpike.toml")
	text := fmt.Sprintf("[[auth.issuers]]\nname = \"idp\"\nalgorithms = [\"ES256\"]\naudience = \"turnpike\"\njwks_url = %q\n", idp.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer("--config", config, "--state", filepath.Join(dir, "state"))
	if status := iceServersStatus(t, s.row("web"), ticket); status != 200 {
		t.Errorf("the issuer's ticket: %d\n%s", status, s.stderr.String())
	}
	if read := keysRead(t, s.row("metrics")); time.Since(time.Unix(int64(read), 0)) > time.Hour {
		t.Errorf("the metrics say that the page was read at %f", read)
	}
	s.stop()

	idp.Close()
	s = startServer("--config", config, "--state", filepath.Join(dir, "state"))
	if s.banner == "" || !strings.Contains(s.stderr.String(), "the keys of an issuer could not be read") {
		t.Errorf("with the page down, it printed %q and logged %s", s.banner, s.stderr.String())
	}
	if status := iceServersStatus(t, s.row("web"), ticket); status != 503 {
		t.Errorf("with the page down: %d", status)
	}
	if read := keysRead(t, s.row("metrics")); read != 0 {
		t.Errorf("with the page down, the metrics say that it was read at %f", read)
	}
	s.stop()

	var stdout, stderr strings.Builder
	p := &program{stdin: strings.NewReader(ticket), stdout: &stdout, stderr: &stderr}
	if code := p.run(t.Context(), []string{"ticket", "--inspect", "--config", config, "--state", filepath.Join(dir, "state")}); code == 0 {
		t.Error("with the page down, a ticket is accepted")
	}
	if out := stdout.String(); !strings.Contains(out, "signature  not checked: the keys of issuer idp at "+idp.URL+" could not be read: ") || strings.Contains(out, "bad") {
		t.Errorf("with the page down, --inspect prints %s\n%s", out, stderr.String())
	}
}

// keysRead returns when the server last read the keys of idp, as its metrics say.
func keysRead(t *testing.T, url string) (read float64) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(body), "turnpike_issuer_keys_read_timestamp_seconds{issuer=\"idp\"} ")
	if n, err := fmt.Sscan(value, &read); n != 1 {
		t.Fatalf("the metrics lack the issuer's page: %v", err)
	}
	return read
}
