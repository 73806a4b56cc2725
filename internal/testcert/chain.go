package testcert

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/netip"
	"path/filepath"
	"time"
)

// Chain is a certificate as authorities give them: signed by an intermediate one, which a root has signed.
type Chain struct {
	RootFile string // what clients trust
	FullFile string // the certificate and the intermediate one
	LeafFile string // the certificate alone: the mistake of many
	KeyFile  string

	Roots        *x509.CertPool // trusts RootFile
	Intermediate string         // its name
}

// WriteChain writes a chain for host, 127.0.0.1 and more addresses into dir.
func WriteChain(dir, host string, addrs ...netip.Addr) (*Chain, error) {
	c := &Chain{
		RootFile: filepath.Join(dir, "root.pem"), FullFile: filepath.Join(dir, "fullchain.pem"), LeafFile: filepath.Join(dir, "leaf.pem"),
		KeyFile: filepath.Join(dir, "leafkey.pem"), Roots: x509.NewCertPool(), Intermediate: "Test Intermediate",
	}
	end := time.Now().Add(90 * 24 * time.Hour)
	authority := func(name string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: end, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
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
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, addr := range addrs {
		leaf.IPAddresses = append(leaf.IPAddresses, addr.AsSlice())
	}
	leafDER, leafKey, err := sign(leaf, intermediate, middleKey)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(leafKey)
	if err != nil {
		return nil, err
	}
	rootPEM := encodeCertificates(rootDER)
	c.Roots.AppendCertsFromPEM(rootPEM)
	return c, writeFiles(map[string][]byte{
		c.RootFile: rootPEM, c.LeafFile: encodeCertificates(leafDER), c.FullFile: encodeCertificates(leafDER, middleDER), c.KeyFile: keyPEM,
	})
}
