package turnserver

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"time"

	"github.com/pion/stun/v3"
)

// authenticate checks the long-term credential of a request (RFC 8489 §9.2.4), and answers it if it is not good.
func (r *request) authenticate() bool {
	if !r.m.Contains(stun.AttrMessageIntegrity) {
		r.challenge(stun.CodeUnauthorized)
		return false
	}
	username, haveUsername := r.m.Attributes.Get(stun.AttrUsername)
	realm, haveRealm := r.m.Attributes.Get(stun.AttrRealm)
	nonce, haveNonce := r.m.Attributes.Get(stun.AttrNonce)
	if !haveUsername || !haveRealm || !haveNonce {
		r.fail(stun.CodeBadRequest)
		return false
	}
	if !r.w.nonceHolds(nonce.Value, r.c) {
		r.challenge(stun.CodeStaleNonce)
		return false
	}
	if string(realm.Value) != r.w.srv.cfg.Realm || !r.verify(username.Value) {
		r.challenge(stun.CodeUnauthorized)
		return false
	}
	r.signed = true
	return true
}

// verify finds the key that signed the request, and sets key and grant. The credential of a live allocation is good for
// that allocation even when it has expired: expiry is judged at Allocate.
func (r *request) verify(username []byte) bool {
	if a := r.alloc; a != nil && a.grant.Username == string(username) && r.signedWith(a.key) {
		r.key, r.grant = a.key, a.grant
		return true
	}
	w := r.w
	candidates, ok := w.srv.cfg.Credentials.Candidates(username, w.candidates[:0])
	if !ok {
		return false
	}
	w.candidates = candidates
	for i := range candidates {
		if r.signedWith(candidates[i].Key) {
			r.key, r.grant = candidates[i].Key, candidates[i].Grant
			return r.m.Type.Method != stun.MethodAllocate || w.srv.wallClock().Before(r.grant.Expires)
		}
	}
	return false
}

func (r *request) signedWith(key [16]byte) bool {
	return stun.MessageIntegrity(key[:]).Check(r.m) == nil
}

// cutAfterIntegrity drops the attributes that MESSAGE-INTEGRITY does not cover (RFC 8489 §14.5): anyone may have added them.
func (r *request) cutAfterIntegrity() {
	for i, a := range r.m.Attributes {
		if a.Type == stun.AttrMessageIntegrity {
			r.m.Attributes = r.m.Attributes[:i+1]
			return
		}
	}
}

// A nonce is the time it was made, in seconds, and an HMAC of that and the client's address, in hexadecimal. So the server
// remembers none, and one that was overheard is of no use elsewhere.
const (
	nonceLifetime = 10 * time.Minute
	nonceTimeSize = 4
	nonceMACSize  = 12
	nonceSize     = 2 * (nonceTimeSize + nonceMACSize)
)

func (s *Server) newNonceMAC() hash.Hash {
	return hmac.New(sha256.New, s.cfg.NonceKey.Bytes())
}

// nonce makes a nonce for c.
func (w *worker) nonce(c *client) []byte {
	return w.nonceAt(uint32(w.srv.wallClock().Unix()), c)
}

func (w *worker) nonceAt(seconds uint32, c *client) []byte {
	var raw [nonceTimeSize + 18]byte
	binary.BigEndian.PutUint32(raw[:], seconds)
	copy(raw[nonceTimeSize:], c.tuple.client.ip[:])
	binary.BigEndian.PutUint16(raw[nonceTimeSize+16:], c.tuple.client.port)
	w.nonceMAC.Reset()
	w.nonceMAC.Write(raw[:])
	var sum [sha256.Size]byte
	copy(raw[nonceTimeSize:], w.nonceMAC.Sum(sum[:0])[:nonceMACSize])
	return hex.AppendEncode(make([]byte, 0, nonceSize), raw[:nonceTimeSize+nonceMACSize])
}

// nonceHolds reports whether nonce was made for c and is not too old.
func (w *worker) nonceHolds(nonce []byte, c *client) bool {
	if len(nonce) != nonceSize {
		return false
	}
	var raw [nonceTimeSize]byte
	if _, err := hex.Decode(raw[:], nonce[:2*nonceTimeSize]); err != nil {
		return false
	}
	seconds := binary.BigEndian.Uint32(raw[:])
	age := w.srv.wallClock().Sub(time.Unix(int64(seconds), 0))
	// A little in the future is another node's clock.
	return age <= nonceLifetime && age >= -time.Minute && hmac.Equal(bytes.ToLower(nonce), w.nonceAt(seconds, c))
}
