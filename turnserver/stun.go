package turnserver

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v3"
)

// The parts of STUN's wire format (RFC 8489 §5, §14) that the packet path reads and writes itself, without
// allocating. Requests go through pion/stun.
const (
	stunHeaderSize  = 20
	attrHeaderSize  = 4
	magicCookie     = 0x2112A442
	fingerprintSize = attrHeaderSize + 4

	typeBindingRequest    = 0x0001
	typeBindingIndication = 0x0011
	typeBindingSuccess    = 0x0101
	typeSendIndication    = 0x0016
	typeDataIndication    = 0x0017
	typeClassMask         = 0x0110
	typeClassIndication   = 0x0010

	attrMessageIntegrity       = uint16(stun.AttrMessageIntegrity)
	attrMessageIntegritySHA256 = uint16(stun.AttrMessageIntegritySHA256)
	attrXORMappedAddress       = uint16(stun.AttrXORMappedAddress)
	attrXORPeerAddress         = uint16(stun.AttrXORPeerAddress)
	attrData                   = uint16(stun.AttrData)
	attrDontFragment           = uint16(stun.AttrDontFragment)
	attrFingerprint            = uint16(stun.AttrFingerprint)

	// Of RFC 8656 §18, pion/stun lacks these.
	attrAdditionalAddressFamily = stun.AttrType(0x8000)
	attrAddressErrorCode        = stun.AttrType(0x8001)
	attrICMP                    = uint16(0x8004)

	// What coturn's clients send for ADDITIONAL-ADDRESS-FAMILY: it is older than the number that IANA assigned.
	attrAdditionalAddressFamilyCoturn = stun.AttrType(0x8032)
)

// family is an address family as attributes encode it.
type family byte

const (
	familyIPv4 family = 0x01
	familyIPv6 family = 0x02
)

// wellFormed reports whether pkt is exactly one STUN message by its header. Attributes are not looked at.
func wellFormed(pkt []byte) bool {
	return len(pkt) >= stunHeaderSize &&
		pkt[0]&0xC0 == 0 &&
		binary.BigEndian.Uint32(pkt[4:]) == magicCookie &&
		len(pkt)%4 == 0 &&
		len(pkt) == stunHeaderSize+int(binary.BigEndian.Uint16(pkt[2:]))
}

// attributes walks the attributes of a well-formed message.
type attributes struct {
	pkt []byte
	off int // of the next attribute
}

func attributesOf(pkt []byte) attributes { return attributes{pkt, stunHeaderSize} }

// next returns an attribute's type and where its value lies. more is false at the end; bad if the message is cut short.
func (a *attributes) next() (typ uint16, start, end int, more, bad bool) {
	if a.off == len(a.pkt) {
		return 0, 0, 0, false, false
	}
	if len(a.pkt)-a.off < attrHeaderSize {
		return 0, 0, 0, false, true
	}
	typ = binary.BigEndian.Uint16(a.pkt[a.off:])
	start = a.off + attrHeaderSize
	end = start + int(binary.BigEndian.Uint16(a.pkt[a.off+2:]))
	padded := start + pad4(end-start)
	if padded > len(a.pkt) {
		return 0, 0, 0, false, true
	}
	a.off = padded
	return typ, start, end, true, false
}

// pad4 rounds up to a multiple of four.
func pad4(n int) int { return (n + 3) &^ 3 }

// required reports whether a receiver that does not know the attribute must refuse the message (RFC 8489 §14).
func required(typ uint16) bool { return typ < 0x8000 }

// xorAddressSize is the length of an XOR address attribute's value.
func xorAddressSize(is4 bool) int {
	if is4 {
		return 8
	}
	return 20
}

// putXORAddress encodes e as the value of an XOR-*-ADDRESS attribute (RFC 8489 §14.2) at the front of b.
func putXORAddress(b []byte, e endpoint, transactionID []byte) {
	ip, fam := e.ip[:], familyIPv6
	if e.addr().Is4() {
		ip, fam = e.ip[12:], familyIPv4
	}
	b[0], b[1] = 0, byte(fam)
	binary.BigEndian.PutUint16(b[2:], e.port^uint16(magicCookie>>16))
	copy(b[4:], ip)
	xorAddress(b[4:4+len(ip)], transactionID)
}

// parseXORAddress is the inverse of putXORAddress.
func parseXORAddress(value, transactionID []byte) (e endpoint, ok bool) {
	if len(value) < 4 {
		return e, false
	}
	var ip [16]byte
	n := 16
	switch {
	case family(value[1]) == familyIPv4 && len(value) == 8:
		n = 4
	case family(value[1]) == familyIPv6 && len(value) == 20:
	default:
		return e, false
	}
	copy(ip[:], value[4:])
	xorAddress(ip[:n], transactionID)
	e.port = binary.BigEndian.Uint16(value[2:]) ^ uint16(magicCookie>>16)
	if n == 4 {
		e.ip = netip.AddrFrom4([4]byte(ip[:4])).As16()
	} else {
		e.ip = ip
	}
	return e, true
}

func xorAddress(ip, transactionID []byte) {
	var mask [16]byte
	binary.BigEndian.PutUint32(mask[:], magicCookie)
	copy(mask[4:], transactionID)
	for i := range ip {
		ip[i] ^= mask[i]
	}
}

// fingerprintHolds checks the FINGERPRINT whose value is from start to end: it is last, and the CRC of what stands before it (RFC 8489
// §14.7).
func fingerprintHolds(pkt []byte, start, end int) bool {
	before := start - attrHeaderSize
	return end-before == fingerprintSize && end == len(pkt) &&
		binary.BigEndian.Uint32(pkt[start:]) == stun.FingerprintValue(pkt[:before])
}

// putAttrHeader writes the header of an attribute whose value has size bytes, and returns its own length.
func putAttrHeader(b []byte, typ uint16, size int) int {
	binary.BigEndian.PutUint16(b, typ)
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	return attrHeaderSize
}

// putAddress encodes e as the value of an address attribute in clear (RFC 8489 §14.1) at the front of b.
func putAddress(b []byte, e endpoint) {
	ip, fam := e.ip[:], familyIPv6
	if e.addr().Is4() {
		ip, fam = e.ip[12:], familyIPv4
	}
	b[0], b[1] = 0, byte(fam)
	binary.BigEndian.PutUint16(b[2:], e.port)
	copy(b[4:], ip)
}
