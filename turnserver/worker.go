package turnserver

import (
	"encoding/binary"
	"hash"
	"sync"

	"github.com/pion/stun/v3"

	"turnpike/auth"
)

// worker is what one goroutine needs to serve packets, kept so that serving them allocates little, and data nothing.
// It belongs to its reader; a stream borrows one while it has frames in hand.
type worker struct {
	srv   *Server
	shard *shard

	out        [128]byte // Binding answers
	req, res   stun.Message
	candidates []auth.Candidate
	ips        [][16]byte
	unknown    stun.UnknownAttributes
	nonceMAC   hash.Hash
}

func newWorker(srv *Server, shard *shard) *worker {
	return &worker{srv: srv, shard: shard, nonceMAC: srv.newNonceMAC()}
}

// workerPool lends workers to streams.
type workerPool struct{ pool sync.Pool }

func newWorkerPool(srv *Server) *workerPool {
	return &workerPool{sync.Pool{New: func() any { return newWorker(srv, nil) }}}
}

func (p *workerPool) get(s *shard) *worker {
	w := p.pool.Get().(*worker)
	w.shard = s
	return w
}

func (p *workerPool) put(w *worker) { p.pool.Put(w) }

// handle serves the packet buf[start:end], which has headroom before it and tailroom after it, and which it may overwrite.
func (w *worker) handle(c *client, buf []byte, start, end int) {
	pkt := buf[start:end]
	switch {
	case len(pkt) < channelHeaderSize:
		w.srv.counters.drop(dropMalformed)
	case isChannelData(pkt[0]):
		w.channelData(c, buf, start, end)
	case !wellFormed(pkt):
		w.srv.counters.drop(dropMalformed)
	default:
		w.stun(c, buf, start, end)
	}
}

// isChannelData tells from a packet's first byte (RFC 8656 §12).
func isChannelData(first byte) bool { return first >= minChannel>>8 && first <= maxChannel>>8 }

func (w *worker) stun(c *client, buf []byte, start, end int) {
	pkt := buf[start:end]
	typ := binary.BigEndian.Uint16(pkt)
	switch {
	case typ == typeSendIndication:
		w.sendIndication(c, buf, start, end)
	case len(pkt) > maxRequest: // before it is hashed for each key that may have signed it
		w.srv.counters.drop(dropMalformed)
	case typ == typeBindingRequest && w.binding(c, pkt):
	case typ&typeClassMask == 0:
		w.request(c, pkt)
	case typ&typeClassMask == typeClassIndication:
		// A Binding indication keeps a NAT's mapping alive and has no answer; other indications are for clients.
	default:
		w.srv.counters.drop(dropUnexpected)
	}
}
