package turnserver

import (
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// worker is what one goroutine needs to serve packets. It is kept, so that serving requests allocates little, and
// serving data nothing. It belongs to its reader. A stream borrows one while it has frames in hand.
type worker struct {
	srv      *Server
	shard    *shard
	counters *counters     // its own, or its loop's
	from     wire.Protocol // the transport of the clients whose packets it has; 0: it has packets of peers

	answers    []answer // messages that the worker makes: they may wait for each other until it is flushed,
	unflushed  int      // and so many do
	answerFrom client   // whom the answer goes to, and from which socket, where that may not be the one asked
	req, res   stun.Message
	candidates []auth.Candidate
	name       []byte // the username that a USERHASH stands for
	ips        [][16]byte
	unknown    stun.UnknownAttributes
	nonces     wire.NonceMaker
	nonceKey   *byte // the first of the key that nonces are made with

	client client       // who sent the datagram in hand
	peer   destination  // of the Send indication in hand
	header udpio.Header // of the datagram in hand

	// Owned from one flush to the next.
	out      *udpio.Sender
	streams  streamBatch
	acquired []releaser // relayed sockets that other goroutines must not close before out is flushed

	adjoining bool  // the packets in hand lie side by side in one buffer, as frames of a stream do
	loop      *loop // nil on streams and on the portable path
	clock     clock // of the batch in hand, on a loop
}

// now is the time by which the worker judges expiries. On a loop it is the same for a whole batch.
func (w *worker) now() clock {
	if w.loop != nil {
		return w.clock
	}
	return w.srv.now()
}

// answer has room for most answers, and for an indication without data.
type answer [192]byte

// room returns memory for an answer of size bytes. It stays the answer's until the worker is flushed.
func (w *worker) room(size int) []byte { return w.answers[w.unflushed][:size] }

// answered is called once the memory that room returned is on its way. It flushes the worker if there is no more.
func (w *worker) answered() {
	if w.unflushed++; w.unflushed == len(w.answers) {
		w.flush()
	}
}

// flush sends the messages that wait, before their buffers are used again.
func (w *worker) flush() {
	w.unflushed = 0
	w.out.Flush()
	w.streams.flush(w.counters)
	for _, r := range w.acquired {
		r.release()
	}
	clear(w.acquired)
	w.acquired = w.acquired[:0]
}

// releaser is a relayed socket that another goroutine may want to close.
type releaser interface{ release() }

func newWorker(srv *Server, shard *shard) *worker {
	return newCountingWorker(srv, shard, &srv.counters)
}

func newCountingWorker(srv *Server, shard *shard, c *counters) *worker {
	return &worker{srv: srv, shard: shard, counters: c, from: wire.UDP, answers: make([]answer, 1), out: udpio.NewSender(&c.relayed)}
}

// workerPool lends workers to streams. Each has counters of its own, so that no two processors write to the same.
type workerPool struct {
	pool sync.Pool

	// Guarded by mu.
	mu   sync.Mutex
	all  []*counters // of every worker that there ever was
	free []*counters // of these, those whose worker the garbage collector has taken: the next new worker goes on with them
}

func newWorkerPool(srv *Server) *workerPool {
	p := new(workerPool)
	p.pool.New = func() any {
		c := p.takeCounters()
		w := newCountingWorker(srv, nil, c)
		runtime.AddCleanup(w, p.leaveCounters, c)
		return w
	}
	return p
}

func (p *workerPool) takeCounters() *counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		c := p.free[last]
		p.free = p.free[:last]
		return c
	}
	c := new(counters)
	p.all = append(p.all, c)
	return c
}

func (p *workerPool) leaveCounters(c *counters) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
}

// counters lists the counters of all workers.
func (p *workerPool) counters() []*counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

func (p *workerPool) get(s *shard, from wire.Protocol) *worker {
	w := p.pool.Get().(*worker)
	w.shard, w.from, w.adjoining = s, from, false
	return w
}

func (p *workerPool) put(w *worker) { p.pool.Put(w) }

const (
	// maxDatagram is more than any UDP payload, so that no read fills it.
	maxDatagram = 65536
	// headroom before a packet has room for the largest header that goes in front of it: a Data indication's 20 bytes,
	// an IPv6 XOR-PEER-ADDRESS of 24, and the header of DATA, 4.
	headroom = 64
	// tailroom after a packet has room for the padding to a multiple of four.
	tailroom = 64
)

// buffer holds one packet, or a batch of stream frames, between headroom and tailroom. No packet and no frame is longer
// than a STUN message.
type buffer struct {
	bytes [headroom + wire.MaxMessage + tailroom]byte
}

// bufferPool lends buffers to readers for as long as they have something in hand.
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any { return new(buffer) }}}
}

func (p *bufferPool) get() *buffer  { return p.pool.Get().(*buffer) }
func (p *bufferPool) put(b *buffer) { p.pool.Put(b) }

// handle serves the packet buf[start:end], which has headroom before it and tailroom after it, and which it may
// overwrite.
func (w *worker) handle(c *client, buf []byte, start, end int) {
	pkt := buf[start:end]
	switch {
	case len(pkt) < wire.ChannelHeaderSize:
		w.counters.count(dropMalformed)
	case wire.IsChannelData(pkt[0]):
		w.channelData(c, buf, start, end)
	case !wire.WellFormed(pkt):
		w.counters.count(dropMalformed)
	default:
		w.stun(c, buf, start, end)
	}
}

func (w *worker) stun(c *client, buf []byte, start, end int) {
	pkt := buf[start:end]
	typ := binary.BigEndian.Uint16(pkt)
	switch {
	case typ == wire.TypeSendIndication:
		w.sendIndication(c, buf, start, end)
	case len(pkt) > wire.MaxRequest: // before the server hashes it for each key that may have signed it
		w.counters.count(dropMalformed)
	case typ == wire.TypeBindingRequest:
		w.keepsAlive(c)
		if !w.binding(c, pkt) {
			w.request(c, pkt)
		}
	case typ&wire.ClassMask == 0:
		w.request(c, pkt)
	case typ&wire.ClassMask == wire.ClassIndication:
		// A Binding indication keeps a NAT's mapping alive and has no answer. Other indications are for clients.
		if typ == wire.TypeBindingIndication {
			w.keepsAlive(c)
		}
	default:
		w.counters.count(dropUnexpected)
	}
}

// mayAnswer reports whether an answer of size bytes may go to a client that asked with so many bytes and has not
// authenticated itself. Over UDP the sender's address may be a victim's. So a source that has used up its share gets no
// more bytes than it sends.
func (w *worker) mayAnswer(c *client, size, asked int) bool {
	if c.conn != nil || size <= asked || w.srv.answers.Take(sourceOf(c.tuple.Client), time.Duration(w.now())) {
		return true
	}
	w.counters.count(dropAnswerLimit)
	return false
}

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
	out := w.room(total)
	wire.PutBindingSuccess(out, pkt[8:wire.HeaderSize], c.tuple.Client, fingerprint)
	w.counters.bindings.Add(1)
	c.deliver(w, out, notRelayed)
	w.answered()
}
