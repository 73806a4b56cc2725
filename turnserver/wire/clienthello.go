package wire

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"time"
)

// The parts of DTLS 1.2's wire format (RFC 6347 §4.1, §4.2) that the server reads and writes before a client has shown
// that it owns its address. Until then the server keeps nothing for it.
const (
	DTLSRecordHeader    = 13 // type, version, epoch, sequence number, length
	dtlsHandshakeHeader = 12 // type, length, message sequence, fragment offset, fragment length
	DTLSHelloHeaders    = DTLSRecordHeader + dtlsHandshakeHeader

	dtlsTypeAlert       = 21
	DTLSTypeHandshake   = 22
	dtlsClientHello     = 1
	dtlsHelloVerify     = 3
	dtlsVersionMajor    = 254
	dtlsVersion12       = 0xFEFD
	dtlsVersion10       = 0xFEFF // in every HelloVerifyRequest, whatever version follows (RFC 6347 §4.2.1)
	dtlsSequenceMask    = 1<<48 - 1
	DTLSRandomSize      = 32
	dtlsLongestSession  = 32
	dtlsLongestHello    = 2048 // in one datagram; to judge a ClientHello in fragments, the server would have to keep them
	DTLSFirstMessage    = 0    // message sequence of a ClientHello,
	DTLSVerifiedMessage = 1    // and of the one that answers a HelloVerifyRequest
)

// ClientHello has the parts of a ClientHello, as slices of its datagram.
type ClientHello struct {
	Record   []byte // with its header; the datagram may go on after it
	Sequence uint64 // of the record
	Message  uint16 // sequence of the message
	Cookie   []byte
	before   []byte // all before the cookie's length: version, random and session ID
	after    []byte // all after the cookie, with the extensions
	suites   []byte // the part of after before the extensions
}

// TooOld reports whether the client speaks nothing newer than DTLS 1.1. Versions count down, and a hello of 1.3 says
// 1.2.
func (h *ClientHello) TooOld() bool { return binary.BigEndian.Uint16(h.before) > dtlsVersion12 }

// Random is the client's random.
func (h *ClientHello) Random() [DTLSRandomSize]byte { return [DTLSRandomSize]byte(h.before[2:]) }

