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

func (s *Server) newNonceMAC() hash.Hash {
	return hmac.New(sha256.New, s.cfg.NonceKey.Bytes())
}

// nonce makes a nonce for c. Clients that read the cookie send USERHASH and nothing else where it offers to, so it does
// only while whoever comes can be found by it.
func (w *worker) nonce(c *client) []byte {
	features := featurePasswordAlgorithms
	if w.srv.cfg.Credentials.KnowsUsernames() {
		features |= featureUsernameAnonymity
	}
	return w.nonceAt(uint32(w.srv.wallClock().Unix()), features, c)
}

func (w *worker) nonceAt(seconds, features uint32, c *client) []byte {
	nonce := appendCookie(make([]byte, 0, nonceSize), features)

	var raw [nonceTimeSize + nonceMACSize]byte
	binary.BigEndian.PutUint32(raw[:], seconds)
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], c.tuple.client.port)
	w.nonceMAC.Reset()
	w.nonceMAC.Write(nonce)
	w.nonceMAC.Write(raw[:nonceTimeSize])
	w.nonceMAC.Write(c.tuple.client.ip[:])
	w.nonceMAC.Write(port[:])
	var sum [sha256.Size]byte
	copy(raw[nonceTimeSize:], w.nonceMAC.Sum(sum[:0]))
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

// judgeNonce says what a nonce from c is worth.
func (w *worker) judgeNonce(nonce []byte, c *client) nonceState {
	if len(nonce) != nonceSize {
		return nonceForeign
	}
	var raw [nonceTimeSize + nonceMACSize]byte
	if n, err := base64.RawStdEncoding.Decode(raw[:], nonce[cookieSize:]); n != len(raw) || err != nil {
		return nonceForeign
	}
	seconds := binary.BigEndian.Uint32(raw[:])
	if !hmac.Equal(nonce, w.nonceAt(seconds, cookieFeatures(nonce), c)) {
		return nonceForeign
	}
	age := w.srv.wallClock().Sub(time.Unix(int64(seconds), 0))
	if age > nonceLifetime || age < -time.Minute { // a little in the future is another node's clock
		return nonceStale
	}
	return nonceValid
}
