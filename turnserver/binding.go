package turnserver

import "github.com/pion/stun/v3"

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

func (w *worker) answerBinding(c *client, pkt []byte, fingerprint bool) {
	total := bindingSuccessSize(c.tuple.client.addr().Is4(), fingerprint)
	if !w.mayAnswer(c, total, len(pkt)) {
		return
	}
	out := w.answer[:total]
	putBindingSuccess(out, pkt[8:stunHeaderSize], c.tuple.client, fingerprint)
	w.counters.bindings.Add(1)
	c.send(w, out, control)
	w.flush() // answer is used again
}