// ParseClientHello reads a datagram that begins with a whole ClientHello in clear.
func ParseClientHello(b []byte) (h ClientHello, ok bool) {
	if len(b) < DTLSHelloHeaders || b[0] != DTLSTypeHandshake || b[1] != dtlsVersionMajor || b[DTLSRecordHeader] != dtlsClientHello {
		return h, false
	}
	epochAndSequence := binary.BigEndian.Uint64(b[3:])
	size := int(binary.BigEndian.Uint16(b[11:]))
	if epochAndSequence > dtlsSequenceMask || size > dtlsLongestHello || len(b) < DTLSRecordHeader+size || size < dtlsHandshakeHeader {
		return h, false
	}
	b = b[:DTLSRecordHeader+size]
	length, offset, fragment := uint24(b[14:]), uint24(b[19:]), uint24(b[22:])
	if offset != 0 || fragment != length || length != size-dtlsHandshakeHeader {
		return h, false
	}
	h.Record, h.Sequence, h.Message = b, epochAndSequence, binary.BigEndian.Uint16(b[17:])

	body := b[DTLSHelloHeaders:]
	rest, ok := skip(body, 2+DTLSRandomSize)
	if !ok {
		return h, false
	}
	session, rest, ok := vector8(rest)
	if !ok || len(session) > dtlsLongestSession {
		return h, false
	}
	h.before = body[:len(body)-len(rest)]
	if h.Cookie, rest, ok = vector8(rest); !ok {
		return h, false
	}
	h.after = rest
	if len(rest) < 2 {
		return h, false
	}
	suites := int(binary.BigEndian.Uint16(rest))
	if rest, ok = skip(rest, 2+suites); !ok || suites < 2 || suites%2 != 0 {
		return h, false
	}
	compressions, rest, ok := vector8(rest)
	if !ok || len(compressions) == 0 {
		return h, false
	}
	h.suites = h.after[:len(h.after)-len(rest)]
	return h, len(rest) == 0 || len(rest) >= 2 && int(binary.BigEndian.Uint16(rest)) == len(rest)-2
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

func putUint24(b []byte, n int) { b[0], b[1], b[2] = byte(n>>16), byte(n>>8), byte(n) }

// skip returns what follows the first n bytes.
func skip(b []byte, n int) ([]byte, bool) {
	if len(b) < n {
		return nil, false
	}
	return b[n:], true
}

// vector8 cuts off a vector whose length is one byte.
func vector8(b []byte) (vector, rest []byte, ok bool) {
	if len(b) < 1 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	return b[1 : 1+int(b[0])], b[1+int(b[0]):], true
}

// Unverified is the ClientHello as the client sent it before it had a cookie: as its first message.
func (h *ClientHello) Unverified() []byte {
	size := len(h.before) + 1 + len(h.after)
	b := make([]byte, DTLSHelloHeaders, DTLSHelloHeaders+size)
	copy(b, h.Record[:DTLSHelloHeaders])
	binary.BigEndian.PutUint64(b[3:], 0)
	binary.BigEndian.PutUint16(b[11:], uint16(dtlsHandshakeHeader+size))
	putUint24(b[14:], size)
	binary.BigEndian.PutUint16(b[17:], DTLSFirstMessage)
	putUint24(b[22:], size)
	b = append(b, h.before...)
	b = append(b, 0)
	return append(b, h.after...)
}

// DTLSCookies makes and checks the cookies of a listener (RFC 6347 §4.2.1). It belongs to the reader of the listener's
// socket. A cookie is a byte of the time and an HMAC of that time, the five-tuple and the part of the hello that a
// client must not change.
type DTLSCookies struct {
	mac    hash.Hash
	tuple  [2*18 + 4]byte // and a time slot
	answer [DTLSHelloHeaders + 3 + DTLSCookieSize]byte
	alert  [DTLSRecordHeader + 2]byte
	sum    [sha256.Size]byte
}

// What a DTLS cookie is.
const (
	DTLSCookieSize     = 20 // so that the answer is shorter than any hello
	DTLSCookieLifetime = 30 * time.Second
)

// NewDTLSCookies makes cookies of a key at random.
func NewDTLSCookies() *DTLSCookies {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return &DTLSCookies{mac: hmac.New(sha256.New, key)}
}

// timeSlot is the time that a cookie is made of. The cookie shows its last byte, and is good in this slot and the next.
func timeSlot(now time.Duration) uint32 { return uint32(now / DTLSCookieLifetime) }

// cookie returns the cookie of a hello, until the next call.
func (c *DTLSCookies) cookie(h *ClientHello, t FiveTuple, at uint32) []byte {
	b := c.tuple[:]
	copy(b, t.Client.IP[:])
	binary.BigEndian.PutUint16(b[16:], t.Client.Port)
	copy(b[18:], t.Local.IP[:])
	binary.BigEndian.PutUint16(b[34:], t.Local.Port)
	binary.BigEndian.PutUint32(b[36:], at)
	c.mac.Reset()
	c.mac.Write(b)
	c.mac.Write(h.before)
	c.mac.Write(h.suites)
	sum := c.mac.Sum(c.sum[:0])
	sum[0] = byte(at)
	return sum[:DTLSCookieSize]
}

// Holds reports whether the cookie of a hello is good.
func (c *DTLSCookies) Holds(h *ClientHello, t FiveTuple, now time.Duration) bool {
	if len(h.Cookie) != DTLSCookieSize {
		return false
	}
	at := timeSlot(now)
	if h.Cookie[0] != byte(at) {
		at--
	}
	return hmac.Equal(h.Cookie, c.cookie(h, t, at))
}

// VerifyRequest returns the answer to a first ClientHello, until the next call. The answer is shorter than the hello.
// Its record has the hello's sequence number, so that a client that was answered twice can tell the answers from what
// follows.
func (c *DTLSCookies) VerifyRequest(h *ClientHello, t FiveTuple, now time.Duration) []byte {
	cookie := c.cookie(h, t, timeSlot(now))
	b := c.answer[:]
	b[0] = DTLSTypeHandshake
	binary.BigEndian.PutUint16(b[1:], dtlsVersion10)
	binary.BigEndian.PutUint64(b[3:], h.Sequence)
	binary.BigEndian.PutUint16(b[11:], uint16(len(b)-DTLSRecordHeader))
	b[DTLSRecordHeader] = dtlsHelloVerify
	putUint24(b[14:], len(b)-DTLSHelloHeaders)
	binary.BigEndian.PutUint16(b[17:], DTLSFirstMessage)
	putUint24(b[22:], len(b)-DTLSHelloHeaders)
	binary.BigEndian.PutUint16(b[DTLSHelloHeaders:], dtlsVersion10)
	b[DTLSHelloHeaders+2] = DTLSCookieSize
	copy(b[DTLSHelloHeaders+3:], cookie)
	return b
}

// VersionAlert returns the answer to a client that is too old, until the next call: a fatal protocol_version (RFC 5246
// §7.2). It has the hello's own version, since such a client takes no other.
func (c *DTLSCookies) VersionAlert(h *ClientHello) []byte {
	b := c.alert[:]
	b[0] = dtlsTypeAlert
	copy(b[1:], h.before[:2])
	binary.BigEndian.PutUint64(b[3:], h.Sequence)
	b[12], b[13], b[14] = 2, 2, 70 // length, fatal, protocol_version
	return b
}

// IsHelloVerify reports whether a datagram of the server begins with a HelloVerifyRequest.
func IsHelloVerify(b []byte) bool {
	return len(b) > DTLSHelloHeaders && b[0] == DTLSTypeHandshake && b[DTLSRecordHeader] == dtlsHelloVerify && b[3] == 0 && b[4] == 0
}

// AddToSequence adds n to the sequence numbers of the records in clear, in a datagram of the server. It reports whether
// the datagram has encrypted records, too.
func AddToSequence(b []byte, n uint64) (encrypted bool) {
	for len(b) >= DTLSRecordHeader {
		if header := binary.BigEndian.Uint64(b[3:]); header <= dtlsSequenceMask { // epoch 0
			binary.BigEndian.PutUint64(b[3:], (header+n)&dtlsSequenceMask)
		} else {
			encrypted = true
		}
		b, _ = skip(b, DTLSRecordHeader+int(binary.BigEndian.Uint16(b[11:])))
	}
	return encrypted
}
