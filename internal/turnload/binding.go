package turnload

import (
	"encoding/binary"
	"time"
)

const (
	bindingRequest  = 0x0001
	bindingResponse = 0x0101
	magicCookie     = 0x2112A442
	bindingIDSize   = 12
)

// bindingProfile is a client that asks for its address all the time.
func bindingProfile() Profile {
	return Profile{"binding", []Stream{{Size: bindingIDSize, Burst: 1, Interval: 10 * time.Millisecond}}}
}

// bindingHeader is what stands before the transaction ID of a Binding request without attributes.
func bindingHeader() []byte {
	b := binary.BigEndian.AppendUint16(nil, bindingRequest)
	b = binary.BigEndian.AppendUint16(b, 0)
	return binary.BigEndian.AppendUint32(b, magicCookie)
}

// putBinding writes a transaction ID that says which packet the request is. Run and flow have 16 bits, and the time 32
// bits of microseconds.
func (p packet) putBinding(b []byte) {
	binary.BigEndian.PutUint16(b[0:], uint16(p.run))
	binary.BigEndian.PutUint16(b[2:], uint16(p.flow))
	binary.BigEndian.PutUint32(b[4:], p.number)
	binary.BigEndian.PutUint32(b[8:], uint32(p.sent/1e3))
}

// parseBinding finds out which packet a success response answers. now is a time at which it had come.
func parseBinding(b []byte, now int64) (p packet, ok bool) {
	if len(b) < stunHeader || binary.BigEndian.Uint16(b) != bindingResponse || binary.BigEndian.Uint32(b[4:]) != magicCookie {
		return packet{}, false
	}
	id := b[8:]
	under := uint32(now/1e3) - binary.BigEndian.Uint32(id[8:]) // microseconds under way
	return packet{
		run:    uint32(binary.BigEndian.Uint16(id[0:])),
		flow:   uint32(binary.BigEndian.Uint16(id[2:])),
		number: binary.BigEndian.Uint32(id[4:]),
		sent:   now - int64(under)*1e3,
	}, true
}
