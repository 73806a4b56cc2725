// Package testcert makes certificates for the tests of the program and of a node.
package testcert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// For writes a certificate for host into dir, as Write does, and returns a pool that trusts it.
func For(t testing.TB, dir, host string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	certFile, keyFile, err := Write(dir, time.Hour, host)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	certPEM, err := os.ReadFile(certFile)
	if err != nil || !pool.AppendCertsFromPEM(certPEM) {
		t.Fatal(err)
	}
	return certFile, keyFile, pool
}

// Write writes cert.pem and key.pem into dir: a self-signed certificate for host and 127.0.0.1, and its key. The certificate
// expires after lifetime.
func Write(dir string, lifetime time.Duration, host string) (certFile, keyFile string, err error) {
	der, key, err := signedByItself(lifetime, host)
	if err != nil {
		return "", "", err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return certFile, keyFile, writeFiles(map[string][]byte{certFile: encodeCertificates(der), keyFile: keyPEM})
}

// Pair is a certificate as Write makes it, in memory, for an hour. It panics if there is no randomness.
func Pair(host string) *tls.Certificate {
	der, key, err := signedByItself(time.Hour, host)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func signedByItself(lifetime time.Duration, host string) (der []byte, key *ecdsa.PrivateKey, err error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(lifetime), IsCA: true, BasicConstraintsValid: true,
	}
	return sign(template, template, nil)
}

// sign makes a key for a certificate, and signs it with that of its issuer; with its own if that is nil.
func sign(template, issuer *x509.Certificate, by crypto.Signer) (der []byte, key *ecdsa.PrivateKey, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	if by == nil {
		by = key
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, nil, err
	}
	template.NotBefore = time.Now().Add(-48 * time.Hour) // before the end of one that has expired
	der, err = x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by)
	return der, key, err
}

func encodeCertificates(ders ...[]byte) (out []byte) {
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

func writeFiles(texts map[string][]byte) error {
	for name, text := range texts {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
