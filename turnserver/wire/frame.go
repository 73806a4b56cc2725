package wire

import "encoding/binary"

// ChannelData's wire format (RFC 8656 §12.4). RFC 8656 §12 leaves clients a quarter of the channel numbers of RFC 5766
// §11. Clients of that time still draw from all of them, and nothing else comes to this server with such a first byte.
const (
	ChannelHeaderSize = 4
	MinChannel        = 0x4000
	MaxChannel        = 0x7FFF
)

// MaxMessage is the length of the longest STUN message: its length field has 16 bits and holds a multiple of four.
const MaxMessage = HeaderSize + 65532

// MaxRequest bounds STUN messages that are not Send indications. No request needs as much.
const MaxRequest = 4096

// IsChannelData tells ChannelData from STUN by a packet's first byte (RFC 5766 §11).
func IsChannelData(first byte) bool { return first >= MinChannel>>8 && first <= MaxChannel>>8 }

// FrameSize returns the length of the frame at the front of b, with its padding, or 0 if it needs more bytes to tell.
// It reports false if no client may send such a frame. No frame is longer than MaxMessage.
func FrameSize(b []byte) (int, bool) {
	if len(b) == 0 {
		return 0, true
	}
	if !IsChannelData(b[0]) && b[0]&0xC0 != 0 {
		return 0, false
	}
	if len(b) < ChannelHeaderSize {
		return 0, true
	}
	// In int: with padding, a 16-bit length can pass 65535.
	length := int(binary.BigEndian.Uint16(b[2:]))
	if IsChannelData(b[0]) {
		return ChannelHeaderSize + Pad4(length), true
	}
	size := HeaderSize + length
	if length%4 != 0 {
		return 0, false
	}
	if binary.BigEndian.Uint16(b) != TypeSendIndication && size > MaxRequest {
		return 0, false
	}
	if len(b) < 8 {
		return 0, true
	}
	return size, binary.BigEndian.Uint32(b[4:]) == MagicCookie
}

// WrapChannelData puts a ChannelData header before buf[start:end], and on streams the padding after it (RFC 8656
// §12.5). It returns where the message lies.
func WrapChannelData(channel uint16, buf []byte, start, end int, stream bool) (int, int) {
	size := end - start
	start -= ChannelHeaderSize
	binary.BigEndian.PutUint16(buf[start:], channel)
	binary.BigEndian.PutUint16(buf[start+2:], uint16(size))
	if stream {
		end = pad(buf, end, size)
	}
	return start, end
}

// pad writes zeroes after end until size is a multiple of four, and returns the new end.
func pad(buf []byte, end, size int) int {
	padded := end + Pad4(size) - size
	clear(buf[end:padded])
	return padded
}
