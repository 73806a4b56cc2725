package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdKeyPair makes an app's key pair: FILE, and its public half FILE.pub.
func cmdKeyPair(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: keypair ALG FILE")
	}
	var key crypto.Signer
	var err error
	switch args[0] {
	case "RS256", "PS256":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		ts.Fatalf("no key pairs for %s", args[0])
	}
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600))
}

// cmdSign signs a token as an app does: the claims are a file in which "now+1h" is a time.
func cmdSign(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: sign ALG KEYFILE CLAIMSFILE NAME")
	}
	data := []byte(ts.ReadFile(args[1]))
	var key any = []byte(strings.TrimSpace(string(data)))
	if block, _ := pem.Decode(data); block != nil && !strings.HasPrefix(args[0], "HS") { // a public key taken for a secret stays text
		var err error
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		ts.Check(err)
	}
	claims := jwt.MapClaims{}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[2])), &claims))
	for name, value := range claims {
		offset, ok := strings.CutPrefix(fmt.Sprint(value), "now")
		if !ok {
			continue
		}
		d, err := time.ParseDuration(offset)
		ts.Check(err)
		claims[name] = time.Now().Add(d).Unix()
	}
	token, err := jwt.NewWithClaims(jwt.GetSigningMethod(args[0]), claims).SignedString(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(token+"\n"), 0o600))
	ts.Setenv(args[3], token)
}
