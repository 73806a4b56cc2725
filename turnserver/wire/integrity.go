package wire

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/pion/stun/v3"
)

// Integrity is an attribute that signs a message: MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.5,
// §14.6).
type Integrity struct {
	Type  stun.AttrType
	At    int // where the attribute begins in the message; 0: there is none
	Value []byte
}

// CutAtIntegrity leaves in m only the attributes that its integrity covers, and returns the attribute that judges m.
// Anybody may have added the attributes behind it. One of them counts: a MESSAGE-INTEGRITY-SHA256 after a
// MESSAGE-INTEGRITY is the stronger of the two (RFC 8489 §9, §9.2.4). The caller has checked FINGERPRINT before.
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

// Holds reports whether key signed the message raw. It refuses a truncated HMAC-SHA256, because TURN does not allow one
// (RFC 8489 §14.6).
func (s Integrity) Holds(raw, key []byte) bool {
	var sum [sha256.Size]byte
	return s.At != 0 && hmac.Equal(s.Value, messageMAC(sum[:0], s.Type, raw[:s.At], key))
}

// AddIntegrity signs m. FINGERPRINT must come after it.
func AddIntegrity(m *stun.Message, typ stun.AttrType, key []byte) {
	var sum [sha256.Size]byte
	m.Add(typ, messageMAC(sum[:0], typ, m.Raw, key))
}

// messageMAC appends to dst the HMAC of the part of a message that its integrity attribute of type typ covers. The
// hashed header has the length of a message that ends with that attribute.
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
