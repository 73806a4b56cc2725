package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v3"
)

// The parts of STUN's wire format (RFC 8489 §5, §14) that the packet path reads and writes itself, without
// allocating. Requests go through pion/stun.
const (
	HeaderSize      = 20
	AttrHeaderSize  = 4
	MagicCookie     = 0x2112A442
	fingerprintSize = AttrHeaderSize + 4

	TypeBindingRequest    = 0x0001
	TypeAllocateRequest   = 0x0003
	TypeBindingIndication = 0x0011
	TypeBindingSuccess    = 0x0101
	TypeSendIndication    = 0x0016
	typeDataIndication    = 0x0017
	ClassMask             = 0x0110
	ClassIndication       = 0x0010

	AttrMessageIntegrity       = uint16(stun.AttrMessageIntegrity)
	AttrMessageIntegritySHA256 = uint16(stun.AttrMessageIntegritySHA256)
	attrXORMappedAddress       = uint16(stun.AttrXORMappedAddress)
	AttrXORPeerAddress         = uint16(stun.AttrXORPeerAddress)
	AttrData                   = uint16(stun.AttrData)
	AttrDontFragment           = uint16(stun.AttrDontFragment)
	AttrFingerprint            = uint16(stun.AttrFingerprint)

	// pion/stun lacks these of RFC 8656 §18.
	AttrAdditionalAddressFamily = stun.AttrType(0x8000)
	AttrAddressErrorCode        = stun.AttrType(0x8001)
	AttrICMP                    = uint16(0x8004)

	// Coturn's clients send this number for ADDITIONAL-ADDRESS-FAMILY. It is older than the one that IANA assigned.
	AttrAdditionalAddressFamilyCoturn = stun.AttrType(0x8032)
)

// Family is an address family as attributes encode it.
type Family byte

// The families.
const (
	IPv4 Family = 0x01
	IPv6 Family = 0x02
)

// WellFormed reports whether pkt is exactly one STUN message by its header. It does not look at the attributes.
func WellFormed(pkt []byte) bool {
	return len(pkt) >= HeaderSize &&
		pkt[0]&0xC0 == 0 &&
		binary.BigEndian.Uint32(pkt[4:]) == MagicCookie &&
		len(pkt)%4 == 0 &&
		len(pkt) == HeaderSize+int(binary.BigEndian.Uint16(pkt[2:]))
}

// Attributes walks the attributes of a well-formed message.
type Attributes struct {
	pkt []byte
	off int // of the next attribute
}

// AttributesOf begins a walk.
func AttributesOf(pkt []byte) Attributes { return Attributes{pkt, HeaderSize} }

// Next returns the next attribute's type and where its value lies. At the end, more is false. If the message is cut
// short, bad is true.
func (a *Attributes) Next() (typ uint16, start, end int, more, bad bool) {
	if a.off == len(a.pkt) {
		return 0, 0, 0, false, false
	}
	if len(a.pkt)-a.off < AttrHeaderSize {
		return 0, 0, 0, false, true
	}
	typ = binary.BigEndian.Uint16(a.pkt[a.off:])
	start = a.off + AttrHeaderSize
	end = start + int(binary.BigEndian.Uint16(a.pkt[a.off+2:]))
	padded := start + Pad4(end-start)
	if padded > len(a.pkt) {
		return 0, 0, 0, false, true
	}
	a.off = padded
	return typ, start, end, true, false
}

// Pad4 rounds up to a multiple of four.
func Pad4(n int) int { return (n + 3) &^ 3 }

// ComprehensionRequired reports whether a receiver that does not know the attribute must refuse the message (RFC 8489
// §14).
func ComprehensionRequired(typ uint16) bool { return typ < 0x8000 }

// XORAddressSize is the length of an XOR address attribute's value.
func XORAddressSize(is4 bool) int {
	if is4 {
		return 8
	}
	return 20
}

// PutAddress encodes e as the value of an address attribute in clear (RFC 8489 §14.1) at the front of b.
func PutAddress(b []byte, e Endpoint) {
	ip, fam := e.IP[:], IPv6
	if e.Is4() {
		ip, fam = e.IP[12:], IPv4
	}
	b[0], b[1] = 0, byte(fam)
	binary.BigEndian.PutUint16(b[2:], e.Port)
	copy(b[4:], ip)
}

// PutXORAddress encodes e as the value of an XOR-*-ADDRESS attribute (RFC 8489 §14.2) at the front of b.
func PutXORAddress(b []byte, e Endpoint, transactionID []byte) {
	PutAddress(b, e)
	binary.BigEndian.PutUint16(b[2:], e.Port^uint16(MagicCookie>>16))
	xorAddress(b[4:XORAddressSize(e.Is4())], transactionID)
}

// ParseXORAddress is the inverse of PutXORAddress.
func ParseXORAddress(value, transactionID []byte) (e Endpoint, ok bool) {
	if len(value) < 4 {
		return e, false
	}
	var ip [16]byte
	n := 16
	switch {
	case Family(value[1]) == IPv4 && len(value) == 8:
		n = 4
	case Family(value[1]) == IPv6 && len(value) == 20:
	default:
		return e, false
	}
	copy(ip[:], value[4:])
	xorAddress(ip[:n], transactionID)
	e.Port = binary.BigEndian.Uint16(value[2:]) ^ uint16(MagicCookie>>16)
	if n == 4 {
		e.IP = netip.AddrFrom4([4]byte(ip[:4])).As16()
	} else {
		e.IP = ip
	}
	return e, true
}

func xorAddress(ip, transactionID []byte) {
	var mask [16]byte
	binary.BigEndian.PutUint32(mask[:], MagicCookie)
	copy(mask[4:], transactionID)
	for i := range ip {
		ip[i] ^= mask[i]
	}
}

// FingerprintHolds reports whether the FINGERPRINT with the value pkt[start:end] is the last attribute and the CRC of
// all before it (RFC 8489 §14.7).
func FingerprintHolds(pkt []byte, start, end int) bool {
	before := start - AttrHeaderSize
	return end-before == fingerprintSize && end == len(pkt) &&
		binary.BigEndian.Uint32(pkt[start:]) == stun.FingerprintValue(pkt[:before])
}

// putAttrHeader writes the header of an attribute whose value has size bytes, and returns its own length.
func putAttrHeader(b []byte, typ uint16, size int) int {
	binary.BigEndian.PutUint16(b, typ)
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	return AttrHeaderSize
}
