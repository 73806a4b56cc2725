package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
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
	s.stop()

	idp.Close()
	s = startServer("--config", config, "--state", filepath.Join(dir, "state"))
	if s.banner == "" || !strings.Contains(s.stderr.String(), "the keys of an issuer could not be read") {
		t.Errorf("with the page down, it printed %q and logged %s", s.banner, s.stderr.String())
	}
	if status := iceServersStatus(t, s.row("web"), ticket); status != 401 {
		t.Errorf("with the page down: %d", status)
	}
	s.stop()
}
