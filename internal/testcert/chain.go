package testcert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Chain is a certificate as authorities give them: signed by an intermediate one, which a root has signed.
type Chain struct {
	RootFile string // what clients trust
	FullFile string // the certificate and the intermediate one
	LeafFile string // the certificate alone: the mistake of many
	KeyFile  string

	Intermediate string // its name
}

// WriteChain writes a chain for host and 127.0.0.1 into dir.
func WriteChain(dir, host string) (*Chain, error) {
	c := &Chain{
		RootFile: filepath.Join(dir, "root.pem"), FullFile: filepath.Join(dir, "fullchain.pem"),
		LeafFile: filepath.Join(dir, "leaf.pem"), KeyFile: filepath.Join(dir, "leafkey.pem"), Intermediate: "Test Intermediate",
	}
	authority := func(name string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	root, intermediate := authority("Test Root"), authority(c.Intermediate)
	rootDER, rootKey, err := sign(root, root, nil)
	if err != nil {
		return nil, err
	}
	middleDER, middleKey, err := sign(intermediate, root, rootKey)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	leafDER, leafKey, err := sign(leaf, intermediate, middleKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return nil, err
	}
	certificate := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
	for name, text := range map[string][]byte{
		c.RootFile: certificate(rootDER), c.LeafFile: certificate(leafDER), c.FullFile: append(certificate(leafDER), certificate(middleDER)...),
		c.KeyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return nil, err
		}
	}
	return c, nil
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
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(90*24*time.Hour)
	der, err = x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by)
	return der, key, err
}
