package auth

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
)

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
