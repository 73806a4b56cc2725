package turnserver

import (
	"encoding/binary"

	"github.com/pion/stun/v3"
)

// The attributes of RFC 5780.
const (
	attrMappedAddress  = uint16(stun.AttrMappedAddress)
	attrChangeRequest  = uint16(stun.AttrChangeRequest)
	attrPadding        = uint16(stun.AttrPadding)
	attrResponsePort   = uint16(stun.AttrResponsePort)
	attrResponseOrigin = uint16(stun.AttrResponseOrigin)
	attrOtherAddress   = uint16(stun.AttrOtherAddress)
)

// The flags of CHANGE-REQUEST (RFC 5780 §7.2), as discoveryRequest.change has them.
const (
	changePort = 1
	changeIP   = 2
)

// discoveryRequest is what a Binding request asks for by RFC 5780.
type discoveryRequest struct {
	change       byte   // changePort and changeIP
	responsePort uint16 // 0: the port that the request came from
	padding      int
	bad          bool // an attribute's value is not what it must be

	hasChange, hasPort, padded bool // of each kind the first counts (RFC 8489 §14)
}

// isDiscovery reports whether an attribute is one that RFC 5780 has in requests.
func isDiscovery(typ uint16) bool {
	return typ == attrChangeRequest || typ == attrPadding || typ == attrResponsePort
}

// take reads an attribute, or reports false if it is none that isDiscovery.
func (d *discoveryRequest) take(typ uint16, value []byte) bool {
	switch {
	case typ == attrChangeRequest && !d.hasChange:
		d.hasChange = true
		if d.bad = d.bad || len(value) != 4; !d.bad {
			d.change = value[3] >> 1 & (changePort | changeIP)
		}
	case typ == attrResponsePort && !d.hasPort:
		d.hasPort = true
		// RFC 5780 §7.5 does not say whether the two bytes of padding are part of the value.
		if d.bad = d.bad || len(value) != 2 && len(value) != 4; !d.bad {
			d.responsePort = binary.BigEndian.Uint16(value)
			d.bad = d.responsePort == 0
		}
	case typ == attrPadding && !d.padded:
		d.padded, d.padding = true, pad4(len(value))
	default:
		return isDiscovery(typ)
	}
	return true
}

// wellKnownPorts are below this. Services listen there, which an answer from us might set going, and no NAT maps an
// ordinary client to one of them (RFC 4787 REQ-3).
const wellKnownPorts = 1024

// refused reports whether the request gets 400: RESPONSE-PORT and PADDING would together flood a port that did not ask (RFC 5780 §10).
func (d *discoveryRequest) refused(source uint16) bool {
	return d.bad || d.hasPort && (d.padded || d.responsePort < wellKnownPorts && d.responsePort != source)
}

// bindingSuccessSize is the length of an answer to a plain Binding request.
func bindingSuccessSize(is4, fingerprint bool) int {
	n := stunHeaderSize + attrHeaderSize + xorAddressSize(is4)
	if fingerprint {
		n += fingerprintSize
	}
	return n
}

// putBindingSuccess fills out, which is bindingSuccessSize long, with the answer to a plain Binding request (RFC 8489 §6.3.1).
func putBindingSuccess(out, transactionID []byte, mapped endpoint, fingerprint bool) {
	putMapped(out, transactionID, mapped)
	if fingerprint {
		putFingerprint(out)
	}
}

// discoveryAnswer is what the answer to a Binding request says where RFC 5780 is spoken. Its addresses are of one family.
type discoveryAnswer struct {
	mapped      endpoint // the client's address as it is seen here
	origin      endpoint // that the answer leaves from
	other       endpoint // that differs from the request's destination in address and port
	padded      bool
	fingerprint bool
}

// discoveryAnswerSize is the answer's length without padding.
func discoveryAnswerSize(is4, fingerprint bool) int {
	return bindingSuccessSize(is4, fingerprint) + 3*(attrHeaderSize+xorAddressSize(is4))
}

// put fills out with the answer. PADDING takes what the rest leaves.
func (a *discoveryAnswer) put(out, transactionID []byte) {
	n := putMapped(out, transactionID, a.mapped)
	size := xorAddressSize(a.mapped.addr().Is4())
	for _, address := range [...]struct {
		typ  uint16
		addr endpoint
	}{
		{attrMappedAddress, a.mapped}, // differs from XOR-MAPPED-ADDRESS if a NAT rewrites what looks like an address
		{attrResponseOrigin, a.origin},
		{attrOtherAddress, a.other},
	} {
		n += putAttrHeader(out[n:], address.typ, size)
		putAddress(out[n:], address.addr)
		n += size
	}
	end := len(out)
	if a.fingerprint {
		end -= fingerprintSize
	}
	if a.padded {
		n += putAttrHeader(out[n:], attrPadding, end-n-attrHeaderSize)
		clear(out[n:end])
	}
	if a.fingerprint {
		putFingerprint(out)
	}
}

// putMapped fills out with the header of a Binding success and XOR-MAPPED-ADDRESS, and returns their length.
func putMapped(out, transactionID []byte, mapped endpoint) (n int) {
	binary.BigEndian.PutUint16(out, typeBindingSuccess)
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-stunHeaderSize))
	binary.BigEndian.PutUint32(out[4:], magicCookie)
	copy(out[8:], transactionID)
	size := xorAddressSize(mapped.addr().Is4())
	n = stunHeaderSize + putAttrHeader(out[stunHeaderSize:], attrXORMappedAddress, size)
	putXORAddress(out[n:], mapped, transactionID)
	return n + size
}

// putFingerprint makes FINGERPRINT the last attribute of m, which has room for it.
func putFingerprint(m []byte) {
	end := len(m) - fingerprintSize
	putAttrHeader(m[end:], attrFingerprint, 4)
	binary.BigEndian.PutUint32(m[end+attrHeaderSize:], stun.FingerprintValue(m[:end]))
}
