package signalload

import (
	"encoding/binary"
	"errors"
)

// The opcodes of RFC 6455 §5.2.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

const (
	final      = 0x80
	masked     = 0x80
	maskLength = 4
	// maxFrame is far above the longest frame of servers, a welcome that lists every user who is online.
	maxFrame = 32 << 20
)

// mask is the same for all frames. It is not zero, because some servers skip the unmasking of a zero mask.
var mask = [maskLength]byte{0x5A, 0xC3, 0x96, 0x3C}

var errFrame = errors.New("the server breaks the WebSocket protocol")

// appendFrame appends a client's frame (RFC 6455 §5.2).
func appendFrame(dst []byte, opcode byte, payload string) []byte {
	dst = append(dst, final|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n <= 0xFFFF:
		dst = binary.BigEndian.AppendUint16(append(dst, masked|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, masked|127), uint64(n))
	}
	dst = append(dst, mask[:]...)
	for i := range len(payload) {
		dst = append(dst, payload[i]^mask[i%maskLength])
	}
	return dst
}

// nextFrame cuts a server's frame off data. If data holds no whole frame, rest is data.
func nextFrame(data []byte) (opcode byte, payload, rest []byte, whole bool, err error) {
	if len(data) < 2 {
		return 0, nil, data, false, nil
	}
	if data[0]&0x70 != 0 || data[0]&final == 0 || data[1]&masked != 0 {
		return 0, nil, data, false, errFrame // we agree on no extension, neither server sends fragments, and servers do not mask
	}
	header, length := 2, uint64(data[1])
	switch length {
	case 126:
		header = 4
	case 127:
		header = 10
	}
	if len(data) < header {
		return 0, nil, data, false, nil
	}
	switch header {
	case 4:
		length = uint64(binary.BigEndian.Uint16(data[2:]))
	case 10:
		length = binary.BigEndian.Uint64(data[2:])
	}
	if length > maxFrame {
		return 0, nil, data, false, errFrame
	}
	if uint64(len(data)-header) < length {
		return 0, nil, data, false, nil
	}
	end := header + int(length)
	return data[0] & 0x0F, data[header:end], data[end:], true, nil
}
