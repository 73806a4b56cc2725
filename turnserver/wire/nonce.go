package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"time"
)

// A nonce begins with the nonce cookie (RFC 8489 §9.2), which says what this server can do. In base64 follow the second
// in which the nonce was made, and an HMAC of cookie, time and the client's address. So the server remembers no nonce,
// an overheard one is of no use elsewhere, and nobody can change what the cookie says.
const (
	NonceLifetime = 10 * time.Minute

	CookiePrefix = "obMatJos2"
	CookieSize   = len(CookiePrefix) + 4

	nonceTimeSize = 4
	nonceMACSize  = 10
	nonceSize     = CookieSize + (8*(nonceTimeSize+nonceMACSize)+5)/6 // 32 bytes, which need no padding
)

// The STUN security features in a cookie (RFC 8489 §18.1). The first of their 24 bits is the highest.
const (
	FeaturePasswordAlgorithms uint32 = 1 << 23
	FeatureUsernameAnonymity  uint32 = 1 << 22
)

// NonceMaker makes and judges the nonces of one key. It belongs to one goroutine.
type NonceMaker struct {
	mac    hash.Hash
	former []hash.Hash
}

// NewNonceMaker makes a maker of nonces. Those that former keys have made are good, too.
func NewNonceMaker(key []byte, former ...[]byte) NonceMaker {
	n := NonceMaker{mac: hmac.New(sha256.New, key)}
	for _, key := range former {
		n.former = append(n.former, hmac.New(sha256.New, key))
	}
	return n
}

// Make makes a nonce for a client. features are those of its cookie.
func (n *NonceMaker) Make(at time.Time, features uint32, client Endpoint) []byte {
	return makeNonce(n.mac, uint32(at.Unix()), features, client)
}

func makeNonce(mac hash.Hash, seconds, features uint32, client Endpoint) []byte {
	nonce := appendCookie(make([]byte, 0, nonceSize), features)

	var raw [nonceTimeSize + nonceMACSize]byte
	binary.BigEndian.PutUint32(raw[:], seconds)
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], client.Port)
	mac.Reset()
	mac.Write(nonce)
	mac.Write(raw[:nonceTimeSize])
	mac.Write(client.IP[:])
	mac.Write(port[:])
	var sum [sha256.Size]byte
	copy(raw[nonceTimeSize:], mac.Sum(sum[:0]))
	return base64.RawStdEncoding.AppendEncode(nonce, raw[:])
}

func appendCookie(b []byte, features uint32) []byte {
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], features)
	return base64.StdEncoding.AppendEncode(append(b, CookiePrefix...), raw[1:])
}

// CookieFeatures returns the features in a nonce's cookie, or 0 if the nonce has no cookie.
func CookieFeatures(nonce []byte) uint32 {
	if len(nonce) < CookieSize || string(nonce[:len(CookiePrefix)]) != CookiePrefix {
		return 0
	}
	var raw [4]byte
	if n, err := base64.StdEncoding.Decode(raw[1:], nonce[len(CookiePrefix):CookieSize]); n != 3 || err != nil {
		return 0
	}
	return binary.BigEndian.Uint32(raw[:])
}

// NonceState says what a nonce is worth.
type NonceState uint8

// The states of a nonce.
const (
	NonceForeign NonceState = iota // never made for this client
	NonceStale                     // made for this client, too long ago
	nonceValid
)

// Judge says what a nonce from a client is worth.
func (n *NonceMaker) Judge(nonce []byte, now time.Time, client Endpoint) NonceState {
	if len(nonce) != nonceSize {
		return NonceForeign
	}
	var raw [nonceTimeSize + nonceMACSize]byte
	if n, err := base64.RawStdEncoding.Decode(raw[:], nonce[CookieSize:]); n != len(raw) || err != nil {
		return NonceForeign
	}
	seconds := binary.BigEndian.Uint32(raw[:])
	made := hmac.Equal(nonce, makeNonce(n.mac, seconds, CookieFeatures(nonce), client))
	for i := 0; !made && i < len(n.former); i++ {
		made = hmac.Equal(nonce, makeNonce(n.former[i], seconds, CookieFeatures(nonce), client))
	}
	if !made {
		return NonceForeign
	}
	age := now.Sub(time.Unix(int64(seconds), 0))
	if age > NonceLifetime || age < -time.Minute { // another node's clock may be a little ahead
		return NonceStale
	}
	return nonceValid
}
