package wire

import (
	"encoding/binary"
	"math/rand/v2"
)

// WrapDataIndication makes buf[start:end] the DATA of a Data indication (RFC 8656 §11.4).
func WrapDataIndication(peer Endpoint, buf []byte, start, end int) (int, int) {
	size := end - start
	addressSize := XORAddressSize(peer.Addr().Is4())
	end = pad(buf, end, size)
	start -= HeaderSize + AttrHeaderSize + addressSize + AttrHeaderSize
	m := buf[start:end]

	binary.BigEndian.PutUint16(m, typeDataIndication)
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)-HeaderSize))
	binary.BigEndian.PutUint32(m[4:], MagicCookie)
	binary.BigEndian.PutUint64(m[8:], rand.Uint64())
	binary.BigEndian.PutUint32(m[16:], rand.Uint32())

	binary.BigEndian.PutUint16(m[HeaderSize:], AttrXORPeerAddress)
	binary.BigEndian.PutUint16(m[HeaderSize+2:], uint16(addressSize))
	PutXORAddress(m[HeaderSize+AttrHeaderSize:], peer, m[8:HeaderSize])

	dataHeader := HeaderSize + AttrHeaderSize + addressSize
	binary.BigEndian.PutUint16(m[dataHeader:], AttrData)
	binary.BigEndian.PutUint16(m[dataHeader+2:], uint16(size))
	return start, end
}

// ICMPMessage is what an ICMP message says of a datagram that was sent from a relayed address.
type ICMPMessage struct {
	Peer       Endpoint // that the datagram went to
	Type, Code uint8
	Data       uint32 // the MTU of the next hop, where type and code are about it, else 0
}

// What clients are told of (RFC 8656 §11.5).
const (
	ICMPv4Unreachable  = 3
	ICMPv4TimeExceeded = 11
	ICMPv4TooBig       = 4 // a code of ICMPv4Unreachable

	ICMPv6Unreachable  = 1
	ICMPv6TooBig       = 2
	ICMPv6TimeExceeded = 3
)

// NewICMPMessage makes a message of one that came, with the MTU that it may tell.
func NewICMPMessage(peer Endpoint, typ, code uint8, mtu uint32) ICMPMessage {
	m := ICMPMessage{Peer: peer, Type: typ, Code: code}
	if peer.Is4() && typ == ICMPv4Unreachable && code == ICMPv4TooBig || !peer.Is4() && typ == ICMPv6TooBig {
		m.Data = mtu
	}
	return m
}

func (m *ICMPMessage) ForClients() bool {
	if m.Peer.Is4() {
		return m.Type == ICMPv4Unreachable || m.Type == ICMPv4TimeExceeded
	}
	return m.Type == ICMPv6Unreachable || m.Type == ICMPv6TooBig || m.Type == ICMPv6TimeExceeded
}

// PutICMPIndication makes a Data indication with the ICMP attribute, and returns it.
func PutICMPIndication(b []byte, m *ICMPMessage) []byte {
	addressSize := XORAddressSize(m.Peer.Is4())
	b = b[:HeaderSize+AttrHeaderSize+addressSize+AttrHeaderSize+8]
	binary.BigEndian.PutUint16(b, typeDataIndication)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-HeaderSize))
	binary.BigEndian.PutUint32(b[4:], MagicCookie)
	binary.BigEndian.PutUint64(b[8:], rand.Uint64())
	binary.BigEndian.PutUint32(b[16:], rand.Uint32())

	address := b[HeaderSize:]
	binary.BigEndian.PutUint16(address, AttrXORPeerAddress)
	binary.BigEndian.PutUint16(address[2:], uint16(addressSize))
	PutXORAddress(address[AttrHeaderSize:], m.Peer, b[8:HeaderSize])

	icmp := address[AttrHeaderSize+addressSize:]
	binary.BigEndian.PutUint16(icmp, AttrICMP)
	binary.BigEndian.PutUint16(icmp[2:], 8)
	// RFC 8656 §18.13 draws seven bits of type and nine of code.
	binary.BigEndian.PutUint32(icmp[4:], uint32(m.Type)<<9|uint32(m.Code))
	binary.BigEndian.PutUint32(icmp[8:], m.Data)
	return b
}
