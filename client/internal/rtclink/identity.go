package rtclink

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"slices"
	"time"

	"github.com/pion/webrtc/v4"
)

// identity is the certificate of a link, the same on all its connections: so the other side knows that another connection is of the
// same peer.
type identity struct {
	certificate webrtc.Certificate
	fingerprint [sha256.Size]byte
}

// certificateYears is longer than any link lives. The other side knows the fingerprint and looks at no date, but pion begins no
// connection with a certificate whose time is over.
const certificateYears = 30

func newIdentity() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(certificateYears, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return identity{}, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return identity{}, err
	}
	return identity{webrtc.CertificateFromX509(key, parsed), sha256.Sum256(der)}, nil
}

// fingerprintBinding is the binding of a connection, the same on both sides.
func fingerprintBinding(one, other [sha256.Size]byte) []byte {
	if bytes.Compare(one[:], other[:]) > 0 {
		one, other = other, one
	}
	sum := sha256.Sum256(slices.Concat([]byte("turnpike-binding\x00"), one[:], other[:]))
	return sum[:]
}
