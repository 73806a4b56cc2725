package turnserver

import (
	"encoding/binary"

	"github.com/pion/stun/v3"
)

// binding answers a plain Binding request (RFC 8489 §6.3.1) without the heap. It leaves requests that need an error,
// or more thought, to request, and reports false.
func (w *worker) binding(c *client, pkt []byte) bool {
	fingerprint, signed := false, false
	var discovery discoveryRequest
	for attrs := attributesOf(pkt); ; {
		typ, start, end, more, bad := attrs.next()
		switch {
		case bad:
			w.counters.drop(dropMalformed)
			return true
		case !more && c.origin != nil:
			return w.answerDiscovery(c, pkt, &discovery, fingerprint)
		case !more:
			w.answerBinding(c, pkt, fingerprint)
			return true
		case typ == attrFingerprint:
			if !fingerprintHolds(pkt, start, end) {
				w.counters.drop(dropMalformed)
				return true
			}
			fingerprint = true
		case typ == attrMessageIntegrity || typ == attrMessageIntegritySHA256:
			signed = true // what comes after does not count (RFC 8489 §9)
		case !signed && c.origin != nil && discovery.take(typ, pkt[start:end]):
		case !signed && required(typ) && !w.srv.knows(stun.AttrType(typ)):
			return false
		}
	}
}

// fingerprintHolds checks the FINGERPRINT whose value is from start to end: it is last, and the CRC of what stands before it (RFC 8489
// §14.7).
func fingerprintHolds(pkt []byte, start, end int) bool {
	before := start - attrHeaderSize
	return end-before == fingerprintSize && end == len(pkt) &&
		binary.BigEndian.Uint32(pkt[start:]) == stun.FingerprintValue(pkt[:before])
}

func (w *worker) answerBinding(c *client, pkt []byte, fingerprint bool) {
	transactionID := pkt[8:stunHeaderSize]
	size := xorAddressSize(c.tuple.client.addr().Is4())
	n := stunHeaderSize + attrHeaderSize + size
	total := n
	if fingerprint {
		total += fingerprintSize
	}
	if !w.mayAnswer(c, total, len(pkt)) {
		return
	}
	out := w.answer[:]
	binary.BigEndian.PutUint16(out, typeBindingSuccess)
	binary.BigEndian.PutUint32(out[4:], magicCookie)
	copy(out[8:], transactionID)
	binary.BigEndian.PutUint16(out[stunHeaderSize:], attrXORMappedAddress)
	binary.BigEndian.PutUint16(out[stunHeaderSize+2:], uint16(size))
	putXORAddress(out[stunHeaderSize+attrHeaderSize:], c.tuple.client, transactionID)

	binary.BigEndian.PutUint16(out[2:], uint16(total-stunHeaderSize))
	if fingerprint {
		binary.BigEndian.PutUint16(out[n:], attrFingerprint)
		binary.BigEndian.PutUint16(out[n+2:], 4)
		binary.BigEndian.PutUint32(out[n+4:], stun.FingerprintValue(out[:n]))
	}
	w.counters.bindings.Add(1)
	c.send(w, out[:total], control)
	w.flush() // answer is used again
}
