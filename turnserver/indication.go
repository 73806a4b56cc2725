package turnserver

import (
	"encoding/binary"
	"math/rand/v2"
)

// wrapDataIndication makes buf[start:end] the DATA of a Data indication (RFC 8656 §11.4).
func wrapDataIndication(peer endpoint, buf []byte, start, end int) (int, int) {
	size := end - start
	addressSize := xorAddressSize(peer.addr().Is4())
	end = pad(buf, end, size)
	start -= stunHeaderSize + attrHeaderSize + addressSize + attrHeaderSize
	m := buf[start:end]

	binary.BigEndian.PutUint16(m, typeDataIndication)
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)-stunHeaderSize))
	binary.BigEndian.PutUint32(m[4:], magicCookie)
	binary.BigEndian.PutUint64(m[8:], rand.Uint64())
	binary.BigEndian.PutUint32(m[16:], rand.Uint32())

	binary.BigEndian.PutUint16(m[stunHeaderSize:], attrXORPeerAddress)
	binary.BigEndian.PutUint16(m[stunHeaderSize+2:], uint16(addressSize))
	putXORAddress(m[stunHeaderSize+attrHeaderSize:], peer, m[8:stunHeaderSize])

	dataHeader := stunHeaderSize + attrHeaderSize + addressSize
	binary.BigEndian.PutUint16(m[dataHeader:], attrData)
	binary.BigEndian.PutUint16(m[dataHeader+2:], uint16(size))
	return start, end
}

// icmpMessage is what an ICMP message says of a datagram that was sent from a relayed address.
type icmpMessage struct {
	peer      endpoint // that the datagram went to
	typ, code uint8
	data      uint32 // the MTU of the next hop, where type and code are about it, else 0
}

// What clients are told of (RFC 8656 §11.5).
const (
	icmp4Unreachable  = 3
	icmp4TimeExceeded = 11
	icmp4TooBig       = 4 // a code of icmp4Unreachable

	icmp6Unreachable  = 1
	icmp6TooBig       = 2
	icmp6TimeExceeded = 3
)

// newICMPMessage makes a message of one that came, with the MTU that it may tell.
func newICMPMessage(peer endpoint, typ, code uint8, mtu uint32) icmpMessage {
	m := icmpMessage{peer: peer, typ: typ, code: code}
	if peer.is4() && typ == icmp4Unreachable && code == icmp4TooBig || !peer.is4() && typ == icmp6TooBig {
		m.data = mtu
	}
	return m
}

func (m *icmpMessage) ofInterest() bool {
	if m.peer.is4() {
		return m.typ == icmp4Unreachable || m.typ == icmp4TimeExceeded
	}
	return m.typ == icmp6Unreachable || m.typ == icmp6TooBig || m.typ == icmp6TimeExceeded
}

// putICMPIndication makes a Data indication with the ICMP attribute, and returns it.
func putICMPIndication(b []byte, m *icmpMessage) []byte {
	addressSize := xorAddressSize(m.peer.is4())
	b = b[:stunHeaderSize+attrHeaderSize+addressSize+attrHeaderSize+8]
	binary.BigEndian.PutUint16(b, typeDataIndication)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeaderSize))
	binary.BigEndian.PutUint32(b[4:], magicCookie)
	binary.BigEndian.PutUint64(b[8:], rand.Uint64())
	binary.BigEndian.PutUint32(b[16:], rand.Uint32())

	address := b[stunHeaderSize:]
	binary.BigEndian.PutUint16(address, attrXORPeerAddress)
	binary.BigEndian.PutUint16(address[2:], uint16(addressSize))
	putXORAddress(address[attrHeaderSize:], m.peer, b[8:stunHeaderSize])

	icmp := address[attrHeaderSize+addressSize:]
	binary.BigEndian.PutUint16(icmp, attrICMP)
	binary.BigEndian.PutUint16(icmp[2:], 8)
	// RFC 8656 §18.13 draws seven bits of type and nine of code.
	binary.BigEndian.PutUint32(icmp[4:], uint32(m.typ)<<9|uint32(m.code))
	binary.BigEndian.PutUint32(icmp[8:], m.data)
	return b
}
