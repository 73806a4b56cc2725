package turnload

import (
	"encoding/binary"

	"github.com/pion/stun/v3"
)

// The payload of a load's packet begins with
//
//	 0   magic    4 bytes  packetMagic
//	 4   run      4 bytes  the run that the packet belongs to; 0: the warm-up, which is not counted
//	 8   flow     4 bytes
//	12   number   4 bytes  within its flow
//	16   sent     8 bytes  nanoseconds since 1970
//
// all big-endian. The rest is zero.
const (
	packetMagic  = 0x74706b62
	packetHeader = 24
	maxPayload   = 1200
	maxBurst     = 8
)

type packet struct {
	run, flow, number uint32
	sent              int64
}

func (p packet) put(b []byte) {
	binary.BigEndian.PutUint32(b[0:], packetMagic)
	binary.BigEndian.PutUint32(b[4:], p.run)
	binary.BigEndian.PutUint32(b[8:], p.flow)
	binary.BigEndian.PutUint32(b[12:], p.number)
	binary.BigEndian.PutUint64(b[16:], uint64(p.sent))
}

func parsePacket(b []byte) (p packet, ok bool) {
	if len(b) < packetHeader || binary.BigEndian.Uint32(b) != packetMagic {
		return packet{}, false
	}
	return packet{
		run:    binary.BigEndian.Uint32(b[4:]),
		flow:   binary.BigEndian.Uint32(b[8:]),
		number: binary.BigEndian.Uint32(b[12:]),
		sent:   int64(binary.BigEndian.Uint64(b[16:])),
	}, true
}

const (
	stunHeader     = 20
	dataIndication = 0x0017 // RFC 8656 §18
)

// channelHeader is the ChannelData header before a payload of size bytes (RFC 8656 §12.4).
func channelHeader(channel uint16, size int) []byte {
	b := binary.BigEndian.AppendUint16(nil, channel)
	return binary.BigEndian.AppendUint16(b, uint16(size))
}

// indicationHeader is the part of a Send indication before a payload of size bytes. DATA comes last, and needs no
// padding, because size is a multiple of 4.
func indicationHeader(peer stun.Setter, size int) ([]byte, error) {
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer,
		stun.RawAttribute{Type: stun.AttrData, Value: make([]byte, size)})
	if err != nil {
		return nil, err
	}
	return m.Raw[:len(m.Raw)-size], nil
}

// unwrap returns the payload of a datagram from a server to a client, or nil if it is no data.
func unwrap(b []byte) []byte {
	if len(b) < 4 {
		return nil
	}
	if b[0]&0xC0 == 0x40 {
		if n := int(binary.BigEndian.Uint16(b[2:])); 4+n <= len(b) {
			return b[4 : 4+n]
		}
		return nil
	}
	if len(b) < stunHeader || binary.BigEndian.Uint16(b) != dataIndication {
		return nil
	}
	for attrs := b[stunHeader:]; len(attrs) >= 4; {
		typ, n := stun.AttrType(binary.BigEndian.Uint16(attrs)), int(binary.BigEndian.Uint16(attrs[2:]))
		if 4+n > len(attrs) {
			return nil
		}
		if typ == stun.AttrData {
			return attrs[4 : 4+n]
		}
		attrs = attrs[min(4+(n+3)&^3, len(attrs)):]
	}
	return nil
}
