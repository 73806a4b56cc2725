package signal

import (
	"encoding/binary"

	"turnpike/signal/wire"
)

// The first bytes of frames that are whole messages, or control frames, of those that simpleFrame finds (RFC 6455 §5.2).
const (
	finalText = 0x81
	finalPing = 0x89
	finalPong = 0x8a
)

const maxControl = 125 // bytes that a control frame may carry (RFC 6455 §5.5)

// simpleFrame finds a message that is one frame, or a ping or pong, if all of it is at the beginning of b: nearly all that clients
// send. It takes the mask off in place, and returns the frame's first byte, what it carries, and how long it is. A size of 0 says
// that there is none, and that gorilla is to read on, which knows the rest of RFC 6455.
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

// appendFrame makes a frame as servers send it, in the memory of b, and returns that with the frame, which begins somewhere in it.
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

// frameEnds follows bytes through the frames of a WebSocket, as far as it takes to know where one ends (RFC 6455 §5.2).
type frameEnds struct {
	header [10]byte // of the frame, up to its length
	have   int      // of header
	left   uint64   // bytes after that
}

// isEnd reports whether the last byte was a frame's last.
func (f *frameEnds) isEnd() bool { return f.have == 0 && f.left == 0 }

// take returns how many of b, which is not empty, come before the end of the frame.
func (f *frameEnds) take(b []byte) int {
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

// size is what comes after the header: the mask, if there is one, and the payload.
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
