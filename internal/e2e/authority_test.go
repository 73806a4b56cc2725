//go:build linux

package e2e

import (
	"crypto/x509"
	"net/netip"
	"testing"

	"example.org/turnpike/internal/testcert"
)

// An authority certifies the server of a test. Browsers trust it because their home
// directory has its certificate, as that of an organisation. No browser is told to
// ignore certificate errors.
type authority struct {
	pool     *x509.CertPool
	caFile   string
	certFile string // the server's, with its chain
	keyFile  string
}

func newAuthority(t *testing.T, name string, addrs ...netip.Addr) *authority {
	t.Helper()
	chain, err := testcert.WriteChain(t.TempDir(), name, addrs...)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{pool: chain.Roots, caFile: chain.RootFile, certFile: chain.FullFile, keyFile: chain.KeyFile}
}
