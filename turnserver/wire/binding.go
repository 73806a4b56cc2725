package wire

import (
	"encoding/binary"

	"github.com/pion/stun/v3"
)

// BindingSuccessSize is the length of an answer to a plain Binding request.
func BindingSuccessSize(is4, fingerprint bool) int {
	n := HeaderSize + AttrHeaderSize + XORAddressSize(is4)
	if fingerprint {
		n += fingerprintSize
	}
	return n
}

// PutBindingSuccess fills out, which is BindingSuccessSize long, with the answer to a plain Binding request (RFC 8489
// §6.3.1).
func PutBindingSuccess(out, transactionID []byte, mapped Endpoint, fingerprint bool) {
	putMapped(out, transactionID, mapped)
	if fingerprint {
		putFingerprint(out)
	}
}

// putMapped fills out with the header of a Binding success and XOR-MAPPED-ADDRESS, and returns their length.
func putMapped(out, transactionID []byte, mapped Endpoint) (n int) {
	binary.BigEndian.PutUint16(out, TypeBindingSuccess)
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-HeaderSize))
	binary.BigEndian.PutUint32(out[4:], MagicCookie)
	copy(out[8:], transactionID)
	size := XORAddressSize(mapped.Addr().Is4())
	n = HeaderSize + putAttrHeader(out[HeaderSize:], attrXORMappedAddress, size)
	PutXORAddress(out[n:], mapped, transactionID)
	return n + size
}

// putFingerprint makes FINGERPRINT the last attribute of m, which has room for it.
func putFingerprint(m []byte) {
	end := len(m) - fingerprintSize
	putAttrHeader(m[end:], AttrFingerprint, 4)
	binary.BigEndian.PutUint32(m[end+AttrHeaderSize:], stun.FingerprintValue(m[:end]))
}
