package quiclink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"time"
)

// protocol is what both sides must speak (ALPN).
const protocol = "turnpike-peer/1"

// fingerprint is the SHA-256 of a certificate.
type fingerprint [sha256.Size]byte

// String is the form of RFC 8122.
func (f fingerprint) String() string {
	var b strings.Builder
	for i, x := range f {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{x})))
	}
	return b.String()
}

func parseFingerprint(s string) (f fingerprint, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(b) != len(f) {
		return f, errors.New("a fingerprint must be 32 bytes in hexadecimal digits")
	}
	return fingerprint(b), nil
}

// newCertificate makes the certificate of one Link. Nobody signs it: the other side knows its fingerprint.
func newCertificate() (tls.Certificate, fingerprint, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fingerprint{}, err
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fingerprint{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, sha256.Sum256(der), nil
}

// tlsConfig is the same for both sides. The only certificate that it accepts is the one that expected names.
func tlsConfig(own tls.Certificate, expected func() (fingerprint, bool)) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{own},
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{protocol},
		ServerName:   "peer.invalid",
		ClientAuth:   tls.RequireAnyClientCert,
		// There is no authority: VerifyConnection pins the certificate.
		InsecureSkipVerify:     true,
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			want, ok := expected()
			if !ok || len(s.PeerCertificates) == 0 || sha256.Sum256(s.PeerCertificates[0].Raw) != want {
				return errors.New("the other side's certificate is not the one that signaling named")
			}
			return nil
		},
	}
}

// newName draws the name of a Link, which no other has.
func newName() string {
	var b [10]byte
	_, _ = rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}
