package socket

import (
	"encoding/binary"

	"example.org/turnpike/signal/wire"
)

// The first bytes of the frames that simpleFrame finds: whole messages and control frames (RFC 6455 §5.2).
const (
	finalText = 0x81
	finalPing = 0x89
	finalPong = 0x8a
)

const maxControl = 125 // bytes that a control frame may carry (RFC 6455 §5.5)

// simpleFrame finds a message that is one frame, or a ping or pong, if all of it is at the beginning of b: clients send
// hardly anything else. It takes the mask off in place, and returns the frame's first byte, its payload and its size. A
// size of 0 means that there is no such frame: then gorilla, which knows the rest of RFC 6455, must read on.
func simpleFrame(b []byte) (first byte, payload []byte, size int) {
	if len(b) < 6 || b[1]&0x80 == 0 {
		return 0, nil, 0
	}
	start, length := 2, int(b[1]&0x7f)
	switch b[0] {
	case finalText:
		if length == 127 {
			return 0, nil, 0 // longer than messages may be
		}
		if length == 126 {
			start, length = 4, int(binary.BigEndian.Uint16(b[2:]))
		}
	case finalPing, finalPong:
		if length > maxControl {
			return 0, nil, 0
		}
	default:
		return 0, nil, 0
	}
	if size = start + 4 + length; size > len(b) || length > wire.MaxMessage {
		return 0, nil, 0
	}
	payload = b[start+4 : size : size]
	unmask(payload, binary.LittleEndian.Uint32(b[start:]))
	return b[0], payload, size
}

// unmask takes a mask off (RFC 6455 §5.3).
func unmask(b []byte, mask uint32) {
	wide := uint64(mask)<<32 | uint64(mask)
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
	}
	for i := range b {
		b[i] ^= byte(wide >> (8 * i))
	}
}

const maxHeader = 10 // bytes before the payload of a frame without a mask

// appendFrame appends a frame as servers send it to b. It returns that memory, and the part of it that is the frame.
func appendFrame(b []byte, f frame) (all, whole []byte) {
	start := len(b) + maxHeader
	b = append(b, make([]byte, maxHeader)...)
	if f.seq > 0 {
		b = wire.AppendSeq(b, f.data, f.seq)
	} else {
		b = append(b, f.data...)
	}
	length := len(b) - start
	switch {
	case length < 126:
		start -= 2
		b[start+1] = byte(length)
	case length < 1<<16:
		start -= 4
		b[start+1] = 126
		binary.BigEndian.PutUint16(b[start+2:], uint16(length))
	default:
		start -= 10
		b[start+1] = 127
		binary.BigEndian.PutUint64(b[start+2:], uint64(length))
	}
	b[start] = 0x80 | byte(f.kind) // RFC 6455's opcodes, as gorilla's constants are
	return b, b[start:]
}

// frameEnds follows the bytes of a WebSocket to know where each frame ends (RFC 6455 §5.2).
type frameEnds struct {
	header [10]byte // of the frame, up to its length
	have   int      // of header
	left   uint64   // bytes after that
}

// advance returns how many bytes of b, which is not empty, belong to the current frame, and passes over them.
func (f *frameEnds) advance(b []byte) int {
	n := 0
	for f.left == 0 && n < len(b) {
		f.header[f.have] = b[n]
		f.have++
		n++
		if f.have == f.headerSize() {
			f.have, f.left = 0, f.size()
			if f.left == 0 {
				return n
			}
		}
	}
	rest := min(f.left, uint64(len(b)-n))
	f.left -= rest
	return n + int(rest)
}

func (f *frameEnds) headerSize() int {
	switch length := f.header[1] & 0x7f; {
	case f.have < 2 || length < 126:
		return 2
	case length == 126:
		return 4
	}
	return 10
}

// size is the size of what comes after the header: the mask, if there is one, and the payload.
func (f *frameEnds) size() uint64 {
	length := uint64(f.header[1] & 0x7f)
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(f.header[2:]))
	case 127:
		length = binary.BigEndian.Uint64(f.header[2:]) &^ (1 << 63)
	}
	if f.header[1]&0x80 != 0 {
		length += 4
	}
	return length
}
