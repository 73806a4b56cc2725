package wire

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

// The flags of CHANGE-REQUEST (RFC 5780 §7.2), as Discovery.Change has them.
const (
	ChangePort = 1
	ChangeIP   = 2
)

// Discovery is what a Binding request asks for by RFC 5780.
type Discovery struct {
	Change       byte   // ChangePort and ChangeIP
	ResponsePort uint16 // 0: the port that the request came from
	Padding      int
	bad          bool // the value of an attribute is not valid

	hasChange, HasPort, Padded bool // of each kind the first counts (RFC 8489 §14)
}

// IsDiscovery reports whether RFC 5780 puts an attribute into requests.
func IsDiscovery(typ uint16) bool {
	return typ == attrChangeRequest || typ == attrPadding || typ == attrResponsePort
}

// Read reads an attribute. It reports false if RFC 5780 does not put such an attribute into requests.
func (d *Discovery) Read(typ uint16, value []byte) bool {
	switch {
	case typ == attrChangeRequest && !d.hasChange:
		d.hasChange = true
		if d.bad = d.bad || len(value) != 4; !d.bad {
			d.Change = value[3] >> 1 & (ChangePort | ChangeIP)
		}
	case typ == attrResponsePort && !d.HasPort:
		d.HasPort = true
		// RFC 5780 §7.5 does not say whether the two bytes of padding are part of the value.
		if d.bad = d.bad || len(value) != 2 && len(value) != 4; !d.bad {
			d.ResponsePort = binary.BigEndian.Uint16(value)
			d.bad = d.ResponsePort == 0
		}
	case typ == attrPadding && !d.Padded:
		d.Padded, d.Padding = true, Pad4(len(value))
	default:
		return IsDiscovery(typ)
	}
	return true
}

// Below wellKnownPorts, services listen that an answer from here might set going. No NAT maps an ordinary client to one
// of these ports (RFC 4787 REQ-3).
const wellKnownPorts = 1024

// Refused reports whether the request gets 400. RESPONSE-PORT together with PADDING would flood a port that did not ask
// (RFC 5780 §10). source is the port that the request came from.
func (d *Discovery) Refused(source uint16) bool {
	return d.bad || d.HasPort && (d.Padded || d.ResponsePort < wellKnownPorts && d.ResponsePort != source)
}

// DiscoveryAnswer is what the answer to a Binding request says where RFC 5780 is spoken. Its addresses are of one
// family.
type DiscoveryAnswer struct {
	Mapped      Endpoint // the client's address as it is seen here
	Origin      Endpoint // from which the answer leaves
	Other       Endpoint // differs from the request's destination in address and port
	Padded      bool
	Fingerprint bool
}

// DiscoveryAnswerSize is the answer's length without padding.
func DiscoveryAnswerSize(is4, fingerprint bool) int {
	return BindingSuccessSize(is4, fingerprint) + 3*(AttrHeaderSize+XORAddressSize(is4))
}

// Put fills out with the answer. PADDING takes the room that the other attributes leave.
func (a *DiscoveryAnswer) Put(out, transactionID []byte) {
	n := putMapped(out, transactionID, a.Mapped)
	size := XORAddressSize(a.Mapped.Addr().Is4())
	for _, address := range [...]struct {
		typ  uint16
		addr Endpoint
	}{
		{attrMappedAddress, a.Mapped}, // differs from XOR-MAPPED-ADDRESS if a NAT rewrites what looks like an address
		{attrResponseOrigin, a.Origin},
		{attrOtherAddress, a.Other},
	} {
		n += putAttrHeader(out[n:], address.typ, size)
		PutAddress(out[n:], address.addr)
		n += size
	}
	end := len(out)
	if a.Fingerprint {
		end -= fingerprintSize
	}
	if a.Padded {
		n += putAttrHeader(out[n:], attrPadding, end-n-AttrHeaderSize)
		clear(out[n:end])
	}
	if a.Fingerprint {
		putFingerprint(out)
	}
}
