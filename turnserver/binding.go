package turnserver

import (
	"github.com/pion/stun/v3"

	"turnpike/turnserver/wire"
)

// binding answers a plain Binding request (RFC 8489 §6.3.1) without the heap. It reports false for a request that needs
// an error or more thought, which it leaves to request.
func (w *worker) binding(c *client, pkt []byte) bool {
	fingerprint, signed := false, false
	var discovery wire.Discovery
	for attrs := wire.AttributesOf(pkt); ; {
		typ, start, end, more, bad := attrs.Next()
		switch {
		case bad:
			w.counters.count(dropMalformed)
			return true
		case !more && c.origin != nil:
			return w.answerDiscovery(c, pkt, &discovery, fingerprint)
		case !more:
			w.answerBinding(c, pkt, fingerprint)
			return true
		case typ == wire.AttrFingerprint:
			if !wire.FingerprintHolds(pkt, start, end) {
				w.counters.count(dropMalformed)
				return true
			}
			fingerprint = true
		case typ == wire.AttrMessageIntegrity || typ == wire.AttrMessageIntegritySHA256:
			signed = true // attributes after it do not count (RFC 8489 §9)
		case !signed && c.origin != nil && discovery.Read(typ, pkt[start:end]):
		case !signed && wire.ComprehensionRequired(typ) && !w.srv.knows(stun.AttrType(typ)):
			return false
		}
	}
}

func (w *worker) answerBinding(c *client, pkt []byte, fingerprint bool) {
	total := wire.BindingSuccessSize(c.tuple.Client.Addr().Is4(), fingerprint)
	if !w.mayAnswer(c, total, len(pkt)) {
		return
	}
	out := w.answer[:total]
	wire.PutBindingSuccess(out, pkt[8:wire.HeaderSize], c.tuple.Client, fingerprint)
	w.counters.bindings.Add(1)
	c.deliver(w, out, notRelayed)
	w.flush() // answer is used again
}
