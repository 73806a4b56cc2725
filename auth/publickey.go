package auth

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ParsePublicKeys reads the public keys of a PEM file, in blocks named PUBLIC
// KEY, RSA PUBLIC KEY or CERTIFICATE. While an app changes its key, there may be
// several. Each error is the rest of a sentence that begins with the file's name.
func ParsePublicKeys(data []byte) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		key, err := parsePublicKey(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("has no public key in PEM (-----BEGIN PUBLIC KEY-----)")
	}
	return keys, nil
}

func parsePublicKey(block *pem.Block) (crypto.PublicKey, error) {
	if strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, errors.New("has a private key, which belongs to the app alone; make its public one with: openssl pkey -pubout")
	}
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	default:
		err = errors.New("not a public key")
	}
	if err != nil {
		return nil, fmt.Errorf("has a block %q that cannot be read: %w", block.Type, err)
	}
	return key, nil
}
