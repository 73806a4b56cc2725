package turnserver

import "encoding/binary"

// ChannelData's wire format (RFC 8656 §12.4).
const (
	channelHeaderSize = 4
	minChannel        = 0x4000
	maxChannel        = 0x4FFF
)

// maxMessage is the longest STUN message: its length field is 16 bits of a multiple of four.
const maxMessage = stunHeaderSize + 65532

// maxRequest bounds STUN messages that are not Send indications. No request needs as much.
const maxRequest = 4096

// isChannelData tells from a packet's first byte (RFC 8656 §12).
func isChannelData(first byte) bool { return first >= minChannel>>8 && first <= maxChannel>>8 }

// frameSize returns how long the frame at the front of b is, padding included, 0 if more bytes are needed to tell, and false
// if it is no frame that a client may send. No frame is longer than maxMessage.
func frameSize(b []byte) (int, bool) {
	if len(b) == 0 {
		return 0, true
	}
	if !isChannelData(b[0]) && b[0]&0xC0 != 0 {
		return 0, false
	}
	if len(b) < channelHeaderSize {
		return 0, true
	}
	// In int: with padding, a 16-bit length can pass 65535.
	length := int(binary.BigEndian.Uint16(b[2:]))
	if isChannelData(b[0]) {
		return channelHeaderSize + pad4(length), true
	}
	size := stunHeaderSize + length
	if length%4 != 0 {
		return 0, false
	}
	if binary.BigEndian.Uint16(b) != typeSendIndication && size > maxRequest {
		return 0, false
	}
	if len(b) < 8 {
		return 0, true
	}
	return size, binary.BigEndian.Uint32(b[4:]) == magicCookie
}

// wrapChannelData puts a ChannelData header before buf[start:end], and on streams the padding after it (RFC 8656 §12.5).
func wrapChannelData(channel uint16, buf []byte, start, end int, stream bool) (int, int) {
	size := end - start
	start -= channelHeaderSize
	binary.BigEndian.PutUint16(buf[start:], channel)
	binary.BigEndian.PutUint16(buf[start+2:], uint16(size))
	if stream {
		end = pad(buf, end, size)
	}
	return start, end
}

// pad writes zeroes after end until size is a multiple of four.
func pad(buf []byte, end, size int) int {
	padded := end + pad4(size) - size
	clear(buf[end:padded])
	return padded
}
