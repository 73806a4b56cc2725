package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"time"
)

// A nonce is the nonce cookie (RFC 8489 §9.2), which says what this server can do, and in base64 the time that the nonce was made,
// in seconds, with an HMAC of cookie, time and the client's address. So the server remembers none, one that was overheard is of
// no use elsewhere, and nobody can take out of the cookie what it says.
const (
	NonceLifetime = 10 * time.Minute

	CookiePrefix = "obMatJos2"
	CookieSize   = len(CookiePrefix) + 4

	nonceTimeSize = 4
	nonceMACSize  = 10
	nonceSize     = CookieSize + (8*(nonceTimeSize+nonceMACSize)+5)/6 // 32 bytes, which need no padding
)

// The STUN security features that a cookie tells of (RFC 8489 §18.1), the first of 24 bits on top.
const (
	FeaturePasswordAlgorithms uint32 = 1 << 23
	FeatureUsernameAnonymity  uint32 = 1 << 22
)

// NonceMaker makes and judges the nonces of one key. It belongs to one goroutine.
type NonceMaker struct{ mac hash.Hash }

func NewNonceMaker(key []byte) NonceMaker { return NonceMaker{hmac.New(sha256.New, key)} }

// Make makes a nonce for a client.
func (n *NonceMaker) Make(at time.Time, features uint32, client Endpoint) []byte {
	return n.makeAt(uint32(at.Unix()), features, client)
}

func (n *NonceMaker) makeAt(seconds, features uint32, client Endpoint) []byte {
	nonce := appendCookie(make([]byte, 0, nonceSize), features)

	var raw [nonceTimeSize + nonceMACSize]byte
	binary.BigEndian.PutUint32(raw[:], seconds)
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], client.Port)
	n.mac.Reset()
	n.mac.Write(nonce)
	n.mac.Write(raw[:nonceTimeSize])
	n.mac.Write(client.IP[:])
	n.mac.Write(port[:])
	var sum [sha256.Size]byte
	copy(raw[nonceTimeSize:], n.mac.Sum(sum[:0]))
	return base64.RawStdEncoding.AppendEncode(nonce, raw[:])
}

func appendCookie(b []byte, features uint32) []byte {
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], features)
	return base64.StdEncoding.AppendEncode(append(b, CookiePrefix...), raw[1:])
}

// CookieFeatures returns what the cookie of a nonce tells of: nothing if it has none.
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

// NonceState is what a nonce is worth.
type NonceState uint8

const (
	NonceForeign NonceState = iota // never made for this client
	NonceStale                     // made for this client, too long ago
	nonceValid
)

// Judge says what a nonce that comes from client is worth.
func (n *NonceMaker) Judge(nonce []byte, now time.Time, client Endpoint) NonceState {
	if len(nonce) != nonceSize {
		return NonceForeign
	}
	var raw [nonceTimeSize + nonceMACSize]byte
	if n, err := base64.RawStdEncoding.Decode(raw[:], nonce[CookieSize:]); n != len(raw) || err != nil {
		return NonceForeign
	}
	seconds := binary.BigEndian.Uint32(raw[:])
	if !hmac.Equal(nonce, n.makeAt(seconds, CookieFeatures(nonce), client)) {
		return NonceForeign
	}
	age := now.Sub(time.Unix(int64(seconds), 0))
	if age > NonceLifetime || age < -time.Minute { // a little in the future is another node's clock
		return NonceStale
	}
	return nonceValid
}
