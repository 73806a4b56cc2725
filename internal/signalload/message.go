package signalload

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// The text of a message is a session description, like most of what is signalled: lines with escaped ends. One line
// holds the stamp.
const (
	marker      = `a=bench:`
	textHead    = `v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n` + marker
	stampDigits = 2 * stampBytes
	stampBytes  = 4 + 4 + 4 + 8 // run, flow, number, sent
)

// textLines fill a message up to its size, repeatedly if necessary.
const textLines = `\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13\r\n` +
	`c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=ice-options:trickle\r\n` +
	`a=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n` +
	`a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\n` +
	`a=ssrc:1399694169 cname:mGf0Ag5Tj8nq1Fkq\r\n`

// stamp identifies a message.
type stamp struct {
	run, flow, number uint32
	sent              int64 // Unix nanoseconds
}

// encode writes the stamp as hexadecimal digits.
func (s stamp) encode(to []byte) {
	var raw [stampBytes]byte
	binary.BigEndian.PutUint32(raw[0:], s.run)
	binary.BigEndian.PutUint32(raw[4:], s.flow)
	binary.BigEndian.PutUint32(raw[8:], s.number)
	binary.BigEndian.PutUint64(raw[12:], uint64(s.sent))
	hex.Encode(to[:stampDigits], raw[:])
}

// readStamp finds the stamp anywhere in a message.
func readStamp(message []byte) (s stamp, ok bool) {
	at := bytes.Index(message, []byte(marker))
	if at < 0 || len(message) < at+len(marker)+stampDigits {
		return stamp{}, false
	}
	var raw [stampBytes]byte
	if _, err := hex.Decode(raw[:], message[at+len(marker):at+len(marker)+stampDigits]); err != nil {
		return stamp{}, false
	}
	return stamp{
		run: binary.BigEndian.Uint32(raw[0:]), flow: binary.BigEndian.Uint32(raw[4:]), number: binary.BigEndian.Uint32(raw[8:]),
		sent: int64(binary.BigEndian.Uint64(raw[12:])),
	}, true
}

// frameTemplate is a whole frame that is sent many times. Only the stamp in it changes.
type frameTemplate struct {
	frame []byte
	at    int // of the stamp in frame
	phase int // of the mask there
}

// newFrameTemplate makes the frame of a message of size bytes.
func newFrameTemplate(before, after string, size int) (frameTemplate, error) {
	head := before + textHead + strings.Repeat("0", stampDigits)
	room := size - len(head) - len(after)
	if room < 0 {
		return frameTemplate{}, fmt.Errorf("messages of %d bytes are too short: the least is %d", size, size-room)
	}
	filling := strings.Repeat(textLines, room/len(textLines)+1)[:room]
	// An escape that is cut in two would break the JSON.
	if cut := strings.LastIndexByte(filling, '\\'); cut == len(filling)-1 && cut >= 0 {
		filling = filling[:cut] + " "
	}
	frame := appendFrame(nil, opText, head+filling+after)
	header := len(frame) - size
	return frameTemplate{frame, header + len(head) - stampDigits, (len(head) - stampDigits) % maskLength}, nil
}

// stamp writes a stamp into the frame, and returns the frame.
func (t *frameTemplate) stamp(s stamp) []byte {
	place := t.frame[t.at : t.at+stampDigits]
	s.encode(place)
	for i := range place {
		place[i] ^= mask[(t.phase+i)%maskLength]
	}
	return t.frame
}
