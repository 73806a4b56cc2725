package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"time"
)

// A nonce begins with the nonce cookie (RFC 8489 §9.2), which says what this server can do. In base64 follow the end of
// the second in which the nonce was made, and the beginning of an HMAC of cookie, time and the client's address. So the
// server remembers no nonce, an overheard one is of no use elsewhere, and nobody can change what the cookie says.
//
// A nonce is short because the answer that carries it may go to an address that did not ask: each byte is a stranger's
// gain. Nobody can test a guess at the HMAC but by asking the server, since its key is secret and has 256 bits. At a million
// guesses a second, one of 56 bits takes a thousand years on average, and a nonce lives ten minutes. A hit is worth one
// address, where the sender then still lacks a password.
const (
	NonceLifetime = 10 * time.Minute

	CookiePrefix = "obMatJos2"
	CookieSize   = len(CookiePrefix) + 4

	nonceTimeBits = 10 // 17 minutes; the HMAC is of the whole time
	nonceMACBits  = 56
	NonceSize     = CookieSize + (nonceTimeBits+nonceMACBits)/6 // 24 bytes

	// nonceAhead is how far another node's clock may be ahead.
	nonceAhead = time.Minute
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
	return makeNonce(n.mac, at.Unix(), features, client)
}

func makeNonce(mac hash.Hash, seconds int64, features uint32, client Endpoint) []byte {
	nonce := appendCookie(make([]byte, 0, NonceSize+1), features)

	var shown [8 + 16 + 2]byte // beside the cookie, what the HMAC is of
	binary.BigEndian.PutUint64(shown[:], uint64(seconds))
	copy(shown[8:], client.IP[:])
	binary.BigEndian.PutUint16(shown[24:], client.Port)
	mac.Reset()
	mac.Write(nonce)
	mac.Write(shown[:])
	var sum [sha256.Size]byte
	begin := binary.BigEndian.Uint64(mac.Sum(sum[:0])) >> (64 - nonceMACBits)

	// Both together have 66 bits, which are eleven letters. Nine bytes make twelve, and the last says nothing.
	const beyond = nonceTimeBits + nonceMACBits - 64
	var raw [9]byte
	binary.BigEndian.PutUint64(raw[:], uint64(seconds)<<(64-nonceTimeBits)|begin>>beyond)
	raw[8] = byte(begin) << (8 - beyond)
	return base64.RawStdEncoding.AppendEncode(nonce, raw[:])[:NonceSize]
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
	if len(nonce) != NonceSize {
		return NonceForeign
	}
	var raw [3]byte
	if n, err := base64.RawStdEncoding.Decode(raw[:], nonce[CookieSize:CookieSize+4]); n != len(raw) || err != nil {
		return NonceForeign
	}
	// The last second that ends like this. One whose time shows again was made 17 minutes earlier, and its HMAC differs.
	const period = 1 << nonceTimeBits
	latest := now.Add(nonceAhead).Unix()
	shown := int64(binary.BigEndian.Uint16(raw[:]) >> (16 - nonceTimeBits))
	seconds := latest - (latest-shown)&(period-1)
	made := hmac.Equal(nonce, makeNonce(n.mac, seconds, CookieFeatures(nonce), client))
	for i := 0; !made && i < len(n.former); i++ {
		made = hmac.Equal(nonce, makeNonce(n.former[i], seconds, CookieFeatures(nonce), client))
	}
	if !made {
		return NonceForeign
	}
	if now.Sub(time.Unix(seconds, 0)) > NonceLifetime {
		return NonceStale
	}
	return nonceValid
}
