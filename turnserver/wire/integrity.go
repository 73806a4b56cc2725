package wire

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/pion/stun/v3"
)

// Integrity is an attribute that signs a message: MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.5, §14.6).
type Integrity struct {
	Type  stun.AttrType
	At    int // where the attribute begins in the message; 0: there is none
	Value []byte
}

// CutAtIntegrity takes the attributes out of m that count because its integrity covers them, and returns the attribute by
// which it is judged. Anybody may have added what comes later: of that, only a MESSAGE-INTEGRITY-SHA256 after a
// MESSAGE-INTEGRITY counts, and is then the stronger of the two (RFC 8489 §9, §9.2.4). FINGERPRINT was judged before.
func CutAtIntegrity(m *stun.Message) (judge Integrity) {
	offset, covered := HeaderSize, len(m.Attributes)
	for i, a := range m.Attributes {
		switch {
		case a.Type == stun.AttrMessageIntegrity && judge.At == 0:
			judge, covered = Integrity{a.Type, offset, a.Value}, i
		case a.Type == stun.AttrMessageIntegritySHA256:
			m.Attributes = m.Attributes[:min(covered, i)]
			return Integrity{a.Type, offset, a.Value}
		}
		offset += AttrHeaderSize + Pad4(len(a.Value))
	}
	m.Attributes = m.Attributes[:covered]
	return judge
}

// Holds reports whether the message, of which raw is the whole, was signed with key. A truncated HMAC-SHA256 does not do, because
// TURN does not say that it may be one (RFC 8489 §14.6).
func (s Integrity) Holds(raw, key []byte) bool {
	var sum [sha256.Size]byte
	return s.At != 0 && hmac.Equal(s.Value, messageMAC(sum[:0], s.Type, raw[:s.At], key))
}

// AddIntegrity signs m, which has no FINGERPRINT yet.
func AddIntegrity(m *stun.Message, typ stun.AttrType, key []byte) {
	var sum [sha256.Size]byte
	m.Add(typ, messageMAC(sum[:0], typ, m.Raw, key))
}

// messageMAC appends to dst the HMAC of a message that ends where its integrity attribute of type typ begins. The length
// in the header that is hashed is as if the message ended with that attribute.
func messageMAC(dst []byte, typ stun.AttrType, covered, key []byte) []byte {
	newHash, size := sha1.New, sha1.Size
	if typ == stun.AttrMessageIntegritySHA256 {
		newHash, size = func() hash.Hash { return sha256.New() }, sha256.Size
	}
	var header [HeaderSize]byte
	copy(header[:], covered)
	binary.BigEndian.PutUint16(header[2:], uint16(len(covered)-HeaderSize+AttrHeaderSize+size))
	mac := hmac.New(newHash, key)
	mac.Write(header[:])
	mac.Write(covered[HeaderSize:])
	return mac.Sum(dst)
}
