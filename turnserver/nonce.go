package turnserver

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
	nonceLifetime = 10 * time.Minute

	cookiePrefix = "obMatJos2"
	cookieSize   = len(cookiePrefix) + 4

	nonceTimeSize = 4
	nonceMACSize  = 10
	nonceSize     = cookieSize + (8*(nonceTimeSize+nonceMACSize)+5)/6 // 32 bytes, which need no padding
)

// The STUN security features that a cookie tells of (RFC 8489 §18.1), the first of 24 bits on top.
const (
	featurePasswordAlgorithms uint32 = 1 << 23
	featureUsernameAnonymity  uint32 = 1 << 22
)

// nonceMaker makes and judges the nonces of one key. It belongs to one goroutine.
type nonceMaker struct{ mac hash.Hash }

func newNonceMaker(key []byte) nonceMaker { return nonceMaker{hmac.New(sha256.New, key)} }

// nonce makes a nonce for a client.
func (n *nonceMaker) nonce(at time.Time, features uint32, client endpoint) []byte {
	return n.nonceAt(uint32(at.Unix()), features, client)
}

func (n *nonceMaker) nonceAt(seconds, features uint32, client endpoint) []byte {
	nonce := appendCookie(make([]byte, 0, nonceSize), features)

	var raw [nonceTimeSize + nonceMACSize]byte
	binary.BigEndian.PutUint32(raw[:], seconds)
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], client.port)
	n.mac.Reset()
	n.mac.Write(nonce)
	n.mac.Write(raw[:nonceTimeSize])
	n.mac.Write(client.ip[:])
	n.mac.Write(port[:])
	var sum [sha256.Size]byte
	copy(raw[nonceTimeSize:], n.mac.Sum(sum[:0]))
	return base64.RawStdEncoding.AppendEncode(nonce, raw[:])
}

func appendCookie(b []byte, features uint32) []byte {
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], features)
	return base64.StdEncoding.AppendEncode(append(b, cookiePrefix...), raw[1:])
}

// cookieFeatures returns what the cookie of a nonce tells of: nothing if it has none.
func cookieFeatures(nonce []byte) uint32 {
	if len(nonce) < cookieSize || string(nonce[:len(cookiePrefix)]) != cookiePrefix {
		return 0
	}
	var raw [4]byte
	if n, err := base64.StdEncoding.Decode(raw[1:], nonce[len(cookiePrefix):cookieSize]); n != 3 || err != nil {
		return 0
	}
	return binary.BigEndian.Uint32(raw[:])
}

// nonceState is what a nonce is worth.
type nonceState uint8

const (
	nonceForeign nonceState = iota // never made for this client
	nonceStale                     // made for this client, too long ago
	nonceValid
)

// judge says what a nonce that comes from client is worth.
func (n *nonceMaker) judge(nonce []byte, now time.Time, client endpoint) nonceState {
	if len(nonce) != nonceSize {
		return nonceForeign
	}
	var raw [nonceTimeSize + nonceMACSize]byte
	if n, err := base64.RawStdEncoding.Decode(raw[:], nonce[cookieSize:]); n != len(raw) || err != nil {
		return nonceForeign
	}
	seconds := binary.BigEndian.Uint32(raw[:])
	if !hmac.Equal(nonce, n.nonceAt(seconds, cookieFeatures(nonce), client)) {
		return nonceForeign
	}
	age := now.Sub(time.Unix(int64(seconds), 0))
	if age > nonceLifetime || age < -time.Minute { // a little in the future is another node's clock
		return nonceStale
	}
	return nonceValid
}
