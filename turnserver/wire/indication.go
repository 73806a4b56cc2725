package wire

import (
	"encoding/binary"
	"math/rand/v2"
)

// WrapDataIndication makes buf[start:end] the DATA of a Data indication (RFC 8656 §11.4). It returns where the
// indication lies.
func WrapDataIndication(peer Endpoint, buf []byte, start, end int) (int, int) {
	size := end - start
	end = pad(buf, end, size)
	start -= dataIndicationHead(peer.Is4()) + AttrHeaderSize
	m := buf[start:end]
	n := putDataIndicationHead(m, peer)
	putAttrHeader(m[n:], AttrData, size)
	return start, end
}

// dataIndicationHead is the length of a Data indication's header and XOR-PEER-ADDRESS.
func dataIndicationHead(is4 bool) int { return HeaderSize + AttrHeaderSize + XORAddressSize(is4) }

// putDataIndicationHead begins the Data indication m, which is as long as it will be, and returns the length of the
// head.
func putDataIndicationHead(m []byte, peer Endpoint) int {
	binary.BigEndian.PutUint16(m, typeDataIndication)
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)-HeaderSize))
	binary.BigEndian.PutUint32(m[4:], MagicCookie)
	binary.BigEndian.PutUint64(m[8:], rand.Uint64())
	binary.BigEndian.PutUint32(m[16:], rand.Uint32())
	putAttrHeader(m[HeaderSize:], AttrXORPeerAddress, XORAddressSize(peer.Is4()))
	PutXORAddress(m[HeaderSize+AttrHeaderSize:], peer, m[8:HeaderSize])
	return dataIndicationHead(peer.Is4())
}

// ICMPMessage is what an ICMP message says of a datagram that was sent from a relayed address.
type ICMPMessage struct {
	Peer       Endpoint // to which the datagram went
	Type, Code uint8
	Data       uint32 // the MTU of the next hop, where type and code are about it, else 0
}

// The types and codes that clients are told of (RFC 8656 §11.5).
const (
	ICMPv4Unreachable  = 3
	ICMPv4TimeExceeded = 11
	ICMPv4TooBig       = 4 // a code of ICMPv4Unreachable

	ICMPv6Unreachable  = 1
	ICMPv6TooBig       = 2
	ICMPv6TimeExceeded = 3
)

// NewICMPMessage makes a message that has the MTU only if its type and code are about one.
func NewICMPMessage(peer Endpoint, typ, code uint8, mtu uint32) ICMPMessage {
	m := ICMPMessage{Peer: peer, Type: typ, Code: code}
	if peer.Is4() && typ == ICMPv4Unreachable && code == ICMPv4TooBig || !peer.Is4() && typ == ICMPv6TooBig {
		m.Data = mtu
	}
	return m
}

// ForClients reports whether the server tells a client of the message.
func (m *ICMPMessage) ForClients() bool {
	if m.Peer.Is4() {
		return m.Type == ICMPv4Unreachable || m.Type == ICMPv4TimeExceeded
	}
	return m.Type == ICMPv6Unreachable || m.Type == ICMPv6TooBig || m.Type == ICMPv6TimeExceeded
}

// PutICMPIndication makes a Data indication with the ICMP attribute at the front of b, and returns it.
func PutICMPIndication(b []byte, m *ICMPMessage) []byte {
	b = b[:dataIndicationHead(m.Peer.Is4())+AttrHeaderSize+8]
	icmp := b[putDataIndicationHead(b, m.Peer):]
	putAttrHeader(icmp, AttrICMP, 8)
	// RFC 8656 §18.13 draws seven bits of type and nine of code.
	binary.BigEndian.PutUint32(icmp[4:], uint32(m.Type)<<9|uint32(m.Code))
	binary.BigEndian.PutUint32(icmp[8:], m.Data)
	return b
}
